#include "node/engine/kv.h"
#include "node/probe/decoder.h"
#include "tests/support/same_bits.h"
#include "tests/support/tiny_model.h"
#include "tests/test.h"

#include "base/gguf.h"
#include "base/mem.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

enum {
    LENGTH = 48,      // more than one block
    LENGTH_LONG = 140 // more than one attention tile
};

static void assert_tiny_same_bits(const char *architecture, uint32_t length)
{
    static const uint32_t types[] = {GGUF_TENSOR_F32, GGUF_TENSOR_F16, GGUF_TENSOR_Q8_0};
    for (int i = 0; i < 3; i++) {
        struct tiny_model options = {.architecture = architecture, .type = types[i], .seed = 5};
        char path[TINY_MODEL_PATH_MAX];
        tiny_model_file(path, &options);
        assert_same_bits(path, types[i] == GGUF_TENSOR_Q8_0 ? length : LENGTH, KV_F16);
        unlink(path);
    }
}

static void llama_gives_the_same_bits_every_way(void **state)
{
    (void)state;
    assert_tiny_same_bits("llama", LENGTH);
}

static void qwen2_gives_the_same_bits_every_way(void **state)
{
    (void)state;
    assert_tiny_same_bits("qwen2", LENGTH);
}

static void qwen3_gives_the_same_bits_every_way(void **state)
{
    (void)state;
    assert_tiny_same_bits("qwen3", LENGTH_LONG);
}

/* A few that are cheap enough to run again where libm's fma is done in software (see node/CMakeLists.txt). */
static void a_short_text_gives_the_same_bits_every_way(void **state)
{
    (void)state;
    static const struct tiny_model models[] = {
        {.architecture = "llama", .type = GGUF_TENSOR_Q8_0, .seed = 6},
        {.architecture = "qwen2", .type = GGUF_TENSOR_Q8_0, .seed = 6},
        {.architecture = "qwen3", .type = GGUF_TENSOR_F16, .seed = 6},
    };
    for (int i = 0; i < 3; i++) {
        char path[TINY_MODEL_PATH_MAX];
        tiny_model_file(path, &models[i]);
        assert_same_bits(path, i == 2 ? 12 : 40, KV_F16);
        assert_same_bits(path, i == 2 ? 12 : 40, KV_INT8);
        unlink(path);
    }
}

static struct decoder *given_decoder(const struct tiny_model *options,
                                     enum model_float_gemm float_gemm)
{
    char path[TINY_MODEL_PATH_MAX];
    tiny_model_file(path, options);
    struct decoder_options decoder_options = {
        .model = path, .threads = 2, .context_max = 64, .rows_max = 64, .float_gemm = float_gemm};
    struct decoder *decoder;
    assert_int_equal(decoder_new(&decoder, &decoder_options), ERR_OK);
    unlink(path);
    return decoder;
}

static const int32_t ids[] = {5, 6, 7, 8, 200, 100, 50, 25, 12, 6, 3, 1, 260, 261, 0, 9};

enum {
    IDS = sizeof ids / sizeof *ids
};

/* The largest difference between the logits of two models after the ids. */
static double largest_difference(struct decoder *a, struct decoder *b)
{
    struct kv_table first;
    struct kv_table second;
    kv_table_init(&first, IDS);
    kv_table_init(&second, IDS);
    assert_int_equal(decoder_extend(a, &first, ids, IDS, 0), ERR_OK);
    assert_int_equal(decoder_extend(b, &second, ids, IDS, 0), ERR_OK);
    const float *x = forward_logits(a->forward, 0);
    const float *y = forward_logits(b->forward, 0);
    double most = 0;
    for (uint32_t i = 0; i < model_shape(a->model)->vocab_size; i++) {
        assert_true(isfinite(x[i]) && isfinite(y[i]));
        double difference = fabs((double)x[i] - (double)y[i]);
        if (difference > most) most = difference;
    }
    kv_table_fini(a->pool, &first);
    kv_table_fini(b->pool, &second);
    return most;
}

static void types_of_the_same_weights_agree_nearly(void **state)
{
    (void)state;
    // F32 and F16 models draw the same weights; only their rounding differs.
    struct decoder *f32 = given_decoder(&(struct tiny_model){.type = GGUF_TENSOR_F32}, 0);
    struct decoder *f16 = given_decoder(&(struct tiny_model){.type = GGUF_TENSOR_F16}, 0);
    double difference = largest_difference(f32, f16);
    assert_true(difference > 0 && difference < 0.05);
    decoder_free(f32);
    decoder_free(f16);
}

static void openblas_agrees_nearly(void **state)
{
    (void)state;
    struct tiny_model options = {.type = GGUF_TENSOR_F16};
    struct decoder *exact = given_decoder(&options, MODEL_FLOAT_EXACT);
    struct decoder *blas = given_decoder(&options, MODEL_FLOAT_BLAS);
    assert_true(largest_difference(exact, blas) < 1e-3);
    decoder_free(exact);
    decoder_free(blas);
}

static void rope_factors_change_the_angles(void **state)
{
    (void)state;
    struct tiny_model options = {.architecture = "llama", .type = GGUF_TENSOR_F32};
    struct decoder *plain = given_decoder(&options, 0);
    options.rope_freqs = true;
    struct decoder *scaled = given_decoder(&options, 0);
    assert_true(largest_difference(plain, scaled) > 0.01);
    decoder_free(plain);
    decoder_free(scaled);
}

/* Prefill steps ask for no logits at all, the last one for its last row: the rows in between stop early. */
static void rows_that_are_not_asked_for_leave_the_others_as_they_are(void **state)
{
    (void)state;
    struct decoder *d = given_decoder(&(struct tiny_model){.type = GGUF_TENSOR_Q8_0}, 0);
    size_t vocab_size = model_shape(d->model)->vocab_size;
    float *want = mem_new(vocab_size, sizeof *want);
    struct kv_table table;
    kv_table_init(&table, IDS);
    for (uint32_t at = 0; at < IDS; at++) { // every row is asked for
        assert_int_equal(kv_extend(d->pool, &table, 1), ERR_OK);
        struct forward_slice slice = {&ids[at], 1, at, &table, 1, false};
        forward_step(d->forward, &slice, 1);
    }
    memcpy(want, forward_logits(d->forward, 0), vocab_size * sizeof *want);
    kv_release(d->pool, &table);
    assert_int_equal(decoder_extend(d, &table, ids, IDS, 5), ERR_OK); // one row is
    assert_memory_equal(want, forward_logits(d->forward, 0), vocab_size * sizeof *want);
    kv_table_fini(d->pool, &table);
    mem_free(want);
    decoder_free(d);
}

static void a_step_beyond_the_limit_is_an_error(void **state)
{
    (void)state;
    struct decoder *d = given_decoder(&(struct tiny_model){.type = GGUF_TENSOR_F32}, 0);
    struct forward *forward = NULL;
    struct forward_limits limits = {.rows_max = 65536, .logits_max = 1, .context_max = 64};
    assert_int_equal(forward_new(&forward, d->model, d->pool, d->team, &limits), ERR_INVALID);
    assert_null(forward);
    assert_non_null(strstr(err_text(), "65536"));
    decoder_free(d);
}

static void ids_and_lengths_beyond_the_model_are_errors(void **state)
{
    (void)state;
    struct decoder *d = given_decoder(&(struct tiny_model){.type = GGUF_TENSOR_F32}, 0);
    struct kv_table table;
    kv_table_init(&table, 64);
    int32_t beyond = (int32_t)model_shape(d->model)->vocab_size;
    int32_t minus = -1;
    int32_t many[65] = {0};
    assert_int_equal(decoder_extend(d, &table, &beyond, 1, 0), ERR_INVALID);
    assert_int_equal(decoder_extend(d, &table, &minus, 1, 0), ERR_INVALID);
    assert_int_equal(decoder_extend(d, &table, many, 65, 0), ERR_TOO_LONG);
    assert_int_equal(table.token_count, 0);
    kv_table_fini(d->pool, &table);
    decoder_free(d);
}

int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama_gives_the_same_bits_every_way),
        cmocka_unit_test(qwen2_gives_the_same_bits_every_way),
        cmocka_unit_test(qwen3_gives_the_same_bits_every_way),
        cmocka_unit_test(a_short_text_gives_the_same_bits_every_way),
        cmocka_unit_test(types_of_the_same_weights_agree_nearly),
        cmocka_unit_test(openblas_agrees_nearly),
        cmocka_unit_test(rope_factors_change_the_angles),
        cmocka_unit_test(rows_that_are_not_asked_for_leave_the_others_as_they_are),
        cmocka_unit_test(a_step_beyond_the_limit_is_an_error),
        cmocka_unit_test(ids_and_lengths_beyond_the_model_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "node/engine/kv.h"
#include "node/probe/decoder.h"
#include "node/probe/synth.h"
#include "tests/support/tiny_model.h"
#include "tests/test.h"

#include "kernels/quant.h"
#include "text/tokenizer.h"

#include "base/gguf.h"

#include <math.h>
#include <string.h>

/* Every third layer and both ends get more bits, and rows of 256 and of 352 values have different types. */
static const struct synth_shape small = {
    .name = "small",
    .architecture = "qwen3",
    .layer_count = 8,
    .dim = 256,
    .head_count = 4,
    .kv_head_count = 2,
    .head_dim = 64,
    .ffn_dim = 352,
    .vocab_size = 800,
    .context_length = 64,
    .rope_base = 1e6F,
    .norm_epsilon = 1e-6F,
};

static void given_file(char path[TINY_MODEL_PATH_MAX], const struct synth_shape *shape,
                       const char *type, uint64_t seed)
{
    tiny_model_file_bytes(path, "", 0);
    assert_int_equal(synth_write(path, shape, type, seed), ERR_OK);
}

static uint32_t type_of(const struct gguf *gguf, const char *name)
{
    const struct gguf_tensor *tensor = gguf_find_tensor(gguf, name);
    assert_non_null(tensor);
    return tensor->type;
}

static void a_mix_gives_more_bits_where_published_files_do(void **state)
{
    (void)state;
    char path[TINY_MODEL_PATH_MAX];
    given_file(path, &small, "Q4_K_M", 1);
    struct gguf *gguf;
    assert_int_equal(gguf_open(&gguf, path), ERR_OK);
    assert_int_equal(type_of(gguf, "token_embd.weight"), GGUF_TENSOR_Q6_K);
    assert_int_equal(type_of(gguf, "blk.0.attn_q.weight"), GGUF_TENSOR_Q4_K);
    static const bool more[] = {true, false, false, true, false, false, true, true};
    for (int layer = 0; layer < 8; layer++) {
        char name[40];
        snprintf(name, sizeof name, "blk.%d.attn_v.weight", layer);
        assert_int_equal(type_of(gguf, name), more[layer] ? GGUF_TENSOR_Q6_K : GGUF_TENSOR_Q4_K);
        snprintf(name, sizeof name, "blk.%d.ffn_down.weight", layer); // rows of 352
        assert_int_equal(type_of(gguf, name), more[layer] ? GGUF_TENSOR_Q8_0 : GGUF_TENSOR_Q5_0);
    }
    gguf_close(gguf);
    unlink(path);
}

static void the_same_seed_gives_the_same_file(void **state)
{
    (void)state;
    struct gguf *files[3];
    static const uint64_t seeds[] = {7, 7, 8};
    for (int i = 0; i < 3; i++) {
        char path[TINY_MODEL_PATH_MAX];
        given_file(path, &small, "Q5_K_M", seeds[i]);
        assert_int_equal(gguf_open(&files[i], path), ERR_OK);
        unlink(path);
    }
    size_t sizes[3];
    const void *bytes[3];
    for (int i = 0; i < 3; i++)
        bytes[i] = gguf_bytes(files[i], &sizes[i]);
    assert_true(sizes[0] == sizes[1] && memcmp(bytes[0], bytes[1], sizes[0]) == 0);
    assert_true(sizes[0] == sizes[2] && memcmp(bytes[0], bytes[2], sizes[0]) != 0);
    for (int i = 0; i < 3; i++)
        gguf_close(files[i]);
}

static void assert_spread(const struct gguf_tensor *tensor)
{
    static float values[256];
    double sum = 0, squares = 0;
    uint64_t count = tensor->dims[0] * tensor->dims[1];
    assert_true(tensor->dims[0] <= 256);
    const char *row = tensor->data;
    for (uint64_t i = 0; i < tensor->dims[1]; i++, row += tensor->size / tensor->dims[1]) {
        quant_row_to_f32(tensor->type, row, values, tensor->dims[0]);
        for (uint64_t j = 0; j < tensor->dims[0]; j++) {
            sum += values[j];
            squares += (double)values[j] * values[j];
        }
    }
    assert_true(fabs(sum / (double)count) < 0.1 * SYNTH_SPREAD);
    double deviation = sqrt(squares / (double)count);
    assert_true(deviation > 0.9 * SYNTH_SPREAD && deviation < 1.2 * SYNTH_SPREAD);
}

static void assert_finite_logits(const char *path)
{
    struct decoder_options options = {.model = path, .threads = 1};
    struct decoder *decoder;
    assert_int_equal(decoder_new(&decoder, &options), ERR_OK);
    struct kv_table table;
    kv_table_init(&table, 64);
    int32_t ids[20];
    for (int i = 0; i < 20; i++)
        ids[i] = i * 37;
    assert_int_equal(decoder_extend(decoder, &table, ids, 20, 0), ERR_OK);
    const float *logits = forward_logits(decoder->forward, 0);
    double squares = 0;
    for (uint32_t i = 0; i < small.vocab_size; i++)
        squares += (double)logits[i] * logits[i];
    assert_true(isfinite(squares) && squares > 0);
    kv_table_fini(decoder->pool, &table);
    decoder_free(decoder);
}

/* Types that the kernels do not know yet are read by the container alone. */
static void every_type_loads_and_gives_finite_logits(void **state)
{
    (void)state;
    for (const char *const *type = synth_types(); *type; type++) {
        struct synth_shape shape = small;
        if (strstr(*type, "F") == *type) shape.architecture = "qwen2";
        char path[TINY_MODEL_PATH_MAX];
        given_file(path, &shape, *type, 3);
        struct gguf *gguf;
        assert_int_equal(gguf_open(&gguf, path), ERR_OK);
        bool known = true;
        for (size_t i = 0; i < gguf_tensor_count(gguf); i++) {
            const struct gguf_tensor *tensor = gguf_tensor_at(gguf, i);
            known = known && quant_check(tensor->type, tensor->dims[0]) == ERR_OK;
        }
        if (known) {
            assert_spread(gguf_find_tensor(gguf, "token_embd.weight"));
            assert_spread(gguf_find_tensor(gguf, "blk.1.attn_q.weight"));
            assert_finite_logits(path);
        }
        gguf_close(gguf);
        unlink(path);
    }
}

static void an_english_word_is_one_to_three_pieces(void **state)
{
    (void)state;
    struct synth_shape shape = small;
    shape.vocab_size = 151936;
    shape.layer_count = 1;
    char path[TINY_MODEL_PATH_MAX];
    given_file(path, &shape, "Q8_0", 1);
    struct gguf *gguf;
    assert_int_equal(gguf_open(&gguf, path), ERR_OK);
    struct tokenizer *tokenizer;
    assert_int_equal(tokenizer_new(&tokenizer, gguf), ERR_OK);

    static const struct {
        const char *text;
        size_t least, most;
    } words[] = {{" a", 1, 1}, {" the", 1, 1}, {" hello", 2, 2}, {" machine", 2, 3}, {"桥", 3, 3}};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        struct token_ids ids = {0};
        assert_int_equal(tokenizer_encode(tokenizer, words[i].text, strlen(words[i].text), 0, &ids),
                         ERR_OK);
        assert_in_range(ids.count, words[i].least, words[i].most);
        token_ids_fini(&ids);
    }
    assert_int_equal(tokenizer_eos(tokenizer), 151645);
    assert_int_equal(tokenizer_find(tokenizer, "<|im_start|>"), 151644);
    tokenizer_free(tokenizer);
    gguf_close(gguf);
    unlink(path);
}

static void what_cannot_be_made_is_named(void **state)
{
    (void)state;
    assert_int_equal(synth_write("/nowhere/x.gguf", &small, "Q3_K", 1), ERR_INVALID);
    assert_non_null(strstr(err_text(), "Q3_K"));
    assert_int_equal(synth_write("/nowhere/x.gguf", &small, "Q8_0", 1), ERR_IO);
    struct synth_shape odd = small;
    odd.ffn_dim = 350;
    assert_int_equal(synth_write("/nowhere/x.gguf", &odd, "Q8_0", 1), ERR_FORMAT);
    assert_non_null(strstr(err_text(), "350"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mix_gives_more_bits_where_published_files_do),
        cmocka_unit_test(the_same_seed_gives_the_same_file),
        cmocka_unit_test(every_type_loads_and_gives_finite_logits),
        cmocka_unit_test(an_english_word_is_one_to_three_pieces),
        cmocka_unit_test(what_cannot_be_made_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

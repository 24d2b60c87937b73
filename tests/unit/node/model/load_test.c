#include "node/model/model.h"
#include "tests/support/tiny_model.h"
#include "tests/test.h"

#include "kernels/cpu.h"
#include "kernels/ops.h"
#include "kernels/select.h"
#include "kernels/team.h"

#include "base/buf.h"
#include "base/digest.h"
#include "base/gguf.h"
#include "base/must.h"

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

static struct ops ops;
static struct team *team;

static int make_team(void **state)
{
    (void)state;
    ops_select(&ops, cpu_features());
    return team_new(&team, 2);
}

static int end_team(void **state)
{
    (void)state;
    team_free(team);
    return 0;
}

static enum err load_file(const char *path, uint32_t context_max, struct model **out)
{
    struct model_options options = {.ops = &ops, .team = team, .context_max = context_max};
    return model_load(out, path, &options);
}

static enum err load_bytes(const struct buf *image, struct model **out)
{
    char path[TINY_MODEL_PATH_MAX];
    tiny_model_file_bytes(path, image->data, image->size);
    enum err err = load_file(path, 0, out);
    unlink(path);
    return err;
}

static enum err load_tiny(const struct tiny_model *options, struct model **out)
{
    struct buf image = {0};
    tiny_model_write(&image, options);
    enum err err = load_bytes(&image, out);
    buf_fini(&image);
    return err;
}

/* The image of a tiny model in which the bytes `old` (a name) are followed, `offset` bytes on, by `value`. */
static void given_patched(struct buf *image, const struct tiny_model *options, const char *name,
                          size_t offset, const void *value, size_t size)
{
    tiny_model_write(image, options);
    char *at = memmem(image->data, image->size, name, strlen(name));
    must(at != NULL);
    memcpy(at + offset, value, size);
}

/* The load fails with `err` and a note that holds every one of the words. */
static void assert_refused(const struct buf *image, enum err err, const char *first,
                           const char *second)
{
    struct model *model = NULL;
    if (load_bytes(image, &model) != err) fail_msg("another error: %s", err_text());
    assert_null(model);
    const char *note = err_text();
    if (!strstr(note, first) || !strstr(note, second))
        fail_msg("the note '%s' lacks '%s' or '%s'", note, first, second);
}

static void assert_tiny_refused(const struct tiny_model *options, enum err err, const char *first,
                                const char *second)
{
    struct buf image = {0};
    tiny_model_write(&image, options);
    assert_refused(&image, err, first, second);
    buf_fini(&image);
}

static void every_architecture_and_type_loads_with_its_shape(void **state)
{
    (void)state;
    static const char *const architectures[] = {"llama", "qwen2", "qwen3"};
    static const uint32_t types[] = {GGUF_TENSOR_F32, GGUF_TENSOR_F16, GGUF_TENSOR_Q8_0};
    for (int i = 0; i < 9; i++) {
        struct tiny_model options = {.architecture = architectures[i / 3], .type = types[i % 3]};
        struct model *model;
        assert_int_equal(load_tiny(&options, &model), ERR_OK);
        const struct model_shape *shape = model_shape(model);
        assert_string_equal(shape->architecture, architectures[i / 3]);
        assert_string_equal(shape->name, "tiny");
        assert_int_equal(shape->dim, TINY_MODEL_DIM);
        assert_int_equal(shape->layer_count, TINY_MODEL_LAYERS);
        assert_int_equal(shape->context_length, TINY_MODEL_CONTEXT);
        assert_int_equal(shape->head_dim, i / 3 == 2 ? 32 : 16);
        assert_int_equal(shape->rope_dim, shape->head_dim);
        assert_int_equal(shape->rope_interleaved, i / 3 == 0);
        assert_int_equal(shape->qkv_bias, i / 3 == 1);
        assert_int_equal(shape->qk_norm, i / 3 == 2);
        assert_int_equal(shape->tied, i / 3 != 0);
        assert_false(digest_is_zero(model_digest(model)));
        assert_true(model_pack(model)->size > 0);
        model_free(model);
    }
}

static void the_context_can_be_limited(void **state)
{
    (void)state;
    char path[TINY_MODEL_PATH_MAX];
    tiny_model_file(path, &(struct tiny_model){0});
    struct model *model;
    assert_int_equal(load_file(path, 100, &model), ERR_OK);
    assert_int_equal(model_shape(model)->context_length, 100);
    model_free(model);
    assert_int_equal(load_file(path, 100000, &model), ERR_OK);
    assert_int_equal(model_shape(model)->context_length, TINY_MODEL_CONTEXT);
    model_free(model);
    unlink(path);
}

static void digests_tell_models_and_numerics_apart(void **state)
{
    (void)state;
    char path[TINY_MODEL_PATH_MAX];
    struct model *first, *second, *third, *fourth;
    tiny_model_file(path, &(struct tiny_model){.seed = 1});
    struct model_options blas = {.ops = &ops, .team = team, .float_gemm = MODEL_FLOAT_BLAS};
    assert_int_equal(load_file(path, 0, &first), ERR_OK);
    struct model_options int8 = {.ops = &ops, .team = team, .kv = KV_INT8};
    assert_int_equal(model_load(&second, path, &blas), ERR_OK);
    assert_int_equal(model_load(&fourth, path, &int8), ERR_OK);
    unlink(path);
    assert_int_equal(load_tiny(&(struct tiny_model){.seed = 2}, &third), ERR_OK);

    assert_true(digest_equal(model_digest(first), model_digest(second)));
    assert_false(digest_equal(model_numerics(first), model_numerics(second)));
    assert_false(digest_equal(model_numerics(first), model_numerics(fourth)));
    assert_false(digest_equal(model_digest(first), model_digest(third)));
    assert_true(digest_equal(model_numerics(first), model_numerics(third)));
    model_free(first);
    model_free(second);
    model_free(third);
    model_free(fourth);
}

static void a_models_digest_is_that_of_its_whole_file(void **state)
{
    (void)state;
    struct buf image = {0};
    tiny_model_write(&image, &(struct tiny_model){.type = GGUF_TENSOR_Q8_0, .seed = 4});
    struct digest want = digest_of(image.data, image.size);
    struct model *model;
    assert_int_equal(load_bytes(&image, &model), ERR_OK);
    assert_true(digest_equal(model_digest(model), &want));
    model_free(model);
    buf_fini(&image);
}

static void a_vocabulary_without_weights_is_no_model(void **state)
{
    (void)state;
    assert_tiny_refused(&(struct tiny_model){.vocab_only = true}, ERR_FORMAT, "token_embd.weight",
                        "without weights");
}

static void a_missing_file_is_named(void **state)
{
    (void)state;
    struct model *model = NULL;
    assert_int_equal(load_file("/nowhere/at-all.gguf", 0, &model), ERR_IO);
    assert_non_null(strstr(err_text(), "/nowhere/at-all.gguf"));
}

static void a_missing_tensor_is_named(void **state)
{
    (void)state;
    struct buf image = {0};
    given_patched(&image, &(struct tiny_model){0}, "blk.1.attn_k_norm.weight", 6, "xxxxxx", 6);
    assert_refused(&image, ERR_FORMAT, "'blk.1.attn_k_norm.weight' is missing", "qwen3");
    buf_fini(&image);
}

/* In the directory a name is followed by a count of dimensions (4 bytes), the dimensions (8 each), the type (4). */
static void a_tensor_of_another_shape_is_named_with_both_shapes(void **state)
{
    (void)state;
    struct buf image = {0};
    uint64_t dims[2] = {128, 32}; // as many values as before
    const char *name = "blk.0.attn_k.weight";
    given_patched(&image, &(struct tiny_model){.architecture = "llama"}, name, strlen(name) + 4,
                  dims, sizeof dims);
    assert_refused(&image, ERR_FORMAT, name, "128 x 32; its hyper-parameters say 64 x 32");
    buf_fini(&image);
}

static void a_type_that_we_do_not_read_is_named(void **state)
{
    (void)state;
    struct buf image = {0};
    const char *name = "blk.0.ffn_down.weight";
    uint32_t types[] = {GGUF_TENSOR_Q8_1, 77};
    struct tiny_model options = {.type = GGUF_TENSOR_Q8_0};
    given_patched(&image, &options, name, strlen(name) + 4 + 16, &types[0], 4);
    assert_refused(&image, ERR_UNSUPPORTED, "tensor 'blk.0.ffn_down.weight' is Q8_1",
                   "this build reads F32, F16, BF16, Q8_0, Q4_0");
    buf_clear(&image);
    given_patched(&image, &options, name, strlen(name) + 4 + 16, &types[1], 4);
    assert_refused(&image, ERR_UNSUPPORTED, "tensor 'blk.0.ffn_down.weight' is type 77",
                   "this build reads");
    buf_fini(&image);
}

static void add_stranger(struct gguf_writer *writer)
{
    uint64_t dim = 4;
    float values[4] = {0};
    gguf_write_tensor(writer, "blk.0.attn_sinks.weight", GGUF_TENSOR_F32, &dim, 1, values,
                      sizeof values);
}

static void a_tensor_that_the_architecture_does_not_have_is_named(void **state)
{
    (void)state;
    assert_tiny_refused(&(struct tiny_model){.extend = add_stranger}, ERR_UNSUPPORTED,
                        "'blk.0.attn_sinks.weight'", "unknown to qwen3");
    assert_tiny_refused(&(struct tiny_model){.architecture = "qwen2", .rope_freqs = true},
                        ERR_UNSUPPORTED, "'rope_freqs.weight'", "unknown to qwen2");
}

static void add_yarn(struct gguf_writer *writer)
{
    gguf_write_string(writer, "qwen3.rope.scaling.type", "yarn");
}

static void add_none(struct gguf_writer *writer)
{
    gguf_write_string(writer, "qwen3.rope.scaling.type", "none");
}

static void add_linear_factor(struct gguf_writer *writer)
{
    gguf_write_f32(writer, "qwen3.rope.scaling.factor", 4);
}

static void add_experts(struct gguf_writer *writer)
{
    gguf_write_u32(writer, "qwen3.expert_count", 8);
}

static void rope_scaling_and_experts_are_refused_by_name(void **state)
{
    (void)state;
    assert_tiny_refused(&(struct tiny_model){.extend = add_yarn}, ERR_UNSUPPORTED,
                        "qwen3.rope.scaling.type", "'yarn'");
    assert_tiny_refused(&(struct tiny_model){.extend = add_linear_factor}, ERR_UNSUPPORTED,
                        "qwen3.rope.scaling.factor is 4", "no rope scaling");
    assert_tiny_refused(&(struct tiny_model){.extend = add_experts}, ERR_UNSUPPORTED,
                        "qwen3.expert_count is 8", "mixture of experts");
    struct model *model;
    assert_int_equal(load_tiny(&(struct tiny_model){.extend = add_none}, &model), ERR_OK);
    model_free(model);
}

static void an_architecture_that_we_do_not_run_is_named(void **state)
{
    (void)state;
    struct buf image = {0};
    given_patched(&image, &(struct tiny_model){0}, "qwen3", 0, "gemma", 5);
    assert_refused(&image, ERR_UNSUPPORTED, "'gemma'", "llama, qwen2, qwen3");
    buf_fini(&image);
}

/* In the metadata a key is followed by its type (4 bytes) and its value. */
static void assert_value_refused(const char *key, const void *value, enum err err, const char *word)
{
    struct buf image = {0};
    given_patched(&image, &(struct tiny_model){0}, key, strlen(key) + 4, value, 4);
    assert_refused(&image, err, key, word);
    buf_fini(&image);
}

static void hyper_parameters_out_of_bounds_are_named(void **state)
{
    (void)state;
    uint32_t none = 0;
    uint32_t three = 3;
    uint32_t huge = UINT32_MAX;
    uint32_t nine = 9;
    float minus = -1;
    assert_value_refused("qwen3.context_length", &huge, ERR_FORMAT, "4294967295");
    assert_value_refused("qwen3.context_length", &none, ERR_FORMAT, "is 0");
    assert_value_refused("qwen3.embedding_length", &huge, ERR_FORMAT, "1..65536");
    assert_value_refused("qwen3.block_count", &huge, ERR_FORMAT, "1..512");
    assert_value_refused("qwen3.feed_forward_length", &huge, ERR_FORMAT, "4294967295");
    assert_value_refused("qwen3.attention.head_count", &huge, ERR_FORMAT, "4294967295");
    assert_value_refused("qwen3.attention.head_count_kv", &three, ERR_FORMAT, "does not divide 4");
    assert_value_refused("qwen3.attention.head_count_kv", &nine, ERR_FORMAT, "1..4");
    assert_value_refused("qwen3.attention.key_length", &huge, ERR_FORMAT, "4294967295");
    assert_value_refused("qwen3.attention.layer_norm_rms_epsilon", &minus, ERR_FORMAT, "-1");
    assert_value_refused("qwen3.rope.freq_base", &minus, ERR_FORMAT, "-1");
    assert_value_refused("qwen3.vocab_size", &three, ERR_FORMAT, "is 3");
}

static void heads_that_the_attention_kernel_cannot_take_are_refused(void **state)
{
    (void)state;
    struct buf image = {0};
    uint32_t twelve = 12;
    struct tiny_model options = {0};
    given_patched(&image, &options, "qwen3.attention.key_length", 26 + 4, &twelve, 4);
    char *value = memmem(image.data, image.size, "qwen3.attention.value_length", 28);
    assert_non_null(value);
    memcpy(value + 28 + 4, &twelve, 4);
    assert_refused(&image, ERR_UNSUPPORTED, "heads of 12", "multiples of 8");
    buf_fini(&image);
}

static void without_its_optional_keys_a_model_gets_the_defaults(void **state)
{
    (void)state;
    struct buf image = {0};
    struct tiny_model options = {.architecture =
                                     "llama"}; // 64 / 4 heads: key_length 16 is the default
    given_patched(&image, &options, "llama.attention.key_length", 6, "xttention", 9);
    char *base = memmem(image.data, image.size, "llama.rope.freq_base", 20);
    assert_non_null(base);
    memcpy(base, "llama.rope.xxxx_xxxx", 20);
    struct model *model;
    assert_int_equal(load_bytes(&image, &model), ERR_OK);
    assert_int_equal(model_shape(model)->head_dim, 16);
    assert_true(model_shape(model)->rope_base == 10000);
    model_free(model);
    buf_fini(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_architecture_and_type_loads_with_its_shape),
        cmocka_unit_test(the_context_can_be_limited),
        cmocka_unit_test(digests_tell_models_and_numerics_apart),
        cmocka_unit_test(a_models_digest_is_that_of_its_whole_file),
        cmocka_unit_test(a_vocabulary_without_weights_is_no_model),
        cmocka_unit_test(a_missing_file_is_named),
        cmocka_unit_test(a_missing_tensor_is_named),
        cmocka_unit_test(a_tensor_of_another_shape_is_named_with_both_shapes),
        cmocka_unit_test(a_type_that_we_do_not_read_is_named),
        cmocka_unit_test(a_tensor_that_the_architecture_does_not_have_is_named),
        cmocka_unit_test(rope_scaling_and_experts_are_refused_by_name),
        cmocka_unit_test(an_architecture_that_we_do_not_run_is_named),
        cmocka_unit_test(hyper_parameters_out_of_bounds_are_named),
        cmocka_unit_test(heads_that_the_attention_kernel_cannot_take_are_refused),
        cmocka_unit_test(without_its_optional_keys_a_model_gets_the_defaults),
    };
    return cmocka_run_group_tests(tests, make_team, end_team);
}

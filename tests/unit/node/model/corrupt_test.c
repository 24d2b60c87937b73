/* A model file is a stranger's: whatever its bytes, model_load() answers. Run under the sanitizers. */
#include "node/engine/kv.h"
#include "node/probe/decoder.h"
#include "tests/support/tiny_model.h"
#include "tests/test.h"

#include "base/buf.h"
#include "base/gguf.h"
#include "base/mem.h"
#include "base/rand.h"

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

enum {
    TRUNCATIONS = 200,
    MUTATIONS = 2000,
    EDITS_MAX = 4
};

static const struct tiny_model kinds[] = {
    {.architecture = "llama", .type = GGUF_TENSOR_Q8_0, .rope_freqs = true},
    {.architecture = "qwen2", .type = GGUF_TENSOR_F16},
    {.architecture = "qwen3", .type = GGUF_TENSOR_F32},
};

/* Load; a model that loads must also run (its weights may be anything, its logits too). Counts what loads. */
static void try_bytes(const void *bytes, size_t size, size_t *loaded)
{
    char path[TINY_MODEL_PATH_MAX];
    tiny_model_file_bytes(path, bytes, size);
    struct decoder_options options = {
        .model = path, .threads = 1, .context_max = 64, .rows_max = 16};
    struct decoder *decoder;
    if (decoder_new(&decoder, &options) == ERR_OK) {
        int32_t ids[3] = {0, 1, 2};
        uint32_t vocab_size = model_shape(decoder->model)->vocab_size;
        uint32_t count = vocab_size < 3 ? vocab_size : 3;
        struct kv_table table;
        kv_table_init(&table, 64);
        if (count <= model_shape(decoder->model)->context_length)
            assert_int_equal(decoder_extend(decoder, &table, ids, count, 0), ERR_OK);
        kv_table_fini(decoder->pool, &table);
        decoder_free(decoder);
        (*loaded)++;
    } else {
        assert_true(*err_text() != 0);
    }
    unlink(path);
}

static void a_truncated_model_is_an_error(void **state)
{
    (void)state;
    struct rand rand;
    rand_init(&rand, 11);
    for (size_t kind = 0; kind < 3; kind++) {
        struct buf image = {0};
        tiny_model_write(&image, &kinds[kind]);
        size_t loaded = 0;
        for (int i = 0; i < TRUNCATIONS / 3; i++)
            try_bytes(image.data, (size_t)rand_below(&rand, image.size), &loaded);
        assert_int_equal(loaded, 0);
        try_bytes(image.data, image.size, &loaded);
        assert_int_equal(loaded, 1);
        buf_fini(&image);
    }
}

/* Where the tensors' data begins, nearly: mutations before it hit counts, names, dimensions, offsets. */
static size_t head_size(const struct buf *image)
{
    const char last[] = "blk.1.ffn_down.weight";
    const char *at = memmem(image->data, image->size, last, sizeof last - 1);
    assert_non_null(at);
    return (size_t)(at - image->data) + sizeof last + 36;
}

static void mutate(char *bytes, size_t size, struct rand *rand)
{
    static const uint64_t numbers[] = {0, 1, 31, 32, UINT32_MAX, INT64_MAX, UINT64_MAX, 1u << 20};
    size_t edits = 1 + (size_t)rand_below(rand, EDITS_MAX);
    for (size_t i = 0; i < edits; i++) {
        size_t at = (size_t)rand_below(rand, size - 8);
        uint64_t number = numbers[rand_below(rand, sizeof numbers / sizeof *numbers)];
        switch (rand_below(rand, 4)) {
        case 0: bytes[at] = (char)rand_next(rand); break;
        case 1: bytes[at] ^= (char)(1 << rand_below(rand, 8)); break;
        case 2: memcpy(bytes + at, &number, 4); break;
        default: memcpy(bytes + at, &number, 8);
        }
    }
}

static void a_mutated_model_loads_or_is_an_error(void **state)
{
    (void)state;
    struct rand rand;
    rand_init(&rand, 12);
    size_t loaded = 0;
    for (size_t kind = 0; kind < 3; kind++) {
        struct buf image = {0};
        tiny_model_write(&image, &kinds[kind]);
        size_t head = head_size(&image);
        // The vocabulary's strings are most of the head; half of the edits aim behind it, at the directory.
        size_t directory = head - 60 * 30;
        char *copy = mem_new(image.size, 1);
        for (int i = 0; i < MUTATIONS / 3; i++) {
            memcpy(copy, image.data, image.size);
            size_t from = i % 2 ? directory : 0;
            mutate(copy + from, head - from, &rand);
            try_bytes(copy, image.size, &loaded);
        }
        mem_free(copy);
        buf_fini(&image);
    }
    // Some edits do no harm (a vocabulary's string, an epsilon): both outcomes must have been seen.
    assert_true(loaded > 0 && loaded < MUTATIONS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_truncated_model_is_an_error),
        cmocka_unit_test(a_mutated_model_loads_or_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

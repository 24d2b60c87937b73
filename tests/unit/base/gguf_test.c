#include "tests/test.h"

#include "base/buf.h"
#include "base/gguf.h"
#include "base/rand.h"

#include <dirent.h>
#include <string.h>

static void write_sample(struct buf *out)
{
    static const char *const words[] = {"a", "", "桥", "long enough"};
    static const int32_t types[] = {1, 3, 1, -6};
    static const float scores[] = {0.5f, -1.0f, 2.0f, 3.0f};
    float data[64];
    for (int i = 0; i < 64; i++)
        data[i] = (float)i;
    struct gguf_writer *writer = gguf_writer_new();
    gguf_write_string(writer, "general.architecture", "llama");
    gguf_write_u32(writer, "llama.context_length", 128);
    gguf_write_u32(writer, "llama.feed_forward_length", 99);
    gguf_write_f32(writer, "llama.rope.freq_base", 10000.0f);
    gguf_write_bool(writer, "tokenizer.ggml.add_bos_token", true);
    gguf_write_strings(writer, "tokenizer.ggml.tokens", words, NULL, 4);
    gguf_write_ints(writer, "tokenizer.ggml.token_type", types, 4);
    gguf_write_floats(writer, "tokenizer.ggml.scores", scores, 4);
    gguf_write_i32(writer, "llama.negative", -5);
    gguf_write_tensor(writer, "a.weight", GGUF_TENSOR_F32, (uint64_t[]){16, 4}, 2, data, 256);
    gguf_write_tensor(writer, "b.bias", GGUF_TENSOR_F32, (uint64_t[]){3}, 1, data, 12);
    gguf_write_tensor(writer, "c.weight", GGUF_TENSOR_Q8_0, (uint64_t[]){32, 2}, 2, data, 68);
    gguf_writer_finish(writer, out);
    gguf_writer_free(writer);
}

static void what_was_written_is_read_back(void **state)
{
    (void)state;
    struct buf image = {0};
    write_sample(&image);
    struct gguf *gguf;
    assert_int_equal(gguf_parse(&gguf, image.data, image.size), ERR_OK);

    uint32_t number;
    float real;
    bool flag;
    struct gguf_string text, words[4];
    int32_t types[4];
    float scores[4];
    assert_int_equal(gguf_get_u32(gguf, "llama.context_length", &number), ERR_OK);
    assert_int_equal(number, 128);
    assert_int_equal(gguf_get_u32(gguf, "llama.negative", &number), ERR_FORMAT);
    assert_non_null(strstr(err_text(), "llama.negative"));
    assert_non_null(strstr(err_text(), "-5"));
    assert_int_equal(gguf_get_u32(gguf, "llama.absent", &number), ERR_NOT_FOUND);
    assert_int_equal(gguf_get_f32(gguf, "llama.rope.freq_base", &real), ERR_OK);
    assert_true(real == 10000.0f);
    assert_int_equal(gguf_get_bool(gguf, "tokenizer.ggml.add_bos_token", &flag), ERR_OK);
    assert_true(flag);
    assert_int_equal(gguf_get_string(gguf, "general.architecture", &text), ERR_OK);
    assert_memory_equal(text.text, "llama", 5);
    assert_int_equal(gguf_get_strings(gguf, "tokenizer.ggml.tokens", words, 4), ERR_OK);
    assert_int_equal(words[2].size, 3);
    assert_memory_equal(words[3].text, "long enough", 11);
    assert_int_equal(gguf_get_ints(gguf, "tokenizer.ggml.token_type", types, 4), ERR_OK);
    assert_int_equal(types[3], -6);
    assert_int_equal(gguf_get_floats(gguf, "tokenizer.ggml.scores", scores, 4), ERR_OK);
    assert_true(scores[1] == -1.0f);
    assert_int_equal(gguf_get_floats(gguf, "tokenizer.ggml.token_type", scores, 4), ERR_FORMAT);

    assert_int_equal(gguf_tensor_count(gguf), 3);
    const struct gguf_tensor *tensor = gguf_find_tensor(gguf, "c.weight");
    assert_non_null(tensor);
    assert_int_equal(tensor->size, 68);
    assert_int_equal(((const char *)tensor->data - image.data) % 32, 0);
    assert_null(gguf_find_tensor(gguf, "d.weight"));
    gguf_close(gguf);
    buf_fini(&image);
}

static void a_pack_is_a_small_image_of_the_same_metadata(void **state)
{
    (void)state;
    struct buf image = {0}, pack = {0}, again = {0};
    write_sample(&image);
    struct gguf *gguf, *small;
    assert_int_equal(gguf_parse(&gguf, image.data, image.size), ERR_OK);
    assert_int_equal(gguf_write_pack(gguf, &pack), ERR_OK);
    assert_int_equal(gguf_parse(&small, pack.data, pack.size), ERR_OK);
    assert_int_equal(gguf_tensor_count(small), 0);
    assert_true(gguf_has(small, "tokenizer.ggml.tokens"));
    assert_true(gguf_has(small, "llama.context_length"));
    assert_false(gguf_has(small, "llama.feed_forward_length"));
    assert_int_equal(gguf_write_pack(small, &again), ERR_OK);
    assert_int_equal(again.size, pack.size);
    assert_memory_equal(again.data, pack.data, pack.size);
    gguf_close(small);
    gguf_close(gguf);
    buf_fini(&again);
    buf_fini(&pack);
    buf_fini(&image);
}

/* Walk everything that an open image offers: under ASan a bound that was not checked stops here. */
static uint64_t walk(const struct gguf *gguf)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < gguf_tensor_count(gguf); i++) {
        const struct gguf_tensor *tensor = gguf_tensor_at(gguf, i);
        const unsigned char *data = tensor->data;
        for (uint64_t b = 0; b < tensor->size; b++)
            sum += data[b];
    }
    static const char *const keys[] = {"tokenizer.ggml.tokens", "tokenizer.ggml.token_type",
                                       "tokenizer.ggml.scores"};
    for (size_t k = 0; k < 3; k++) {
        enum gguf_value_type type;
        size_t count;
        if (gguf_get_array(gguf, keys[k], &type, &count) || count > 4096) continue;
        struct gguf_string strings[4096];
        int32_t ints[4096];
        float floats[4096];
        if (!gguf_get_strings(gguf, keys[k], strings, count))
            for (size_t i = 0; i < count; i++)
                for (size_t b = 0; b < strings[i].size; b++)
                    sum += (unsigned char)strings[i].text[b];
        if (!gguf_get_ints(gguf, keys[k], ints, count) && count) sum += (uint32_t)ints[0];
        (void)gguf_get_floats(gguf, keys[k], floats, count);
    }
    struct buf pack = {0};
    (void)gguf_write_pack(gguf, &pack);
    sum += pack.size;
    buf_fini(&pack);
    return sum;
}

/* A copy of exactly `size` bytes, so that ASan sees a read past them. */
static enum err parse_copy(const char *bytes, size_t size)
{
    char *copy = malloc(size ? size : 1);
    memcpy(copy, bytes, size);
    struct gguf *gguf;
    enum err err = gguf_parse(&gguf, copy, size);
    if (!err) {
        volatile uint64_t sum = walk(gguf);
        (void)sum;
        gguf_close(gguf);
    }
    free(copy);
    return err;
}

static void a_file_cut_anywhere_is_refused(void **state)
{
    (void)state;
    struct buf image = {0};
    write_sample(&image);
    // The last tensor has 68 bytes of data and 28 of padding, which may be missing.
    for (size_t size = 0; size < image.size - 28; size++)
        assert_int_equal(parse_copy(image.data, size), ERR_FORMAT);
    assert_int_equal(parse_copy(image.data, image.size - 28), ERR_OK);
    buf_fini(&image);
}

static void mutated_files_are_read_or_refused(void **state)
{
    (void)state;
    struct buf image = {0};
    write_sample(&image);
    struct rand rand;
    rand_init(&rand, 7);
    size_t refused = 0;
    for (int round = 0; round < 20000; round++) {
        struct buf copy = {0};
        buf_add(&copy, image.data, image.size);
        for (uint64_t edits = 1 + rand_below(&rand, 4); edits > 0; edits--) {
            size_t at = (size_t)rand_below(&rand, copy.size);
            static const unsigned char extremes[] = {0, 1, 0x7F, 0x80, 0xFF};
            copy.data[at] = rand_below(&rand, 2) ? (char)rand_next(&rand)
                                                 : (char)extremes[rand_below(&rand, 5)];
        }
        if (parse_copy(copy.data, copy.size)) refused++;
        buf_fini(&copy);
    }
    assert_in_range(refused, 1000, 19999); // the mutations bite, and not every one is fatal
    buf_fini(&image);
}

static void errors_name_field_and_value(void **state)
{
    (void)state;
    struct buf image = {0};
    write_sample(&image);
    struct gguf *gguf;
    uint64_t huge = UINT64_C(1) << 60;

    memcpy(image.data + 8, &huge, 8);
    assert_int_equal(gguf_parse(&gguf, image.data, image.size), ERR_FORMAT);
    assert_non_null(strstr(err_text(), "1152921504606846976 tensors"));

    buf_clear(&image);
    write_sample(&image);
    image.data[4] = 9;
    assert_int_equal(gguf_parse(&gguf, image.data, image.size), ERR_FORMAT);
    assert_non_null(strstr(err_text(), "version 9"));

    buf_clear(&image);
    write_sample(&image);
    char *name = memmem(image.data, image.size, "c.weight", 8);
    memcpy(name + 8 + 4 + 16 + 4, &huge, 8); // its offset
    assert_int_equal(gguf_parse(&gguf, image.data, image.size), ERR_FORMAT);
    assert_non_null(strstr(err_text(), "tensor 'c.weight': offset 1152921504606846976"));
    buf_fini(&image);
}

static void the_shared_files_open(void **state)
{
    (void)state;
    static const char *const names[] = {
        "tokenizers/ggml-vocab-qwen2.gguf", "tokenizers/ggml-vocab-llama-spm.gguf",
        "logits/qwen3-Q8_0.gguf",           "logits/qwen2w-Q4_K_M.gguf",
        "models/stories260K.gguf",          "recommend/iclrec-beauty.gguf"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *path = test_shared(names[i]);
        if (!path) skip();
        struct gguf *gguf;
        assert_int_equal(gguf_open(&gguf, path), ERR_OK);
        assert_true(gguf_has(gguf, "general.architecture"));
        gguf_close(gguf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_back),
        cmocka_unit_test(a_pack_is_a_small_image_of_the_same_metadata),
        cmocka_unit_test(a_file_cut_anywhere_is_refused),
        cmocka_unit_test(mutated_files_are_read_or_refused),
        cmocka_unit_test(errors_name_field_and_value),
        cmocka_unit_test(the_shared_files_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

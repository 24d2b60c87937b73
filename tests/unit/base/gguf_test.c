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
    gguf_write_u32(writer, "general.alignment", 32);
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

/* Bytes to put over a good image: `at` bytes behind the first place where `mark` stands. */
struct corruption {
    const char *mark;
    size_t at;
    uint64_t value;
    size_t size;
    const char *note[2]; // what the error must say: the field, and its value
};

static const struct corruption corruptions[] = {
    {"GGUF", 0, 'X', 1, {"begins with 58", "GGUF"}},
    {"GGUF", 4, 9, 4, {"version 9", "2 or 3"}},
    {"GGUF", 4, 0x03000000, 4, {"version 50331648", "2 or 3"}},
    {"GGUF", 8, UINT64_C(1) << 60, 8, {"1152921504606846976 tensors", "65536"}},
    {"GGUF", 16, 65537, 8, {"65537 metadata pairs", "65536"}},
    {"GGUF", 24, 0, 8, {"a metadata key", "has 0 bytes"}},
    {"GGUF", 24, 257, 8, {"a metadata key", "has 257 bytes"}},
    {"GGUF", 24, UINT64_MAX, 8, {"a metadata key", "length 18446744073709551615"}},
    {"general.architecture", 20, 13, 4, {"'general.architecture'", "type 13"}},
    {"general.architecture", 24, 1 << 20, 8, {"general.architecture", "length 1048576"}},
    {"add_bos_token", 17, 2, 1, {"add_bos_token'", "boolean 2"}},
    {"ggml.tokens", 15, 9, 4, {"tokens'", "element type 9"}},
    {"ggml.tokens", 15, 77, 4, {"tokens'", "element type 77"}},
    {"ggml.tokens", 19, (1 << 24) + 1, 8, {"tokens'", "16777217 elements"}},
    {"ggml.token_type", 23, 1 << 20, 8, {"token_type", "needs 4194304 bytes"}},
    {"llama.negative", 6, 'f', 1, {NULL, NULL}}, // another name: nothing is wrong
    {"general.alignment", 21, 3, 4, {"general.alignment is 3", "power of two"}},
    {"general.alignment", 21, 4, 4, {"general.alignment is 4", "from 8"}},
    {"general.alignment", 21, 0, 4, {"general.alignment is 0", "power of two"}},
    {"general.alignment", 21, 1 << 20, 4, {"general.alignment is 1048576", "65536"}},
    {"general.alignment", 17, GGUF_F32, 4, {"general.alignment", "not an integer"}},
    {"a.weight", 8, 0, 4, {"tensor 'a.weight'", "0 dimensions"}},
    {"a.weight", 8, 5, 4, {"tensor 'a.weight'", "5 dimensions"}},
    {"a.weight", 12, 0, 8, {"tensor 'a.weight'", "dimension 0 is 0"}},
    {"a.weight", 20, UINT64_MAX, 8, {"tensor 'a.weight'", "dimension 1 is 184467440737095516"}},
    {"a.weight", 20, 1 << 20, 8, {"tensor 'a.weight'", "67108864 bytes"}},
    {"a.weight", 28, 77, 4, {NULL, NULL}}, // a type that we do not know: no data, no error
    {"a.weight", 0, 'b', 1, {NULL, NULL}},
    {"b.bias", 22, 31, 8, {"tensor 'b.bias'", "offset 31"}},
    {"b.bias", 22, UINT64_MAX - 31, 8, {"tensor 'b.bias'", "offset 18446744073709551584"}},
    {"c.weight", 12, 33, 8, {"tensor 'c.weight'", "rows of 33"}},
    {"c.weight", 32, UINT64_C(1) << 60, 8, {"tensor 'c.weight'", "offset 1152921504606846976"}},
};

static void every_corruption_is_named_with_its_value(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof corruptions / sizeof *corruptions; i++) {
        const struct corruption *c = &corruptions[i];
        struct buf image = {0};
        write_sample(&image);
        char *mark = memmem(image.data, image.size, c->mark, strlen(c->mark));
        assert_non_null(mark);
        memcpy(mark + c->at, &c->value, c->size);
        enum err err = parse_copy(image.data, image.size);
        assert_int_equal(err, c->note[0] ? ERR_FORMAT : ERR_OK);
        for (size_t n = 0; n < 2 && c->note[n]; n++)
            if (!strstr(err_text(), c->note[n]))
                fail_msg("corruption %zu: \"%s\" lacks \"%s\"", i, err_text(), c->note[n]);
        buf_fini(&image);
    }
}

static void a_name_that_stands_twice_is_refused(void **state)
{
    (void)state;
    for (int tensors = 0; tensors < 2; tensors++) {
        struct gguf_writer *writer = gguf_writer_new();
        for (int i = 0; i < 2; i++) {
            if (tensors)
                gguf_write_tensor(writer, "twin", GGUF_TENSOR_F32, (uint64_t[]){1}, 1, "1234", 4);
            else
                gguf_write_u32(writer, "twin", 1);
        }
        struct buf image = {0};
        gguf_writer_finish(writer, &image);
        gguf_writer_free(writer);
        assert_int_equal(parse_copy(image.data, image.size), ERR_FORMAT);
        assert_non_null(strstr(err_text(), "'twin' stands twice"));
        buf_fini(&image);
    }
}

static void a_path_that_is_no_file_is_said(void **state)
{
    (void)state;
    struct gguf *gguf;
    assert_int_equal(gguf_open(&gguf, "/nowhere/model.gguf"), ERR_IO);
    assert_non_null(strstr(err_text(), "/nowhere/model.gguf"));
    assert_int_equal(gguf_open(&gguf, "/tmp"), ERR_IO);
    assert_non_null(strstr(err_text(), "not a regular file"));
    char path[] = "/tmp/qiao-gguf-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(gguf_open(&gguf, path), ERR_FORMAT);
    assert_non_null(strstr(err_text(), "empty"));
    assert_int_equal(write(file, "GGUF", 4), 4);
    assert_int_equal(gguf_open(&gguf, path), ERR_FORMAT);
    close(file);
    unlink(path);
}

static void the_shared_files_open(void **state)
{
    (void)state;
    static const char *const folders[] = {"tokenizers", "logits", "models", "recommend"};
    size_t opened = 0;
    for (size_t f = 0; f < sizeof folders / sizeof *folders; f++) {
        const char *folder = test_shared(folders[f]);
        if (!folder) skip();
        char base[1024], path[2048];
        snprintf(base, sizeof base, "%s", folder);
        DIR *entries = opendir(base);
        assert_non_null(entries);
        for (const struct dirent *entry; (entry = readdir(entries));) {
            const char *tail = strrchr(entry->d_name, '.');
            if (!tail || strcmp(tail, ".gguf") != 0) continue;
            snprintf(path, sizeof path, "%s/%s", base, entry->d_name);
            struct gguf *gguf;
            if (gguf_open(&gguf, path)) fail_msg("%s: %s", path, err_text());
            assert_true(gguf_has(gguf, "general.architecture"));
            gguf_close(gguf);
            opened++;
        }
        closedir(entries);
    }
    assert_in_range(opened, 20, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_back),
        cmocka_unit_test(a_pack_is_a_small_image_of_the_same_metadata),
        cmocka_unit_test(a_file_cut_anywhere_is_refused),
        cmocka_unit_test(mutated_files_are_read_or_refused),
        cmocka_unit_test(every_corruption_is_named_with_its_value),
        cmocka_unit_test(a_name_that_stands_twice_is_refused),
        cmocka_unit_test(a_path_that_is_no_file_is_said),
        cmocka_unit_test(the_shared_files_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

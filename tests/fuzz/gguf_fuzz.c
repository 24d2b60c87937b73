/* Any bytes as a GGUF image. What opens is walked whole: every getter on every key, every byte of
 * every string, array and tensor, and the pack, which must open again and pack to itself. Built
 * with libFuzzer, or with tests/fuzz/corpus.c. */
#include "base/buf.h"
#include "base/gguf.h"
#include "base/gguf_image.h"
#include "base/mem.h"
#include "base/must.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was read; volatile, so that no read is optimised away. */
static volatile uint64_t sum;

static void read_bytes(const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    uint64_t total = 0;
    for (size_t i = 0; i < size; i++)
        total += at[i];
    sum += total;
}

static void must_lie_inside(const struct gguf *gguf, const void *bytes, size_t size)
{
    size_t image_size;
    const char *image = gguf_bytes(gguf, &image_size);
    const char *at = bytes;
    must(at >= image && size <= image_size && at <= image + (image_size - size));
    read_bytes(bytes, size);
}

static void walk_array(const struct gguf *gguf, const char *key)
{
    enum gguf_value_type type;
    size_t count, image_size;
    if (gguf_get_array(gguf, key, &type, &count) != ERR_OK) return;
    (void)gguf_bytes(gguf, &image_size);
    must(count <= image_size); // an element has at least one byte

    struct gguf_string *strings = mem_new(count + 1, sizeof *strings);
    int32_t *ints = mem_new(count + 1, sizeof *ints);
    float *floats = mem_new(count + 1, sizeof *floats);
    if (gguf_get_strings(gguf, key, strings, count) == ERR_OK)
        for (size_t i = 0; i < count; i++)
            must_lie_inside(gguf, strings[i].text, strings[i].size);
    if (gguf_get_ints(gguf, key, ints, count) == ERR_OK) read_bytes(ints, count * sizeof *ints);
    if (gguf_get_floats(gguf, key, floats, count) == ERR_OK)
        read_bytes(floats, count * sizeof *floats);
    mem_free(strings);
    mem_free(ints);
    mem_free(floats);
}

static void walk_pairs(const struct gguf *gguf)
{
    for (size_t i = 0; i < gguf->pair_count; i++) {
        const struct gguf_pair *pair = &gguf->pairs[i];
        must_lie_inside(gguf, pair->key.text, pair->key.size);
        char key[GGUF_NAME_MAX + 1] = {0};
        memcpy(key, pair->key.text, pair->key.size);
        // A name with a NUL inside cannot be asked for; it must not be found under a shorter one.
        must(strlen(key) != pair->key.size || gguf_find_pair(gguf, key) == pair);

        uint32_t number;
        float real;
        bool flag;
        struct gguf_string text;
        if (gguf_get_u32(gguf, key, &number) == ERR_OK) read_bytes(&number, sizeof number);
        if (gguf_get_f32(gguf, key, &real) == ERR_OK) read_bytes(&real, sizeof real);
        if (gguf_get_bool(gguf, key, &flag) == ERR_OK) sum += flag;
        if (gguf_get_string(gguf, key, &text) == ERR_OK)
            must_lie_inside(gguf, text.text, text.size);
        walk_array(gguf, key);
    }
}

static void walk_tensors(const struct gguf *gguf)
{
    for (size_t i = 0; i < gguf_tensor_count(gguf); i++) {
        const struct gguf_tensor *tensor = gguf_tensor_at(gguf, i);
        must((tensor->data == NULL) == (tensor->size == 0));
        must(tensor->dim_count >= 1 && tensor->dim_count <= GGUF_DIMS_MAX);
        if (tensor->data) must_lie_inside(gguf, tensor->data, tensor->size);
        const char *type = gguf_tensor_type_name(tensor->type);
        read_bytes(type, strlen(type));
        char name[GGUF_NAME_MAX + 1] = {0};
        memcpy(name, tensor->name.text, tensor->name.size);
        must(strlen(name) != tensor->name.size || gguf_find_tensor(gguf, name) == tensor);
    }
}

/* A pack is refused only for a reason that can be said, and otherwise stands on its own. */
static void pack(const struct gguf *gguf)
{
    struct buf first = {0}, second = {0};
    if (gguf_write_pack(gguf, &first) == ERR_OK) {
        struct gguf *small;
        must(gguf_parse(&small, first.data, first.size) == ERR_OK);
        must(gguf_tensor_count(small) == 0);
        must(gguf_write_pack(small, &second) == ERR_OK);
        must(first.size == second.size && memcmp(first.data, second.data, first.size) == 0);
        gguf_close(small);
    }
    buf_fini(&first);
    buf_fini(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gguf *gguf;
    enum err err = gguf_parse(&gguf, data, size);
    must(err == ERR_OK || err == ERR_FORMAT);
    if (err) {
        must(strncmp(err_text(), "gguf: ", 6) == 0);
        return 0;
    }
    walk_pairs(gguf);
    walk_tensors(gguf);
    pack(gguf);
    gguf_close(gguf);
    return 0;
}

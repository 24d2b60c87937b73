#include "base/buf.h"
#include "base/gguf.h"
#include "base/mem.h"
#include "base/must.h"

#include <string.h>

/* The image in the making: pairs, directory and data grow apart and are joined at the end. */
struct gguf_writer {
    struct buf pairs, directory, data;
    uint64_t pair_count, tensor_count;
    uint64_t data_size; // of the tensors in the directory, each padded
};

struct gguf_writer *gguf_writer_new(void)
{
    return mem_new(1, sizeof(struct gguf_writer));
}

void gguf_writer_free(struct gguf_writer *writer)
{
    if (!writer) return;
    buf_fini(&writer->pairs);
    buf_fini(&writer->directory);
    buf_fini(&writer->data);
    mem_free(writer);
}

static void add_u32(struct buf *buf, uint32_t value)
{
    buf_add(buf, &value, sizeof value);
}

static void add_u64(struct buf *buf, uint64_t value)
{
    buf_add(buf, &value, sizeof value);
}

static void add_text(struct buf *buf, const char *text, size_t size)
{
    add_u64(buf, size);
    buf_add(buf, text, size);
}

static struct buf *begin_pair(struct gguf_writer *writer, const char *key,
                              enum gguf_value_type type)
{
    must(strlen(key) > 0 && strlen(key) <= GGUF_NAME_MAX);
    writer->pair_count++;
    add_text(&writer->pairs, key, strlen(key));
    add_u32(&writer->pairs, type);
    return &writer->pairs;
}

static struct buf *begin_array(struct gguf_writer *writer, const char *key,
                               enum gguf_value_type element, size_t count)
{
    must(count <= GGUF_ARRAY_MAX);
    struct buf *pairs = begin_pair(writer, key, GGUF_ARRAY);
    add_u32(pairs, element);
    add_u64(pairs, count);
    return pairs;
}

void gguf_write_u32(struct gguf_writer *writer, const char *key, uint32_t value)
{
    add_u32(begin_pair(writer, key, GGUF_U32), value);
}

void gguf_write_i32(struct gguf_writer *writer, const char *key, int32_t value)
{
    buf_add(begin_pair(writer, key, GGUF_I32), &value, sizeof value);
}

void gguf_write_f32(struct gguf_writer *writer, const char *key, float value)
{
    buf_add(begin_pair(writer, key, GGUF_F32), &value, sizeof value);
}

void gguf_write_bool(struct gguf_writer *writer, const char *key, bool value)
{
    buf_add_byte(begin_pair(writer, key, GGUF_BOOL), value ? 1 : 0);
}

void gguf_write_string(struct gguf_writer *writer, const char *key, const char *value)
{
    add_text(begin_pair(writer, key, GGUF_STRING), value, strlen(value));
}

void gguf_write_strings(struct gguf_writer *writer, const char *key, const char *const *values,
                        const size_t *sizes, size_t count)
{
    struct buf *pairs = begin_array(writer, key, GGUF_STRING, count);
    for (size_t i = 0; i < count; i++)
        add_text(pairs, values[i], sizes ? sizes[i] : strlen(values[i]));
}

void gguf_write_ints(struct gguf_writer *writer, const char *key, const int32_t *values,
                     size_t count)
{
    buf_add(begin_array(writer, key, GGUF_I32, count), values, count * sizeof *values);
}

void gguf_write_floats(struct gguf_writer *writer, const char *key, const float *values,
                       size_t count)
{
    buf_add(begin_array(writer, key, GGUF_F32, count), values, count * sizeof *values);
}

static void pad(struct buf *buf)
{
    while (buf->size % GGUF_WRITER_ALIGNMENT != 0)
        buf_add_byte(buf, 0);
}

void gguf_announce_tensor(struct gguf_writer *writer, const char *name, uint32_t type,
                          const uint64_t *dims, uint32_t dim_count, uint64_t size)
{
    must(strlen(name) > 0 && strlen(name) <= GGUF_NAME_MAX);
    must(dim_count > 0 && dim_count <= GGUF_DIMS_MAX);
    struct buf *directory = &writer->directory;
    writer->tensor_count++;
    add_text(directory, name, strlen(name));
    add_u32(directory, dim_count);
    buf_add(directory, dims, dim_count * sizeof *dims);
    add_u32(directory, type);
    add_u64(directory, writer->data_size);
    uint64_t tail = size % GGUF_WRITER_ALIGNMENT;
    writer->data_size += size + (tail ? GGUF_WRITER_ALIGNMENT - tail : 0);
}

void gguf_write_tensor(struct gguf_writer *writer, const char *name, uint32_t type,
                       const uint64_t *dims, uint32_t dim_count, const void *data, size_t size)
{
    must(writer->data.size == writer->data_size);
    gguf_announce_tensor(writer, name, type, dims, dim_count, size);
    buf_add(&writer->data, data, size);
    pad(&writer->data);
}

void gguf_writer_finish(struct gguf_writer *writer, struct buf *out)
{
    size_t start = out->size;
    must(start == 0); // offsets are counted from the image's first byte
    must(writer->data.size == 0 || writer->data.size == writer->data_size);
    buf_add(out, "GGUF", 4);
    add_u32(out, 3);
    add_u64(out, writer->tensor_count);
    add_u64(out, writer->pair_count);
    buf_add(out, writer->pairs.data, writer->pairs.size);
    buf_add(out, writer->directory.data, writer->directory.size);
    pad(out);
    buf_add(out, writer->data.data, writer->data.size);
}

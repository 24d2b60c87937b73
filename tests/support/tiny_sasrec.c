#include "tests/support/tiny_sasrec.h"

#include "base/buf.h"
#include "base/gguf.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/rand.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    NAME_SIZE = 64,
    ROW_MAX = 1 << 16
};

/* A tensor to be: announced first, its values drawn when its turn comes. */
struct planned {
    char name[NAME_SIZE];
    uint64_t columns, rows; // rows 0: a vector
    float middle, spread;   // of the values
};

struct plan {
    struct planned tensors[16 * 8 + 4];
    size_t count;
};

static void plan(struct plan *plan, const char *name, uint64_t columns, uint64_t rows, float middle,
                 float spread)
{
    must(plan->count < sizeof plan->tensors / sizeof *plan->tensors && columns <= ROW_MAX);
    struct planned *tensor = &plan->tensors[plan->count++];
    *tensor =
        (struct planned){.columns = columns, .rows = rows, .middle = middle, .spread = spread};
    must(strlen(name) < sizeof tensor->name);
    memcpy(tensor->name, name, strlen(name) + 1);
}

static void plan_linear(struct plan *to, uint32_t block, const char *part, uint64_t columns,
                        uint64_t rows)
{
    char name[NAME_SIZE];
    snprintf(name, sizeof name, "blk.%u.%s.weight", block, part);
    plan(to, name, columns, rows, 0, 2 / sqrtf((float)columns));
    snprintf(name, sizeof name, "blk.%u.%s.bias", block, part);
    plan(to, name, rows, 0, 0, 0.2f);
}

static void plan_norm(struct plan *to, const char *part, uint64_t dim)
{
    char name[NAME_SIZE];
    must(snprintf(name, sizeof name, "%s.weight", part) < NAME_SIZE);
    plan(to, name, dim, 0, 1, 0.3f);
    must(snprintf(name, sizeof name, "%s.bias", part) < NAME_SIZE);
    plan(to, name, dim, 0, 0, 0.2f);
}

static void plan_all(struct plan *to, const struct tiny_sasrec *o)
{
    plan(to, "item_embd.weight", o->dim, o->items, 0, 1);
    plan(to, "position_embd.weight", o->dim, o->context, 0, 0.5f);
    plan_norm(to, "embd_norm", o->dim);
    for (uint32_t i = 0; i < o->blocks; i++) {
        char name[NAME_SIZE];
        plan_linear(to, i, "attn_q", o->dim, o->dim);
        plan_linear(to, i, "attn_k", o->dim, o->dim);
        plan_linear(to, i, "attn_v", o->dim, o->dim);
        plan_linear(to, i, "attn_output", o->dim, o->dim);
        snprintf(name, sizeof name, "blk.%u.attn_output_norm", i);
        plan_norm(to, name, o->dim);
        plan_linear(to, i, "ffn_up", o->dim, o->ffn);
        plan_linear(to, i, "ffn_down", o->ffn, o->dim);
        snprintf(name, sizeof name, "blk.%u.layer_output_norm", i);
        plan_norm(to, name, o->dim);
    }
}

static void write_item_ids(struct gguf_writer *writer, uint32_t items)
{
    char(*names)[24] = mem_new(items, sizeof *names);
    const char **values = mem_new(items, sizeof *values);
    size_t *sizes = mem_new(items, sizeof *sizes);
    for (uint32_t i = 0; i < items; i++) {
        sizes[i] = (size_t)snprintf(names[i], sizeof names[i], "item-%u", i);
        values[i] = names[i];
    }
    gguf_write_strings(writer, "sasrec.item_ids", values, sizes, items);
    mem_free(names);
    mem_free(values);
    mem_free(sizes);
}

static void write_head(struct buf *out, const struct tiny_sasrec *o, const struct plan *tensors)
{
    struct gguf_writer *writer = gguf_writer_new();
    gguf_write_string(writer, "general.architecture", "sasrec");
    gguf_write_string(writer, "general.name", "tiny sasrec");
    gguf_write_u32(writer, "sasrec.context_length", o->context);
    gguf_write_u32(writer, "sasrec.embedding_length", o->dim);
    gguf_write_u32(writer, "sasrec.block_count", o->blocks);
    gguf_write_u32(writer, "sasrec.feed_forward_length", o->ffn);
    gguf_write_u32(writer, "sasrec.attention.head_count", o->heads);
    gguf_write_f32(writer, "sasrec.attention.layer_norm_epsilon", 1e-12f);
    gguf_write_u32(writer, "sasrec.vocab_size", o->items);
    if (o->item_ids) write_item_ids(writer, o->items);
    for (size_t i = 0; i < tensors->count; i++) {
        const struct planned *tensor = &tensors->tensors[i];
        uint64_t dims[2] = {tensor->columns, tensor->rows};
        uint64_t size = tensor->columns * (tensor->rows ? tensor->rows : 1) * sizeof(float);
        gguf_announce_tensor(writer, tensor->name, GGUF_TENSOR_F32, dims, tensor->rows ? 2 : 1,
                             size);
    }
    gguf_writer_finish(writer, out);
    gguf_writer_free(writer);
}

static void write_values(FILE *file, const struct planned *tensor, struct rand *rand)
{
    static const char zeros[GGUF_WRITER_ALIGNMENT];
    float row[ROW_MAX];
    uint64_t size = 0;
    for (uint64_t r = 0; r < (tensor->rows ? tensor->rows : 1); r++) {
        for (uint64_t i = 0; i < tensor->columns; i++)
            row[i] = tensor->middle + tensor->spread * (float)(rand_unit(rand_next(rand)) * 2 - 1);
        must(fwrite(row, sizeof *row, tensor->columns, file) == tensor->columns);
        size += tensor->columns * sizeof *row;
    }
    size_t padding = (size_t)(-size % GGUF_WRITER_ALIGNMENT);
    must(fwrite(zeros, 1, padding, file) == padding);
}

void tiny_sasrec_file(char path[TINY_MODEL_PATH_MAX], const struct tiny_sasrec *options)
{
    must(options->blocks <= 8);
    struct plan *tensors = mem_new(1, sizeof *tensors);
    plan_all(tensors, options);
    struct buf head = {0};
    write_head(&head, options, tensors);
    const char *folder = getenv("TMPDIR");
    snprintf(path, TINY_MODEL_PATH_MAX, "%s/tiny-sasrec-XXXXXX", folder ? folder : "/tmp");
    int fd = mkstemp(path);
    must(fd >= 0);
    FILE *file = fdopen(fd, "wb");
    must(file && fwrite(head.data, 1, head.size, file) == head.size);
    struct rand rand;
    rand_init(&rand, options->seed);
    for (size_t i = 0; i < tensors->count; i++)
        write_values(file, &tensors->tensors[i], &rand);
    must(fclose(file) == 0);
    buf_fini(&head);
    mem_free(tensors);
}

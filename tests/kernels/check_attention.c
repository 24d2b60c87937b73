/* Attention over blocks, and the writing of blocks. What a sequence has not written is poison (NaN). */
#include "tests/kernels/check.h"

#include "kernels/attention.h"
#include "kernels/quant.h"

#include "base/mem.h"
#include "base/must.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    POISON = 0xFF, // of every byte: NaN as f16 and as float
    BLOCKS_MAX = 128
};

struct attention_shape {
    size_t rows, heads, head_dim, positions;
    enum kv_kind kind;
};

static const char *const kind_names[KV_KINDS] = {"f16", "int8"};

/* That the last row sees. */
static size_t positions_of(const struct attention *at)
{
    return at->positions + at->rows - 1;
}

/* Blocks of their own guarded memory each, the area `offset` bytes in, positions written up to the last one. */
static void draw_blocks(struct check *check, struct attention *at, enum kv_kind kind,
                        enum check_recipe recipe)
{
    size_t blocks = (positions_of(at) + ATTENTION_BLOCK - 1) / ATTENTION_BLOCK;
    size_t size = at->offset + attention_area_size(kind, at->head_dim);
    must(blocks <= BLOCKS_MAX);
    const void **table = check_memory(check, blocks * sizeof *table, sizeof(void *));
    float *k = check_floats(check, at->head_dim, CHECK_ZERO);
    float *v = check_floats(check, at->head_dim, CHECK_ZERO);
    for (size_t b = 0; b < blocks; b++) {
        unsigned char *block = check_memory(check, size, 64);
        memset(block, POISON, size);
        for (size_t slot = 0; slot < ATTENTION_BLOCK; slot++) {
            if (b * ATTENTION_BLOCK + slot >= positions_of(at)) break;
            for (size_t d = 0; d < at->head_dim; d++) {
                k[d] = check_float(check, recipe);
                v[d] = check_float(check, recipe);
            }
            check->want->kv_write[kind](block + at->offset, slot, k, v, at->head_dim);
        }
        table[b] = block;
    }
    at->blocks = table;
}

/* Rows lie further apart than their heads are wide, as in a matrix of all heads; what lies between stays. */
static void one_attention(struct check *check, struct attention_shape shape,
                          enum check_recipe recipe)
{
    size_t width = shape.heads * shape.head_dim;
    size_t stride = width + check_below(check, 3) * shape.head_dim;
    size_t n = (shape.rows - 1) * stride + width;
    struct attention at = {.q = check_floats(check, n, recipe),
                           .offset = 64 * check_below(check, 3),
                           .rows = shape.rows,
                           .row_stride = stride,
                           .heads = shape.heads,
                           .head_dim = shape.head_dim,
                           .positions = shape.positions,
                           .scale = 1.0f / sqrtf((float)shape.head_dim)};
    draw_blocks(check, &at, shape.kind, recipe);
    float *want = check_floats(check, n, CHECK_PLAIN);
    float *got = check_memory(check, n * sizeof *got, sizeof *got);
    memcpy(got, want, n * sizeof *got);
    at.out = want;
    check->want->attention[shape.kind](&at);
    at.out = got;
    check->got->attention[shape.kind](&at);
    check_same_floats(check, want, got, n, "%s, %zu rows of %zu heads of %zu, %zu positions, %s",
                      kind_names[shape.kind], shape.rows, shape.heads, shape.head_dim,
                      shape.positions, check_recipe_name(recipe));
    // Poison that was read would have shown: sound inputs give sound outputs.
    for (size_t i = 0; recipe == CHECK_PLAIN && i < n; i++) {
        if (isfinite(want[i])) continue;
        check->failures++;
        printf("FAIL attention: %zu positions read what was never written\n", shape.positions);
        break;
    }
    check_release(check);
}

/* A row of a call is that row alone, whatever a later row's keys and values are: here they are broken. */
static void rows_do_not_meet(struct check *check, struct attention_shape shape)
{
    size_t width = shape.heads * shape.head_dim;
    struct attention at = {.q = check_floats(check, shape.rows * width, CHECK_PLAIN),
                           .rows = shape.rows,
                           .row_stride = width,
                           .heads = shape.heads,
                           .head_dim = shape.head_dim,
                           .positions = shape.positions,
                           .scale = 1.0f / sqrtf((float)shape.head_dim)};
    draw_blocks(check, &at, shape.kind, CHECK_PLAIN);
    float *alone = check_floats(check, width, CHECK_ZERO);
    float *among = check_floats(check, shape.rows * width, CHECK_ZERO);
    const float *broken = check_floats(check, shape.head_dim, CHECK_BROKEN);
    at.out = alone;
    at.rows = 1;
    check->want->attention[shape.kind](&at);
    for (size_t i = shape.positions; i < shape.positions + shape.rows - 1; i++) {
        void *block = (void *)(uintptr_t)at.blocks[i / ATTENTION_BLOCK];
        check->want->kv_write[shape.kind](block, i % ATTENTION_BLOCK, broken, broken,
                                          shape.head_dim);
    }
    at.out = among;
    at.rows = shape.rows;
    check->got->attention[shape.kind](&at);
    check_same_floats(check, alone, among, width, "%s, row 0 of %zu, %zu heads, %zu positions",
                      kind_names[shape.kind], shape.rows, shape.heads, shape.positions);
    check_release(check);
}

static void check_kind(struct check *check, enum kv_kind kind)
{
    static const size_t positions[] = {1,  2,  15,  16,  17,  31,  32,  33,  63,  64,  65,
                                       96, 97, 127, 128, 129, 160, 191, 255, 256, 257, 300};
    static const size_t dims[] = {8, 16, 24, 64, 72, 80, 96, 128};
    for (size_t p = 0; p < sizeof positions / sizeof *positions; p++) {
        for (size_t d = 0; d < sizeof dims / sizeof *dims; d++) {
            size_t heads = 1 + check_below(check, 9);
            size_t rows = 1 + check_below(check, 5);
            one_attention(check, (struct attention_shape){1, heads, dims[d], positions[p], kind},
                          CHECK_PLAIN);
            one_attention(check, (struct attention_shape){rows, heads, dims[d], positions[p], kind},
                          CHECK_PLAIN);
        }
    }
    for (size_t heads = 1; heads <= 9; heads++)
        one_attention(check, (struct attention_shape){2, heads, 256, 40, kind}, CHECK_PLAIN);
    for (size_t rows = 1; rows <= 40; rows++) {
        one_attention(check,
                      (struct attention_shape){rows, 1, 16, 1 + check_below(check, 150), kind},
                      CHECK_PLAIN);
        one_attention(check,
                      (struct attention_shape){rows, 7, 24, 1 + check_below(check, 150), kind},
                      CHECK_PLAIN);
    }
    one_attention(check, (struct attention_shape){1, 100, 16, 130, kind}, CHECK_PLAIN);
    one_attention(check, (struct attention_shape){280, 2, 16, 1, kind}, CHECK_PLAIN);
    for (int recipe = 0; recipe < CHECK_RECIPES; recipe++) {
        one_attention(check, (struct attention_shape){1, 3, 64, 140, kind},
                      (enum check_recipe)recipe);
        one_attention(check, (struct attention_shape){9, 3, 64, 123, kind},
                      (enum check_recipe)recipe);
    }
    rows_do_not_meet(check, (struct attention_shape){20, 1, 16, 5, kind});
    rows_do_not_meet(check, (struct attention_shape){7, 7, 64, 126, kind});
    rows_do_not_meet(check, (struct attention_shape){5, 2, 80, 160, kind});
}

static void check_attention(struct check *check)
{
    check_kind(check, KV_F16);
    check_kind(check, KV_INT8);
}

static void one_kv_write(struct check *check, enum kv_kind kind, size_t head_dim, size_t slot,
                         enum check_recipe recipe)
{
    size_t size = attention_area_size(kind, head_dim);
    unsigned char *want = check_memory(check, size, 64);
    unsigned char *got = check_memory(check, size, 64);
    for (size_t i = 0; i < size; i++)
        want[i] = got[i] = (unsigned char)check_below(check, 256);
    const float *k = check_floats(check, head_dim, recipe);
    const float *v = check_floats(check, head_dim, recipe);
    check->want->kv_write[kind](want, slot, k, v, head_dim);
    check->got->kv_write[kind](got, slot, k, v, head_dim);
    check_same_bytes(check, want, got, size, "%s, head_dim %zu, slot %zu, %s", kind_names[kind],
                     head_dim, slot, check_recipe_name(recipe));
    check_release(check);
}

/* The rounding to f16: ties, their neighbours, the borders of the denormals and of infinity. */
static void check_rounding(struct check *check)
{
    enum {
        DIM = 256,
        ROUNDS = 256
    };

    for (int round = 0; round < ROUNDS; round++) {
        float *k = check_memory(check, DIM * sizeof *k, sizeof *k);
        for (size_t i = 0; i < DIM; i++) {
            uint16_t half = (uint16_t)(round * DIM + (int)i);
            uint32_t bits;
            float value = quant_f16_to_f32(half);
            memcpy(&bits, &value, sizeof bits);
            bits +=
                (uint32_t)(0x1000 + (int)check_below(check, 3) - 1); // half a step, or beside it
            memcpy(&k[i], &bits, sizeof bits);
        }
        uint16_t *want = check_memory(check, attention_area_size(KV_F16, DIM), 64);
        uint16_t *got = check_memory(check, attention_area_size(KV_F16, DIM), 64);
        check->want->kv_write[KV_F16](want, 5, k, k, DIM);
        check->got->kv_write[KV_F16](got, 5, k, k, DIM);
        check_same_bytes(check, want, got, attention_area_size(KV_F16, DIM), "rounding, %d", round);
        check_release(check);
    }
}

static void check_kv_write(struct check *check)
{
    static const size_t dims[] = {8, 16, 24, 64, 80, 128, 256};
    for (size_t d = 0; d < sizeof dims / sizeof *dims; d++)
        for (size_t slot = 0; slot < ATTENTION_BLOCK; slot += 1 + check_below(check, 4))
            for (int recipe = 0; recipe < CHECK_RECIPES; recipe++) {
                one_kv_write(check, KV_F16, dims[d], slot, (enum check_recipe)recipe);
                one_kv_write(check, KV_INT8, dims[d], slot, (enum check_recipe)recipe);
            }
    check_rounding(check);
}

/* A call after another, each on the next of `sequences`: more of them than a cache holds are as cold as decoding
 * finds them. */
struct attention_call {
    const struct ops *ops;
    struct attention at;
    enum kv_kind kind;
    const void **blocks; // [sequences][block_count]
    size_t block_count;
    size_t sequences;
    size_t next;
    void *areas;
    size_t areas_size;
};

static void call_attention(void *argument)
{
    struct attention_call *call = argument;
    call->at.blocks = call->blocks + call->next * call->block_count;
    call->next = (call->next + 1) % call->sequences;
    call->ops->attention[call->kind](&call->at);
}

static void bench_blocks(struct check *check, struct attention_call *call, size_t sequences)
{
    const struct attention *at = &call->at;
    call->block_count = (positions_of(at) + ATTENTION_BLOCK - 1) / ATTENTION_BLOCK;
    call->sequences = sequences;
    size_t count = sequences * call->block_count;
    size_t size = attention_area_size(call->kind, at->head_dim);
    unsigned char *areas = mem_map(count * size); // huge pages, as the node's pool
    must(areas);
    call->areas = areas;
    call->areas_size = count * size;
    call->blocks = check_memory(check, count * sizeof *call->blocks, sizeof(void *));
    const float *k = check_floats(check, at->head_dim, CHECK_PLAIN);
    const float *v = check_floats(check, at->head_dim, CHECK_PLAIN);
    for (size_t i = 0; i < count; i++) {
        unsigned char *area = areas + (count - 1 - i) * size;
        for (size_t slot = 0; slot < ATTENTION_BLOCK; slot++)
            check->got->kv_write[call->kind](area, slot, k, v, at->head_dim);
        call->blocks[i] = area;
    }
}

/* The shapes of Qwen2.5-0.5B (7 heads of 64 to a kv head), Qwen2.5-1.5B (6 of 128) and Qwen3-0.6B (2 of 128):
 * decoding, warm and cold, and chunks of a prefill as forward.c cuts them. */
static void bench_kind(struct check_bench *bench, enum kv_kind kind)
{
    static const struct bench_shape {
        size_t rows, heads, head_dim, positions, sequences;
    } shapes[] = {
        {1, 1, 64, 2048, 1},   {1, 4, 64, 2048, 1},   {1, 7, 64, 2048, 1},   {1, 7, 64, 512, 1024},
        {1, 7, 64, 4096, 128}, {1, 2, 128, 512, 512}, {1, 6, 128, 512, 512}, {13, 7, 64, 256, 1},
        {13, 7, 64, 2048, 1},  {48, 2, 128, 256, 1},  {48, 2, 128, 2048, 1}, {16, 6, 128, 2048, 1},
    };

    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const struct bench_shape *shape = &shapes[i];
        struct check *check = &bench->check;
        struct attention_call call = {.ops = check->got, .kind = kind};
        call.at = (struct attention){.rows = shape->rows,
                                     .row_stride = shape->heads * shape->head_dim,
                                     .heads = shape->heads,
                                     .head_dim = shape->head_dim,
                                     .positions = shape->positions,
                                     .scale = 0.125f};
        size_t n = shape->rows * shape->heads * shape->head_dim;
        call.at.q = check_floats(check, n, CHECK_PLAIN);
        call.at.out = check_memory(check, n * sizeof(float), 64);
        bench_blocks(check, &call, shape->sequences);
        char text[64];
        snprintf(text, sizeof text, "%s %zux%zux%zu, %zu positions%s", kind_names[kind],
                 shape->rows, shape->heads, shape->head_dim, shape->positions,
                 shape->sequences > 1 ? ", cold" : "");
        double values = 2.0 * (double)(shape->positions * shape->head_dim);
        double bytes = (kind == KV_F16 ? 2 : 1) * values;
        check_time(bench, text, call_attention, &call, bytes,
                   2 * values * (double)(shape->heads * shape->rows));
        mem_unmap(call.areas, call.areas_size);
        check_release(check);
    }
}

static void bench_attention(struct check_bench *bench)
{
    bench_kind(bench, KV_F16);
    bench_kind(bench, KV_INT8);
}

const struct check_entry check_attentions[] = {
    {"attention", check_attention, bench_attention},
    {"kv_write", check_kv_write, NULL},
    {NULL, NULL, NULL},
};

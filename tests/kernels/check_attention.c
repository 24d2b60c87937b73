/* Attention over blocks, and the writing of blocks. What a sequence has not written is poison (NaN). */
#include "tests/kernels/check.h"

#include "kernels/attention.h"
#include "kernels/quant.h"

#include "base/must.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    POISON = 0x7E01,
    BLOCKS_MAX = 128
};

struct attention_shape {
    size_t heads, head_dim, positions;
};

/* Blocks of their own guarded memory each, the area `offset` bytes in, positions written up to the last one. */
static void draw_blocks(struct check *check, struct attention *at, enum check_recipe recipe)
{
    size_t blocks = (at->positions + ATTENTION_BLOCK - 1) / ATTENTION_BLOCK;
    size_t size = at->offset + attention_area_size(at->head_dim);
    must(blocks <= BLOCKS_MAX);
    const void **table = check_memory(check, blocks * sizeof *table, sizeof(void *));
    float *k = check_floats(check, at->head_dim, CHECK_ZERO);
    float *v = check_floats(check, at->head_dim, CHECK_ZERO);
    for (size_t b = 0; b < blocks; b++) {
        unsigned char *block = check_memory(check, size, 64);
        uint16_t *halves = (uint16_t *)(void *)block;
        for (size_t i = 0; i < size / sizeof *halves; i++)
            halves[i] = POISON;
        for (size_t slot = 0; slot < ATTENTION_BLOCK; slot++) {
            if (b * ATTENTION_BLOCK + slot >= at->positions) break;
            for (size_t d = 0; d < at->head_dim; d++) {
                k[d] = check_float(check, recipe);
                v[d] = check_float(check, recipe);
            }
            check->want->kv_write(block + at->offset, slot, k, v, at->head_dim);
        }
        table[b] = block;
    }
    at->blocks = table;
}

static void one_attention(struct check *check, struct attention_shape shape,
                          enum check_recipe recipe)
{
    size_t n = shape.heads * shape.head_dim;
    struct attention at = {.q = check_floats(check, n, recipe),
                           .offset = 64 * check_below(check, 3),
                           .heads = shape.heads,
                           .head_dim = shape.head_dim,
                           .positions = shape.positions,
                           .scale = 1.0f / sqrtf((float)shape.head_dim)};
    draw_blocks(check, &at, recipe);
    float *want = check_floats(check, n, CHECK_PLAIN);
    float *got = check_floats(check, n, CHECK_PLAIN);
    at.out = want;
    check->want->attention(&at);
    at.out = got;
    check->got->attention(&at);
    check_same_floats(check, want, got, n, "%zu heads of %zu, %zu positions, %s", shape.heads,
                      shape.head_dim, shape.positions, check_recipe_name(recipe));
    // Poison that was read would have shown: sound inputs give sound outputs.
    for (size_t i = 0; recipe == CHECK_PLAIN && i < n; i++) {
        if (isfinite(want[i])) continue;
        check->failures++;
        printf("FAIL attention: %zu positions read what was never written\n", shape.positions);
        break;
    }
    check_release(check);
}

static void check_attention(struct check *check)
{
    static const size_t positions[] = {1,  2,  15,  16,  17,  31,  32,  33,  63,  64,  65,
                                       96, 97, 127, 128, 129, 160, 191, 255, 256, 257, 300};
    static const size_t dims[] = {8, 16, 24, 64, 72, 80, 128};
    for (size_t p = 0; p < sizeof positions / sizeof *positions; p++) {
        for (size_t d = 0; d < sizeof dims / sizeof *dims; d++) {
            size_t heads = 1 + check_below(check, 9);
            one_attention(check, (struct attention_shape){heads, dims[d], positions[p]},
                          CHECK_PLAIN);
        }
    }
    for (size_t heads = 1; heads <= 9; heads++)
        one_attention(check, (struct attention_shape){heads, 256, 40}, CHECK_PLAIN);
    for (int recipe = 0; recipe < CHECK_RECIPES; recipe++)
        one_attention(check, (struct attention_shape){3, 64, 140}, (enum check_recipe)recipe);
}

static void one_kv_write(struct check *check, size_t head_dim, size_t slot,
                         enum check_recipe recipe)
{
    size_t size = attention_area_size(head_dim);
    uint16_t *want = check_memory(check, size, 64);
    uint16_t *got = check_memory(check, size, 64);
    for (size_t i = 0; i < size / sizeof *want; i++)
        want[i] = got[i] = (uint16_t)check_below(check, 65536);
    const float *k = check_floats(check, head_dim, recipe);
    const float *v = check_floats(check, head_dim, recipe);
    check->want->kv_write(want, slot, k, v, head_dim);
    check->got->kv_write(got, slot, k, v, head_dim);
    check_same_bytes(check, want, got, size, "head_dim %zu, slot %zu, %s", head_dim, slot,
                     check_recipe_name(recipe));
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
        uint16_t *want = check_memory(check, attention_area_size(DIM), 64);
        uint16_t *got = check_memory(check, attention_area_size(DIM), 64);
        check->want->kv_write(want, 5, k, k, DIM);
        check->got->kv_write(got, 5, k, k, DIM);
        check_same_bytes(check, want, got, attention_area_size(DIM), "rounding, %d", round);
        check_release(check);
    }
}

static void check_kv_write(struct check *check)
{
    static const size_t dims[] = {8, 16, 24, 64, 80, 128, 256};
    for (size_t d = 0; d < sizeof dims / sizeof *dims; d++)
        for (size_t slot = 0; slot < ATTENTION_BLOCK; slot += 1 + check_below(check, 4))
            for (int recipe = 0; recipe < CHECK_RECIPES; recipe++)
                one_kv_write(check, dims[d], slot, (enum check_recipe)recipe);
    check_rounding(check);
}

struct attention_call {
    const struct ops *ops;
    struct attention at;
};

static void call_attention(void *argument)
{
    struct attention_call *call = argument;
    call->ops->attention(&call->at);
}

static void bench_attention(struct check_bench *bench)
{
    static const size_t heads[] = {1, 4, 7};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        struct check *check = &bench->check;
        struct attention_call call = {.ops = check->got};
        call.at = (struct attention){
            .heads = heads[i], .head_dim = 64, .positions = 2048, .scale = 0.125f};
        call.at.q = check_floats(check, heads[i] * 64, CHECK_PLAIN);
        call.at.out = check_memory(check, heads[i] * 64 * sizeof(float), 64);
        draw_blocks(check, &call.at, CHECK_PLAIN);
        char text[64];
        snprintf(text, sizeof text, "%zu heads of 64, 2048 positions", heads[i]);
        double values = 2.0 * 2048 * 64;
        check_time(bench, text, call_attention, &call, 2 * values, 2 * values * (double)heads[i]);
        check_release(check);
    }
}

const struct check_entry check_attentions[] = {
    {"attention", check_attention, bench_attention},
    {"kv_write", check_kv_write, NULL},
    {NULL, NULL, NULL},
};

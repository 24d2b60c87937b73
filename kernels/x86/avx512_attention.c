/* kernels/x86/avx512_attention.c -- the AVX-512 column: attention over paged keys and values, up to 4 query heads of
 * a group at a time. */
#include "kernels/attention.h"
#include "kernels/mathf.h"
#include "kernels/ops.h"
#include "kernels/x86/avx512.h"

#include <math.h>
#include <string.h>

enum {
    HEADS = 4
};

/* What one pass over the blocks carries for its heads. */
struct pass {
    const struct attention *at;
    const float *q; // [heads][head_dim]
    float *mix;     // [heads][head_dim]
    float top[HEADS];
    float sum[HEADS];
    float keep[HEADS];
    float p[HEADS][ATTENTION_TILE];
};

INLINE const uint16_t *area_of(const struct attention *at, size_t block)
{
    const unsigned char *bytes = at->blocks[block];
    return (const uint16_t *)(const void *)(bytes + at->offset);
}

/* Scores of `blocks` blocks (1 or 2) from `position` on; `count` positions of them are visible. Others are not
 * loaded, and their scores are not used. */
INLINE void score_blocks(struct pass *pass, size_t position, size_t count, size_t blocks,
                         size_t heads)
{
    const struct attention *at = pass->at;
    const size_t vectors = 2 * blocks;
    const uint16_t *k[4];
    __mmask16 mask[4];
    __m512 acc[4 * HEADS];
    UNROLL
    for (size_t j = 0; j < vectors; j++) {
        k[j] = area_of(at, position / ATTENTION_BLOCK + j / 2) + j % 2 * LANES;
        mask[j] = lanes_below(count > j * LANES ? count - j * LANES : 0);
    }
    UNROLL
    for (size_t i = 0; i < vectors * heads; i++)
        acc[i] = _mm512_setzero_ps();
    for (size_t d = 0; d < at->head_dim; d++) {
        __m512 keys[4];
        UNROLL
        for (size_t j = 0; j < vectors; j++)
            keys[j] = widen(_mm256_maskz_loadu_epi16(mask[j], k[j] + d * ATTENTION_BLOCK));
        UNROLL
        for (size_t h = 0; h < heads; h++) {
            __m512 q = _mm512_set1_ps(pass->q[h * at->head_dim + d]);
            UNROLL
            for (size_t j = 0; j < vectors; j++)
                acc[h * vectors + j] = _mm512_fmadd_ps(q, keys[j], acc[h * vectors + j]);
        }
    }
    __m512 factor = _mm512_set1_ps(at->scale);
    UNROLL
    for (size_t h = 0; h < heads; h++) {
        float *p = pass->p[h] + position % ATTENTION_TILE;
        UNROLL
        for (size_t j = 0; j < vectors; j++)
            _mm512_storeu_ps(p + j * LANES, _mm512_mul_ps(acc[h * vectors + j], factor));
    }
}

/* `vectors` x 16 dimensions from `d` on, of which `mask` are there (all, when vectors > 1). */
INLINE void mix_lanes(struct pass *pass, size_t begin, size_t count, size_t d, size_t vectors,
                      size_t heads)
{
    const struct attention *at = pass->at;
    size_t head_dim = at->head_dim;
    __mmask16 mask = lanes_below(vectors > 1 ? LANES : head_dim - d);
    __m512 acc[4 * HEADS];
    UNROLL
    for (size_t h = 0; h < heads; h++) {
        __m512 keep = _mm512_set1_ps(pass->keep[h]);
        UNROLL
        for (size_t j = 0; j < vectors; j++) {
            const float *from = pass->mix + h * head_dim + d + j * LANES;
            acc[h * vectors + j] = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, from), keep);
        }
    }
    for (size_t i = 0; i < count; i++) {
        const uint16_t *v = area_of(at, (begin + i) / ATTENTION_BLOCK);
        v += (ATTENTION_BLOCK + (begin + i) % ATTENTION_BLOCK) * head_dim + d;
        __m512 values[4];
        UNROLL
        for (size_t j = 0; j < vectors; j++)
            values[j] = widen(_mm256_maskz_loadu_epi16(mask, v + j * LANES));
        UNROLL
        for (size_t h = 0; h < heads; h++) {
            __m512 p = _mm512_set1_ps(pass->p[h][i]);
            UNROLL
            for (size_t j = 0; j < vectors; j++)
                acc[h * vectors + j] = _mm512_fmadd_ps(p, values[j], acc[h * vectors + j]);
        }
    }
    UNROLL
    for (size_t h = 0; h < heads; h++) {
        UNROLL
        for (size_t j = 0; j < vectors; j++)
            _mm512_mask_storeu_ps(pass->mix + h * head_dim + d + j * LANES, mask,
                                  acc[h * vectors + j]);
    }
}

INLINE void attend_tile(struct pass *pass, size_t begin, size_t count, size_t heads)
{
    size_t i = 0;
    for (; i + ATTENTION_BLOCK < count; i += 2 * ATTENTION_BLOCK)
        score_blocks(pass, begin + i, count - i, 2, heads);
    if (i < count) score_blocks(pass, begin + i, count - i, 1, heads);
    for (size_t h = 0; h < heads; h++) {
        float tile_top = avx512_max(pass->p[h], count);
        float top = tile_top > pass->top[h] ? tile_top : pass->top[h];
        pass->keep[h] = mathf_exp(pass->top[h] - top);
        float sum = avx512_exp_sum(pass->p[h], pass->p[h], top, count);
        pass->sum[h] = fmaf(pass->sum[h], pass->keep[h], sum);
        pass->top[h] = top;
    }
    size_t d = 0;
    for (; d + 4 * LANES <= pass->at->head_dim; d += 4 * LANES)
        mix_lanes(pass, begin, count, d, 4, heads);
    for (; d < pass->at->head_dim; d += LANES)
        mix_lanes(pass, begin, count, d, 1, heads);
}

INLINE void attend_heads(const struct attention *at, size_t first, size_t heads)
{
    struct pass pass = {.at = at,
                        .q = at->q + first * at->head_dim,
                        .mix = at->out + first * at->head_dim,
                        .top = {-INFINITY, -INFINITY, -INFINITY, -INFINITY}};
    memset(pass.mix, 0, heads * at->head_dim * sizeof *pass.mix);
    for (size_t begin = 0; begin < at->positions; begin += ATTENTION_TILE) {
        size_t left = at->positions - begin;
        attend_tile(&pass, begin, left < ATTENTION_TILE ? left : ATTENTION_TILE, heads);
    }
    for (size_t h = 0; h < heads; h++)
        for (size_t d = 0; d < at->head_dim; d++)
            pass.mix[h * at->head_dim + d] = pass.mix[h * at->head_dim + d] / pass.sum[h];
}

static void attention(const struct attention *at)
{
    size_t first = 0;
    for (; first + 4 <= at->heads; first += 4)
        attend_heads(at, first, 4);
    switch (at->heads - first) {
    case 3: attend_heads(at, first, 3); break;
    case 2: attend_heads(at, first, 2); break;
    case 1: attend_heads(at, first, 1); break;
    default: break;
    }
}

static void kv_write(void *area, size_t slot, const float *k, const float *v, size_t head_dim)
{
    uint16_t *keys = area;
    uint16_t *values = keys + (ATTENTION_BLOCK + slot) * head_dim;
    for (size_t d = 0; d < head_dim; d += LANES) {
        __mmask16 mask = lanes_below(head_dim - d);
        uint16_t column[LANES];
        __m256i halves =
            _mm512_cvtps_ph(_mm512_maskz_loadu_ps(mask, k + d), _MM_FROUND_TO_NEAREST_INT);
        _mm256_storeu_si256((__m256i *)(void *)column, halves);
        for (size_t i = 0; i < LANES && d + i < head_dim; i++)
            keys[(d + i) * ATTENTION_BLOCK + slot] = column[i];
        halves = _mm512_cvtps_ph(_mm512_maskz_loadu_ps(mask, v + d), _MM_FROUND_TO_NEAREST_INT);
        _mm256_mask_storeu_epi16(values + d, mask, halves);
    }
}

void avx512_fill_attention(struct ops *ops)
{
    ops->attention = attention;
    ops->kv_write = kv_write;
}

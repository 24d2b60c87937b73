/* kernels/attention.h -- keys and values in blocks, and what attention over them is given.
 *
 * One kv head of one layer holds ATTENTION_BLOCK = 32 positions of a sequence in one area of
 * attention_area_size(head_dim) bytes (64-byte aligned). KV_F16, all values f16:
 *
 *      K  [head_dim][32 positions]     a position is a lane when q . k is taken
 *      V  [32 positions][head_dim]     a dimension is a lane when the values are mixed
 *
 * KV_INT8, the same with bytes of value = scale * byte, and the scales of each position behind:
 *
 *      K  [head_dim][32 positions]     int8, -127..127
 *      V  [32 positions][head_dim]     int8, -127..127
 *      key scales [32], value scales [32], float
 *
 * Nothing is padded: head_dim is a multiple of 8 from 8 to ATTENTION_DIM_MAX. Keys and values are rounded when they are
 * written, before any use, their own chunk's included: to f16, nearest even; or to int8 per position, as activations are
 * (kernels/quant.h: scale = largest magnitude / 127).
 *
 * How it is computed (every rung, the same bits; fixed for ever by docs/numerics.md):
 *
 *      positions are cut at absolute multiples of ATTENTION_TILE = 128; tiles ascend
 *      score[i]  = (chain over d ascending: acc = fma(q[d], k[d][i], acc), from 0) * factor[i]
 *      factor[i] = scale; KV_INT8: key scale[i] * scale
 *      top       = the largest of `top so far` (-inf at first) and the tile's scores
 *      keep      = exp(top so far - top)
 *      p[i]      = exp(score[i] - top)
 *      sum       = fma(sum so far, keep, 16-lane sum of the tile's p)        (docs/numerics.md, "sums")
 *      weight[i] = p[i]; KV_INT8: p[i] * value scale[i]
 *      mix[d]    = mix so far * keep, then for i ascending: mix = fma(weight[i], v[i][d], mix)
 *      at the end  out[d] = mix[d] / sum
 *
 * A query is one head of one row (token); rows are consecutive tokens of one sequence. Each query sees the
 * positions up to its row's own: what lies beyond takes no part in it, whatever it holds. How many rows a call
 * has changes no bit of any of them. */
#ifndef KERNELS_ATTENTION_H
#define KERNELS_ATTENTION_H

#include <stddef.h>
#include <stdint.h>

enum {
    ATTENTION_BLOCK = 32,
    ATTENTION_TILE = 128,
    ATTENTION_DIM_MAX = 256
};

/* What an area's values are. */
enum kv_kind {
    KV_F16,
    KV_INT8,
    KV_KINDS
};

/* Rows of one sequence, one kv head, and the query heads that share it. */
struct attention {
    const float *q; // row r, head h: [head_dim] at q + r * row_stride + h * head_dim, rotated
    float *out;     // the same shape, written whole; not q. No alignment asked of either
    const void *const
        *blocks;       // [ceil((positions + rows - 1) / 32)]: block of positions 32 * i and on
    size_t offset;     // bytes from a block's start to this layer's and head's area
    size_t rows;       // > 0
    size_t row_stride; // floats from a row to the next in q and out
    size_t heads;      // > 0
    size_t head_dim;
    size_t positions; // that row 0 sees, > 0, its own the last; row r sees positions + r
    float scale;      // of a score, usually 1 / sqrt(head_dim)
};

/* Bytes of one layer's one kv head in a block: 128 * head_dim, or 64 * head_dim + 256. */
static inline size_t attention_area_size(enum kv_kind kind, size_t head_dim)
{
    size_t values = 2 * ATTENTION_BLOCK * head_dim;
    size_t scales = 2 * ATTENTION_BLOCK * sizeof(float);
    return kind == KV_INT8 ? values + scales : values * sizeof(uint16_t);
}

/* Bytes from an area of KV_INT8 to its scales: of the keys, then of the values. */
static inline size_t attention_scales_at(size_t head_dim)
{
    return 2 * ATTENTION_BLOCK * head_dim;
}

#endif

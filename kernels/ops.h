/* kernels/ops.h -- the table of kernels, and what each one promises.
 *
 * The scalar column (kernels/scalar.c) is the specification: it is written to be read. Every other column
 * gives the same bits as it for every shape and alignment that the contract allows; tests/kernels proves it
 * and bench/kernels times it, from the same list. (Where a result is NaN, every column gives NaN; its payload
 * is not promised.)
 *
 * Kernels hold no state, allocate nothing, start no thread and cannot fail. They expect the contract's float
 * environment (kernels/cpu.h). Pointers need the alignment of their element unless said otherwise; packed
 * matrices and KV areas are 64-byte aligned. Outputs do not overlap inputs unless it says "in place".
 *
 * "16-lane sum" of n values: lane i gets values i, i + 16, ... in ascending order, from 0; missing ones of the
 * tail add nothing; then lane[i] += lane[i + 8], + 4, + 2, + 1. */
#ifndef KERNELS_OPS_H
#define KERNELS_OPS_H

#include "kernels/attention.h"
#include "kernels/pack.h"
#include "kernels/scan.h"

#include <stddef.h>
#include <stdint.h>

enum {
    ACTS_PANEL = 16, // rows
    OPS_PEAK = 64    // values of which ops->peaks makes one
};

/* Activations of `rows` tokens, [rows][cols], in the forms that weights ask for. Rows are cut into panels of
 * ACTS_PANEL, the last one of as many as are left; P is the number of rows of the panel at hand. Within a panel a
 * block (of 32 columns) of all its rows lies together, so a kernel walks one run of memory:
 *
 *      quantised   value = d * q     entry e = panel * 16 * blocks + block * P + row in the panel
 *      rounded     to bf16           pair  p = panel * 16 * pairs + pair * P + row in the panel, pairs = cols / 2 */
struct acts {
    const float *x; // [rows][cols], the caller's
    int8_t *q;      // [entries][32]
    float *d;       // [entries]
    int32_t *sum;   // [entries]: the sum of a block's q
    int32_t *half;  // [entries]: of its first 16
    float *dsum;    // [entries]: d * (float)sum, rounded
    uint16_t *bf;   // [pairs][2]: columns 2p and 2p + 1
    size_t rows;
    size_t cols;
};

/* Entry (pair) of a row's block (pair) 0, of `count`; number b is b * acts_panel_rows() further. */
static inline size_t acts_entry(size_t row, size_t count)
{
    return row / ACTS_PANEL * ACTS_PANEL * count + row % ACTS_PANEL;
}

/* Rows of the panel that `row` is in. */
static inline size_t acts_panel_rows(const struct acts *acts, size_t row)
{
    size_t left = acts->rows - row / ACTS_PANEL * ACTS_PANEL;
    return left < ACTS_PANEL ? left : ACTS_PANEL;
}

/* Which outputs a GEMM makes: rows (tokens) x tiles of 16 outputs. Rows come in whole panels: row_begin is a multiple
 * of ACTS_PANEL, row_end is one or acts->rows. */
struct gemm {
    const struct packed *weights;
    const struct acts *acts; // cols = weights->cols
    float *out;              // [acts->rows][weights->rows], dense; only the asked part is written
    size_t tile_begin, tile_end;
    size_t row_begin, row_end;
};

struct ops {
    const char *name; // of the highest rung that has a slot here

    /* Blocks [block_begin, block_end) of rows [row_begin, row_end) of acts->x into q, d, sum, half and dsum. cols is
     * a multiple of 32. For each 32 values: amax = the largest magnitude; d = amax / 127; q = x / d, rounded to
     * nearest even, within -127..127. d = 0: q and the sums are 0. A value that is not finite: d and dsum are NaN, q
     * and the sums are 0. */
    void (*quantise)(struct acts *acts, size_t row_begin, size_t row_end, size_t block_begin,
                     size_t block_end);
    /* Rows [row_begin, row_end) of acts->x into bf (cols is even): to nearest even, denormals to zero of their sign. */
    void (*round_bf16)(struct acts *acts, size_t row_begin, size_t row_end);

    /* The product of each kind of packed matrix (NULL for PACKED_ROWS, which is OpenBLAS's). One chain per
     * output, from 0; a = the activations' d.
     *      quantised     over blocks ascending, acc = fma((float)dot, s * a, acc), dot the exact integer product of the
     *                    block's q and (code - zero)
     *          Q8_0, Q4_0, Q4_1, Q5_0, Q5_1    s = d
     *          Q4_K, Q5_K                      s = d * (float)scale
     *          Q6_K                            s = d; dot = scale0 * (dot of columns 0..15) + scale1 * (of 16..31)
     *                    then, with a min: acc = fma(m, a * (float)sum, acc), m as stored or -(dmin * (float)min)
     *      F32, F16      over k ascending, acc = fma(x[k], (float)w[k], acc)
     *      BF16          over pairs ascending, acc = flush(fma(x[2p + 1], w[2p + 1], acc)), then the same of 2p; x as
     *                    rounded, w and x as zero when denormal; flush() makes a result that is tiny when rounded to 24
     *                    bits zero of its sign. This is vdpbf16ps. */
    void (*gemm[PACKED_KINDS])(const struct gemm *gemm);

    /* out[i] = (x[i] * r) * weight[i], r = 1 / sqrt(s / n + epsilon), s = the 16-lane sum of squares, each taken
     * as lane = fma(x, x, lane). n > 0. In place allowed. */
    void (*rms_norm)(float *out, const float *x, const float *weight, size_t n, float epsilon);

    /* out[i] = fma((x[i] - mean) * r, weight[i], bias[i]), mean = the 16-lane sum of x / n, r = 1 / sqrt(v / n + epsilon),
     * v = the 16-lane sum of (x[i] - mean)^2, each taken as lane = fma(d, d, lane). n > 0. In place allowed. */
    void (*layer_norm)(float *out, const float *x, const float *weight, const float *bias, size_t n,
                       float epsilon);

    /* The 16-lane sum of products, each taken as lane = fma(x, y, lane). */
    float (*dot)(const float *x, const float *y, size_t n);

    /* x[i] = x[i] + y[i]. In place, always. */
    void (*add)(float *x, const float *y, size_t n);

    /* Rotate `heads` heads of one token in place: a, b = a * cos - b * sin, a * sin + b * cos, each product and
     * sum rounded on its own. Pair i < pairs is (2i, 2i + 1) or (i, i + pairs); the rest of a head stays. cos
     * and sin: [pairs], of the token's position. 2 * pairs <= head_dim. */
    void (*rope_interleaved)(float *x, size_t heads, size_t head_dim, const float *cosines,
                             const float *sines, size_t pairs);
    void (*rope_halves)(float *x, size_t heads, size_t head_dim, const float *cosines,
                        const float *sines, size_t pairs);

    /* gate[i] = (gate[i] / (1 + exp(-gate[i]))) * up[i]. In place in gate. exp is mathf_exp(). */
    void (*silu_mul)(float *gate, const float *up, size_t n);

    /* x[i] = (x[i] * 0.5) * (1 + erf(x[i] * sqrt(1/2))). In place, always. erf is mathf_erf(). */
    void (*gelu)(float *x, size_t n);

    /* The largest of x[0..n), -inf for n = 0; a NaN is passed over. 16 lanes from -inf, then the tree, each
     * step (a > b ? a : b) with a the newcomer or the upper lane. */
    float (*max)(const float *x, size_t n);
    /* out[i] = exp(x[i] - top); returns their 16-lane sum. In place allowed. */
    float (*exp_sum)(float *out, const float *x, float top, size_t n);
    /* x[i] = x[i] * factor. In place, always. */
    void (*scale)(float *x, float factor, size_t n);

    /* out[b] = 0 + the largest of x[64 * b ..], at most 64 values; out [ceil(n / 64)]. Returns how many of the n are
     * infinite or NaN; if any is, out is not promised. */
    size_t (*peaks)(float *out, const float *x, size_t n);
    /* out[i] = exp((x[i] - top) / temperature) in whole units of 2^-40, cut off; returns their sum. x[i] finite, at most
     * top; temperature > 0. */
    uint64_t (*weigh)(uint64_t *out, const float *x, float top, float temperature, size_t n);

    /* Queries against many rows of bytes: kernels/scan.h. */
    void (*scan)(const struct scan *scan);

    /* Rows of one sequence, one kv head: kernels/attention.h. By the kind of area. */
    void (*attention[KV_KINDS])(const struct attention *attention);
    /* Write a token's k[head_dim] and v[head_dim] as position `slot` (0..31) of an area; the other positions
     * stay. */
    void (*kv_write[KV_KINDS])(void *area, size_t slot, const float *k, const float *v,
                               size_t head_dim);
};

#endif

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

#include "kernels/pack.h"

#include <stddef.h>
#include <stdint.h>

struct attention;

/* Activations of `rows` tokens, [rows][cols], in the two forms that weights ask for. */
struct acts {
    const float *x; // [rows][cols], the caller's
    int8_t *q;      // [rows][cols]; value = d * q
    float *d;       // [rows][cols / 32]
    int32_t *sum;   // [rows][cols / 32]: the sum of a block's q
    size_t rows;
    size_t cols;
};

/* Which outputs a GEMM makes: rows (tokens) x tiles of 16 outputs. */
struct gemm {
    const struct packed *weights;
    const struct acts *acts; // cols = weights->cols
    float *out;              // [acts->rows][weights->rows], dense; only the asked part is written
    size_t tile_begin, tile_end;
    size_t row_begin, row_end;
};

struct ops {
    const char *name; // of the highest rung that has a slot here

    /* Rows [row_begin, row_end) of acts->x into q, d and sum. cols is a multiple of 32. For each 32 values:
     * amax = the largest magnitude; d = amax / 127; q = x / d, rounded to nearest even, within -127..127.
     * d = 0: q and sum are 0. A value that is not finite: d is NaN, q and sum are 0. */
    void (*quantise)(struct acts *acts, size_t row_begin, size_t row_end);

    /* The product of each kind of packed matrix (NULL for PACKED_ROWS, which is OpenBLAS's). One chain per
     * output, from 0.
     *      PACKED_Q8             over blocks ascending, acc = fma((float)dot, (float)w_scale * a_scale, acc), where
     *                            dot is the exact integer product of the block
     *      PACKED_F32, _F16      over k ascending, acc = fma(x[k], (float)w[k], acc) */
    void (*gemm[PACKED_KINDS])(const struct gemm *gemm);

    /* out[i] = (x[i] * r) * weight[i], r = 1 / sqrt(s / n + epsilon), s = the 16-lane sum of squares, each taken
     * as lane = fma(x, x, lane). n > 0. In place allowed. */
    void (*rms_norm)(float *out, const float *x, const float *weight, size_t n, float epsilon);

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

    /* The largest of x[0..n), -inf for n = 0; a NaN is passed over. 16 lanes from -inf, then the tree, each
     * step (a > b ? a : b) with a the newcomer or the upper lane. */
    float (*max)(const float *x, size_t n);
    /* out[i] = exp(x[i] - top); returns their 16-lane sum. In place allowed. */
    float (*exp_sum)(float *out, const float *x, float top, size_t n);
    /* x[i] = x[i] * factor. In place, always. */
    void (*scale)(float *x, float factor, size_t n);

    /* One token, one kv head: kernels/attention.h. */
    void (*attention)(const struct attention *attention);
    /* Write a token's k[head_dim] and v[head_dim] as position `slot` (0..31) of an area; the other positions
     * stay. */
    void (*kv_write)(void *area, size_t slot, const float *k, const float *v, size_t head_dim);
};

#endif

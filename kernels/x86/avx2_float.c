/* kernels/x86/avx2_float.c -- the AVX2 column: products of float matrices. */
#include "kernels/ops.h"
#include "kernels/pack.h"
#include "kernels/x86/avx2.h"

#include <stdbool.h>

/* 8 weights of one k, from float or f16; `half` says which of the tile's two halves. */
INLINE __m256 load_weights(const unsigned char *from, size_t half, bool halves)
{
    if (halves) return load_halves((const uint16_t *)(const void *)from + half * HALF);
    return _mm256_load_ps((const float *)(const void *)from + half * HALF);
}

/* `tiles` tiles x `count` rows of float weights, tiles * count <= 6: 12 accumulators. */
INLINE void float_tile(const struct gemm *gemm, bool halves, size_t tile, size_t tiles, size_t row,
                       size_t count)
{
    const struct packed *weights = gemm->weights;
    size_t cols = weights->cols;
    size_t vector = LANES * (halves ? sizeof(uint16_t) : sizeof(float));
    const unsigned char *w = (const unsigned char *)weights->weights + tile * cols * vector;
    const float *x = gemm->acts->x + row * cols;
    __m256 acc[12];
    UNROLL
    for (size_t i = 0; i < 2 * tiles * count; i++)
        acc[i] = _mm256_setzero_ps();
    for (size_t k = 0; k < cols; k++) {
        UNROLL
        for (size_t i = 0; i < tiles; i++) {
            const unsigned char *from = w + (i * cols + k) * vector;
            __m256 low = load_weights(from, 0, halves);
            __m256 high = load_weights(from, 1, halves);
            UNROLL
            for (size_t t = 0; t < count; t++) {
                __m256 value = _mm256_set1_ps(x[t * cols + k]);
                __m256 *sums = acc + 2 * (t * tiles + i);
                sums[0] = _mm256_fmadd_ps(value, low, sums[0]);
                sums[1] = _mm256_fmadd_ps(value, high, sums[1]);
            }
        }
    }
    UNROLL
    for (size_t i = 0; i < tiles; i++) {
        size_t first = (tile + i) * LANES;
        UNROLL
        for (size_t t = 0; t < count; t++)
            store_outputs(gemm, row + t, first, acc[2 * (t * tiles + i)],
                          acc[2 * (t * tiles + i) + 1]);
    }
}

/* All rows over `tiles` tiles (4 or 1): fewer rows at once need more tiles to hide the FMA's latency. */
INLINE void float_rows(const struct gemm *gemm, bool halves, size_t tile, size_t tiles)
{
    size_t row = gemm->row_begin;
    size_t end = gemm->row_end;
    for (; row + 6 <= end; row += 6)
        for (size_t i = 0; i < tiles; i++)
            float_tile(gemm, halves, tile + i, 1, row, 6);
    for (; row + 4 <= end; row += 4)
        for (size_t i = 0; i < tiles; i++)
            float_tile(gemm, halves, tile + i, 1, row, 4);
    for (; row + 2 <= end; row += 2)
        for (size_t i = 0; i<tiles; i += tiles> 1 ? 2 : 1)
            float_tile(gemm, halves, tile + i, tiles > 1 ? 2 : 1, row, 2);
    for (; row < end; row++)
        float_tile(gemm, halves, tile, tiles, row, 1);
}

INLINE void gemm_float(const struct gemm *gemm, bool halves)
{
    size_t tile = gemm->tile_begin;
    for (; tile + 4 <= gemm->tile_end; tile += 4)
        float_rows(gemm, halves, tile, 4);
    for (; tile < gemm->tile_end; tile++)
        float_rows(gemm, halves, tile, 1);
}

static void gemm_f32(const struct gemm *gemm)
{
    gemm_float(gemm, false);
}

static void gemm_f16(const struct gemm *gemm)
{
    gemm_float(gemm, true);
}

void avx2_fill_float(struct ops *ops)
{
    ops->gemm[PACKED_F32] = gemm_f32;
    ops->gemm[PACKED_F16] = gemm_f16;
}

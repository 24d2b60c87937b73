/* kernels/x86/avx512_float.c -- the AVX-512 column: products of float matrices. */
#include "kernels/ops.h"
#include "kernels/pack.h"
#include "kernels/x86/avx512.h"

#include <stdbool.h>

/* 16 weights of one k, from float or f16. */
INLINE __m512 load_weights(const unsigned char *from, bool halves)
{
    if (halves) return widen(_mm256_load_si256((const __m256i *)(const void *)from));
    return _mm512_load_ps(from);
}

/* `tiles` tiles x `count` rows of float weights, tiles * count <= 16. */
INLINE void float_tile(const struct gemm *gemm, bool halves, size_t tile, size_t tiles, size_t row,
                       size_t count)
{
    const struct packed *weights = gemm->weights;
    size_t cols = weights->cols;
    size_t vector = LANES * (halves ? sizeof(uint16_t) : sizeof(float));
    const unsigned char *w = (const unsigned char *)weights->weights + tile * cols * vector;
    const float *x = gemm->acts->x + row * cols;
    __m512 acc[16];
    UNROLL
    for (size_t i = 0; i < tiles * count; i++)
        acc[i] = _mm512_setzero_ps();
    for (size_t k = 0; k < cols; k++) {
        __m512 v[8];
        UNROLL
        for (size_t i = 0; i < tiles; i++)
            v[i] = load_weights(w + (i * cols + k) * vector, halves);
        UNROLL
        for (size_t t = 0; t < count; t++) {
            __m512 value = _mm512_set1_ps(x[t * cols + k]);
            UNROLL
            for (size_t i = 0; i < tiles; i++)
                acc[t * tiles + i] = _mm512_fmadd_ps(value, v[i], acc[t * tiles + i]);
        }
    }
    UNROLL
    for (size_t i = 0; i < tiles; i++) {
        size_t first = (tile + i) * LANES;
        __mmask16 mask = lanes_below(weights->rows - first);
        UNROLL
        for (size_t t = 0; t < count; t++)
            _mm512_mask_storeu_ps(gemm->out + (row + t) * weights->rows + first, mask,
                                  acc[t * tiles + i]);
    }
}

/* All rows over `tiles` tiles: fewer rows at once need more tiles to hide the FMA's latency. */
INLINE void float_rows(const struct gemm *gemm, bool halves, size_t tile, size_t tiles)
{
    size_t row = gemm->row_begin;
    size_t end = gemm->row_end;
    for (; row + 8 <= end; row += 8)
        for (size_t i = 0; i<tiles; i += tiles> 1 ? 2 : 1)
            float_tile(gemm, halves, tile + i, tiles > 1 ? 2 : 1, row, 8);
    for (; row + 4 <= end; row += 4)
        for (size_t i = 0; i<tiles; i += tiles> 1 ? 4 : 1)
            float_tile(gemm, halves, tile + i, tiles > 1 ? 4 : 1, row, 4);
    for (; row < end; row++)
        float_tile(gemm, halves, tile, tiles, row, 1);
}

INLINE void gemm_float(const struct gemm *gemm, bool halves)
{
    size_t tile = gemm->tile_begin;
    for (; tile + 8 <= gemm->tile_end; tile += 8)
        float_rows(gemm, halves, tile, 8);
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

void avx512_fill_float(struct ops *ops)
{
    ops->gemm[PACKED_F32] = gemm_f32;
    ops->gemm[PACKED_F16] = gemm_f16;
}

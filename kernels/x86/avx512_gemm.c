/* kernels/x86/avx512_gemm.c -- the AVX-512 column: products of packed matrices. */
#include "kernels/ops.h"
#include "kernels/pack.h"
#include "kernels/x86/avx512.h"

#include <stdbool.h>
#include <string.h>

enum {
    GROUPS = BLOCK / 4 // vectors of weights in a block of a tile
};

INLINE __m512i four_bytes(const int8_t *from)
{
    int32_t four;
    memcpy(&four, from, sizeof four);
    return _mm512_set1_epi32(four);
}

/* One tile x `count` rows. The 8 vectors of a block of weights stay in registers while the rows pass by; the
 * unsigned dot is made signed by starting at -128 * sum. */
INLINE void q8_tile(const struct gemm *gemm, size_t tile, size_t row, size_t count)
{
    const struct packed *weights = gemm->weights;
    size_t cols = weights->cols;
    size_t blocks = cols / BLOCK;
    const uint8_t *w = (const uint8_t *)weights->weights + tile * LANES * cols;
    const uint16_t *scales = weights->scales + tile * LANES * blocks;
    const int8_t *a = gemm->acts->q + row * cols;
    const float *d = gemm->acts->d + row * blocks;
    const int32_t *sums = gemm->acts->sum + row * blocks;

    __m512 acc[16];
    UNROLL
    for (size_t t = 0; t < count; t++)
        acc[t] = _mm512_setzero_ps();
    for (size_t b = 0; b < blocks; b++) {
        __m512i v[GROUPS];
        UNROLL
        for (size_t g = 0; g < GROUPS; g++)
            v[g] = _mm512_load_si512(w + (b * GROUPS + g) * 64);
        __m512 scale = widen(load_halves(scales + b * LANES));
        UNROLL
        for (size_t t = 0; t < count; t++) {
            const int8_t *bytes = a + t * cols + b * BLOCK;
            __m512i dot = _mm512_set1_epi32(-128 * sums[t * blocks + b]);
            UNROLL
            for (size_t g = 0; g < GROUPS; g++)
                dot = _mm512_dpbusd_epi32(dot, v[g], four_bytes(bytes + 4 * g));
            __m512 both = _mm512_mul_ps(scale, _mm512_set1_ps(d[t * blocks + b]));
            acc[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), both, acc[t]);
        }
    }
    __mmask16 mask = lanes_below(weights->rows - tile * LANES);
    UNROLL
    for (size_t t = 0; t < count; t++)
        _mm512_mask_storeu_ps(gemm->out + (row + t) * weights->rows + tile * LANES, mask, acc[t]);
}

static void gemm_q8(const struct gemm *gemm)
{
    for (size_t tile = gemm->tile_begin; tile < gemm->tile_end; tile++) {
        size_t row = gemm->row_begin;
        size_t end = gemm->row_end;
        for (; row + 16 <= end; row += 16)
            q8_tile(gemm, tile, row, 16);
        if (row + 8 <= end) q8_tile(gemm, tile, row, 8), row += 8;
        if (row + 4 <= end) q8_tile(gemm, tile, row, 4), row += 4;
        if (row + 2 <= end) q8_tile(gemm, tile, row, 2), row += 2;
        if (row + 1 <= end) q8_tile(gemm, tile, row, 1);
    }
}

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

void avx512_fill_gemm(struct ops *ops)
{
    ops->gemm[PACKED_Q8] = gemm_q8;
    ops->gemm[PACKED_F32] = gemm_f32;
    ops->gemm[PACKED_F16] = gemm_f16;
}

/* kernels/x86/avx512_dpbf16.c -- the rung "bf16": the AVX-512 column where the machine multiplies bf16 (AVX512_BF16).
 * Not below the rung "amx": the machines that have tiles make this instruction at half the rate of an FMA.
 *
 * vdpbf16ps is the contract's arithmetic: the odd product first, then the even one, each added with one rounding,
 * denormals to zero; it looks at no control register. Its pair of activations is broadcast out of memory. */
#include "kernels/columns.h"
#include "kernels/ops.h"
#include "kernels/pack.h"
#include "kernels/x86/avx512.h"

#include <string.h>

enum {
    ROWS = ACTS_PANEL
};

static void round_bf16(struct acts *acts, size_t row_begin, size_t row_end)
{
    size_t pairs = acts->cols / 2;
    for (size_t row = row_begin; row < row_end; row++) {
        const float *x = acts->x + row * acts->cols;
        uint16_t *out = acts->bf + 2 * acts_entry(row, pairs);
        size_t stride = 2 * acts_panel_rows(acts, row);
        for (size_t p = 0; p < pairs; p += LANES / 2) {
            uint16_t rounded[LANES];
            size_t count = pairs - p < LANES / 2 ? pairs - p : LANES / 2;
            __m512 v = _mm512_maskz_loadu_ps(lanes_below(2 * count), x + 2 * p);
            __m256bh halves = _mm512_cvtneps_pbh(v);
            memcpy(rounded, &halves, sizeof rounded);
            for (size_t i = 0; i < count; i++)
                memcpy(out + (p + i) * stride, rounded + 2 * i, 2 * sizeof *out);
        }
    }
}

/* acc += the pair at `from` . the pairs of weights. */
INLINE __m512 dot_pair(__m512 acc, __m512 pairs, const uint16_t *from)
{
    __asm__("vdpbf16ps %2%{1to16%}, %1, %0"
            : "+v"(acc)
            : "v"(pairs), "m"(*(const int32_t *)(const void *)from));
    return acc;
}

/* `tiles` tiles x `count` rows of one panel. */
INLINE void bf16_tile(const struct gemm *gemm, size_t tile, size_t tiles, size_t row, size_t count)
{
    const struct packed *packed = gemm->weights;
    size_t pairs = packed->cols / 2;
    const uint16_t *w = packed->weights;
    const uint16_t *x = gemm->acts->bf + 2 * acts_entry(row, pairs);
    size_t stride = 2 * acts_panel_rows(gemm->acts, row);
    w += tile * pairs * LANES * 2;
    __m512 acc[2 * ROWS];
    UNROLL
    for (size_t i = 0; i < tiles * count; i++)
        acc[i] = _mm512_setzero_ps();
    for (size_t p = 0; p < pairs; p++, x += stride) {
        __m512 v[8];
        UNROLL
        for (size_t i = 0; i < tiles; i++)
            v[i] = _mm512_load_ps(w + (i * pairs + p) * LANES * 2);
        UNROLL
        for (size_t t = 0; t < count; t++) {
            UNROLL
            for (size_t i = 0; i < tiles; i++)
                acc[t * tiles + i] = dot_pair(acc[t * tiles + i], v[i], x + 2 * t);
        }
    }
    UNROLL
    for (size_t i = 0; i < tiles; i++) {
        size_t first = (tile + i) * LANES;
        __mmask16 mask = lanes_below(packed->rows - first);
        UNROLL
        for (size_t t = 0; t < count; t++)
            _mm512_mask_storeu_ps(gemm->out + (row + t) * packed->rows + first, mask,
                                  acc[t * tiles + i]);
    }
}

/* Fewer rows at once need more tiles to hide the instruction's latency. */
INLINE void bf16_rows(const struct gemm *gemm, size_t tile, size_t tiles)
{
    size_t row = gemm->row_begin;
    size_t end = gemm->row_end;
    for (; row + 16 <= end; row += 16)
        for (size_t i = 0; i < tiles; i++)
            bf16_tile(gemm, tile + i, 1, row, 16);
    if (row + 8 <= end) {
        for (size_t i = 0; i<tiles; i += tiles> 1 ? 2 : 1)
            bf16_tile(gemm, tile + i, tiles > 1 ? 2 : 1, row, 8);
        row += 8;
    }
    if (row + 4 <= end) bf16_tile(gemm, tile, tiles, row, 4), row += 4;
    for (; row < end; row++)
        bf16_tile(gemm, tile, tiles, row, 1);
}

static void gemm_bf16(const struct gemm *gemm)
{
    size_t tile = gemm->tile_begin;
    for (; tile + 4 <= gemm->tile_end; tile += 4)
        bf16_rows(gemm, tile, 4);
    for (; tile < gemm->tile_end; tile++)
        bf16_rows(gemm, tile, 1);
}

void ops_fill_avx512_bf16(struct ops *ops)
{
    ops->name = "bf16";
    ops->round_bf16 = round_bf16;
    ops->gemm[PACKED_BF16] = gemm_bf16;
}

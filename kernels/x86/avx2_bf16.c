/* kernels/x86/avx2_bf16.c -- the AVX2 column: products of bf16 matrices, as vdpbf16ps makes them.
 *
 * A bf16 is the upper half of a float, so a pair widens by a mask (the odd column) and a shift (the even one).
 * Denormals are zero on the way in and on the way out, tiny being judged after rounding: what fma does while MXCSR
 * says so. The product sets it for itself and puts it back. */
#include "kernels/ops.h"
#include "kernels/pack.h"
#include "kernels/quant.h"
#include "kernels/x86/avx2.h"

#include <string.h>

enum {
    FLUSH = 0x8040, // of MXCSR: flush to zero, denormals are zero
    ROWS = 12,      // at once
    TILES = 4,
    HALVES = 2 * TILES,
    PAIRS = 64 // of columns, widened at once
};

/* Pairs of columns of up to 12 rows, widened. */
struct wide {
    float even[PAIRS][LANES];
    float odd[PAIRS][LANES];
};

INLINE __m256 even_of(__m256i pairs)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
}

INLINE __m256 odd_of(__m256i pairs)
{
    return _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32((int)0xFFFF0000)));
}

/* `pairs` pairs of `count` rows from `from` on, `stride` rows from one pair to the next. */
INLINE void widen_acts(struct wide *wide, const uint16_t *from, size_t stride, size_t pairs,
                       size_t count)
{
    for (size_t p = 0; p < pairs; p++) {
        const int *at = (const int *)(const void *)(from + 2 * p * stride);
        UNROLL
        for (size_t t = 0; t < count; t += HALF) {
            __m256i mask = lanes_below(count - t < HALF ? count - t : HALF);
            __m256i both = _mm256_maskload_epi32(at + t, mask);
            _mm256_storeu_ps(wide->even[p] + t, even_of(both));
            _mm256_storeu_ps(wide->odd[p] + t, odd_of(both));
        }
    }
}

/* sum += the odd columns' product, then the even ones'. */
INLINE __m256 add_pair(__m256 sum, __m256i weights, const float *odd, const float *even)
{
    sum = _mm256_fmadd_ps(_mm256_set1_ps(*odd), odd_of(weights), sum);
    return _mm256_fmadd_ps(_mm256_set1_ps(*even), even_of(weights), sum);
}

/* `pairs` pairs of columns on `halves` half tiles (`w`: of the first; a tile has `tile_size` vectors) x `count` rows:
 * up to 12 sums, which are kept in `acc` between calls. */
INLINE void add_pairs(const __m256i *w, size_t tile_size, const struct wide *wide, size_t pairs,
                      size_t halves, size_t count, __m256 acc[ROWS])
{
    __m256 sums[ROWS];
    UNROLL
    for (size_t i = 0; i < halves * count; i++)
        sums[i] = acc[i];
    for (size_t p = 0; p < pairs; p++) {
        const float *odd = wide->odd[p];
        const float *even = wide->even[p];
        __m256i v[2 * TILES];
        UNROLL
        for (size_t i = 0; i < halves; i++)
            v[i] = _mm256_load_si256(w + i / 2 * tile_size + 2 * p + i % 2);
        UNROLL
        for (size_t i = 0; i < halves * count; i++)
            sums[i] = add_pair(sums[i], v[i % halves], odd + i / halves, even + i / halves);
    }
    UNROLL
    for (size_t i = 0; i < halves * count; i++)
        acc[i] = sums[i];
}

/* `tiles` tiles (4 or 1) x `count` rows of one panel, by as many half tiles at once as hide the FMA's latency. */
INLINE void bf16_block(const struct gemm *gemm, size_t tile, size_t tiles, size_t row, size_t count)
{
    size_t pairs = gemm->weights->cols / 2;
    size_t tile_size = 2 * pairs;
    const __m256i *w = (const __m256i *)gemm->weights->weights + tile * tile_size;
    const uint16_t *x = gemm->acts->bf + 2 * acts_entry(row, pairs);
    size_t stride = acts_panel_rows(gemm->acts, row);
    const size_t most = count < HALF ? HALF / count : 1;
    const size_t halves = most < 2 * tiles ? most : 2 * tiles;
    __m256 acc[HALVES][ROWS];
    for (size_t i = 0; i < 2 * tiles / halves; i++)
        for (size_t t = 0; t < ROWS; t++)
            acc[i][t] = _mm256_setzero_ps();
    for (size_t begin = 0; begin < pairs; begin += PAIRS) {
        struct wide wide;
        size_t some = pairs - begin < PAIRS ? pairs - begin : PAIRS;
        widen_acts(&wide, x + 2 * begin * stride, stride, some, count);
        UNROLL_NOT
        for (size_t i = 0; i < 2 * tiles; i += halves)
            add_pairs(w + i / 2 * tile_size + 2 * begin + i % 2, tile_size, &wide, some, halves,
                      count, acc[i / halves]);
    }
    for (size_t i = 0; i < 2 * tiles; i++)
        for (size_t t = 0; t < count; t++)
            store_half(gemm, row + t, (2 * tile + i) * HALF,
                       acc[i / halves][t * halves + i % halves]);
}

/* The rows [row, end) of one panel over `tiles` tiles. */
INLINE void bf16_panel(const struct gemm *gemm, size_t tile, size_t tiles, size_t row, size_t end)
{
    for (; row + ROWS <= end; row += ROWS)
        bf16_block(gemm, tile, tiles, row, ROWS);
    if (row + 8 <= end) bf16_block(gemm, tile, tiles, row, 8), row += 8;
    if (row + 4 <= end) bf16_block(gemm, tile, tiles, row, 4), row += 4;
    if (row + 2 <= end) bf16_block(gemm, tile, tiles, row, 2), row += 2;
    if (row + 1 <= end) bf16_block(gemm, tile, tiles, row, 1);
}

INLINE void bf16_tiles(const struct gemm *gemm, size_t tile, size_t tiles)
{
    for (size_t row = gemm->row_begin; row < gemm->row_end; row += ACTS_PANEL) {
        size_t left = gemm->row_end - row;
        bf16_panel(gemm, tile, tiles, row, row + (left < ACTS_PANEL ? left : ACTS_PANEL));
    }
}

/* Never inlined: no arithmetic may leave the stretch in which MXCSR is set for it. */
static __attribute__((noinline)) void gemm_flushing(const struct gemm *gemm)
{
    size_t tile = gemm->tile_begin;
    for (; tile + TILES <= gemm->tile_end; tile += TILES)
        bf16_tiles(gemm, tile, TILES);
    for (; tile < gemm->tile_end; tile++)
        bf16_tiles(gemm, tile, 1);
}

static void gemm_bf16(const struct gemm *gemm)
{
    unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | FLUSH);
    gemm_flushing(gemm);
    _mm_setcsr(mode);
}

/* quant_f32_to_bf16() of 8 values, each in the lower half of a lane. */
INLINE __m256i round_lanes(__m256 x)
{
    __m256i bits = _mm256_castps_si256(x);
    __m256i upper = _mm256_srli_epi32(bits, 16);
    __m256i magnitude = _mm256_and_si256(bits, _mm256_set1_epi32(0x7FFFFFFF));
    __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
    __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
    rounded = _mm256_srli_epi32(rounded, 16);
    __m256i zero = _mm256_and_si256(upper, _mm256_set1_epi32(0x8000));
    __m256i nan = _mm256_or_si256(upper, _mm256_set1_epi32(0x40));
    __m256i tiny = _mm256_cmpgt_epi32(_mm256_set1_epi32(0x00800000), magnitude);
    __m256i broken = _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(0x7F800000));
    rounded = _mm256_blendv_epi8(rounded, zero, tiny);
    return _mm256_blendv_epi8(rounded, nan, broken);
}

static void round_bf16(struct acts *acts, size_t row_begin, size_t row_end)
{
    size_t pairs = acts->cols / 2;
    for (size_t row = row_begin; row < row_end; row++) {
        const float *x = acts->x + row * acts->cols;
        uint16_t *out = acts->bf + 2 * acts_entry(row, pairs);
        size_t stride = 2 * acts_panel_rows(acts, row);
        for (size_t p = 0; p < pairs; p += HALF / 2) {
            size_t count = pairs - p < HALF / 2 ? pairs - p : HALF / 2;
            __m256i v = round_lanes(load_floats(x + 2 * p, 2 * count));
            v = _mm256_or_si256(v, _mm256_srli_epi64(v, 16)); // a pair in the lower half of 64 bits
            uint64_t pair[HALF / 2];
            memcpy(pair, &v, sizeof pair);
            for (size_t i = 0; i < count; i++)
                memcpy(out + (p + i) * stride, &pair[i], 2 * sizeof *out);
        }
    }
}

void avx2_fill_bf16(struct ops *ops)
{
    ops->gemm[PACKED_BF16] = gemm_bf16;
    ops->round_bf16 = round_bf16;
}

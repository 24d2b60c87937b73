/* kernels/x86/avx512_gemm.c -- the AVX-512 column: products of packed quantised matrices.
 *
 * One tile of 16 outputs x up to 16 rows at a time. A block's codes are unpacked into 8 vectors, which stay in
 * registers while the rows pass by; a row's 4 activations are broadcast out of memory by the dot instruction
 * itself. Codes are unsigned as vpdpbusd wants them; the dot becomes that of (code - zero) by starting at
 * -zero * sum. */
#include "kernels/ops.h"
#include "kernels/pack.h"
#include "kernels/x86/avx512.h"
#include "kernels/x86/avx512_codes.h"

#include "base/must.h"

#include <string.h>

enum {
    ROWS = ACTS_PANEL
};

/* dot += codes . the 4 bytes at `from`, in each lane. gcc 12 makes a load and a broadcast of the intrinsic; the
 * instruction can do both. */
INLINE __m512i dot_four(__m512i dot, __m512i codes, const int8_t *from)
{
    __asm__("vpdpbusd %2%{1to16%}, %1, %0"
            : "+v"(dot)
            : "v"(codes), "m"(*(const int32_t *)(const void *)from));
    return dot;
}

INLINE __m512 broadcast(const float *from)
{
    return _mm512_set1_ps(*from);
}

/* Where the codes' zero puts the start of each row's dot: -zero * sum, of the first half and of the second where
 * the kind joins two, for all rows of the block at once. */
struct starts {
    int32_t all[ROWS];
    int32_t second[ROWS];
};

INLINE void set_starts(enum packed_kind kind, const struct acts *acts, size_t entry, size_t rows,
                       struct starts *starts)
{
    if (packed_zero(kind) == 0) return;
    const __m512i zero = _mm512_set1_epi32(-packed_zero(kind));
    __mmask16 mask = lanes_below(rows);
    __m512i sum = _mm512_maskz_loadu_epi32(mask, acts->sum + entry);
    if (kind == PACKED_Q6_K) {
        __m512i half = _mm512_maskz_loadu_epi32(mask, acts->half + entry);
        __m512i rest = _mm512_mullo_epi32(_mm512_sub_epi32(sum, half), zero);
        _mm512_storeu_si512(starts->second, rest);
        sum = half;
    }
    _mm512_storeu_si512(starts->all, _mm512_mullo_epi32(sum, zero));
}

INLINE __m512i start_of(enum packed_kind kind, const int32_t *start)
{
    return packed_zero(kind) == 0 ? _mm512_setzero_si512() : _mm512_set1_epi32(*start);
}

/* The block's dot of one row, as a float: exact, for it is a whole number below 2^24. */
INLINE __m512 block_dot(enum packed_kind kind, const __m512i codes[GROUPS],
                        const struct scales *scales, const struct starts *starts, size_t row,
                        const int8_t *q)
{
    __m512i dot = start_of(kind, &starts->all[row]);
    if (kind == PACKED_Q6_K) {
        __m512i second = start_of(kind, &starts->second[row]);
        UNROLL
        for (size_t g = 0; g < GROUPS / 2; g++) {
            dot = dot_four(dot, codes[g], q + 4 * g);
            second = dot_four(second, codes[g + GROUPS / 2], q + 4 * g + BLOCK / 2);
        }
        __m512 first = _mm512_mul_ps(_mm512_cvtepi32_ps(dot), scales->halves[0]);
        return _mm512_fmadd_ps(_mm512_cvtepi32_ps(second), scales->halves[1], first);
    }
    UNROLL
    for (size_t g = 0; g < GROUPS; g++)
        dot = dot_four(dot, codes[g], q + 4 * g);
    return _mm512_cvtepi32_ps(dot);
}

/* One tile x `count` rows from `row` on, all of one panel. */
INLINE void quantised_tile(const struct gemm *gemm, enum packed_kind kind, size_t tile, size_t row,
                           size_t count)
{
    const struct packed *packed = gemm->weights;
    const struct acts *acts = gemm->acts;
    size_t blocks = packed->cols / BLOCK;
    struct tile_areas areas = tile_areas(packed, kind, tile);
    size_t entry = acts_entry(row, blocks);
    size_t stride = acts_panel_rows(acts, row);

    __m512 acc[ROWS];
    UNROLL
    for (size_t t = 0; t < count; t++)
        acc[t] = _mm512_setzero_ps();
    for (size_t b = 0; b < blocks; b++, entry += stride) {
        __m512i codes[GROUPS];
        struct starts starts;
        const uint8_t *block = areas.weights + b * packed_block_size(kind);
        UNROLL
        for (size_t i = 0; i < packed_block_size(kind); i += VECTOR)
            fetch_weights(block + i);
        unpack(packed_bits(kind), block, codes);
        struct scales scales = block_scales(&areas, kind, b);
        set_starts(kind, acts, entry, count, &starts);
        const int8_t *q = acts->q + entry * BLOCK;
        UNROLL
        for (size_t t = 0; t < count; t++) {
            __m512 dot = block_dot(kind, codes, &scales, &starts, t, q + t * BLOCK);
            __m512 both = _mm512_mul_ps(scales.scale, broadcast(acts->d + entry + t));
            acc[t] = _mm512_fmadd_ps(dot, both, acc[t]);
            if (packed_has_min(kind))
                acc[t] = _mm512_fmadd_ps(scales.min, broadcast(acts->dsum + entry + t), acc[t]);
        }
    }
    __mmask16 mask = lanes_below(packed->rows - tile * LANES);
    UNROLL
    for (size_t t = 0; t < count; t++)
        _mm512_mask_storeu_ps(gemm->out + (row + t) * packed->rows + tile * LANES, mask, acc[t]);
}

INLINE void gemm_quantised(const struct gemm *gemm, enum packed_kind kind)
{
    for (size_t tile = gemm->tile_begin; tile < gemm->tile_end; tile++) {
        size_t row = gemm->row_begin;
        size_t end = gemm->row_end;
        for (; row + 16 <= end; row += 16)
            quantised_tile(gemm, kind, tile, row, 16);
        if (row + 8 <= end) quantised_tile(gemm, kind, tile, row, 8), row += 8;
        if (row + 4 <= end) quantised_tile(gemm, kind, tile, row, 4), row += 4;
        if (row + 2 <= end) quantised_tile(gemm, kind, tile, row, 2), row += 2;
        if (row + 1 <= end) quantised_tile(gemm, kind, tile, row, 1);
    }
}

/* One function a kind: inside of it the kind is a constant. */
#define KIND(name, kind)                             \
    static void gemm_##name(const struct gemm *gemm) \
    {                                                \
        gemm_quantised(gemm, PACKED_##kind);         \
    }
#include "kernels/quantised.def"
#undef KIND

void avx512_gemm(const struct gemm *gemm)
{
    switch (gemm->weights->kind) {
#define KIND(name, kind)   \
    case PACKED_##kind:    \
        gemm_##name(gemm); \
        break;
#include "kernels/quantised.def"
#undef KIND
    default: must(!"a quantised kind");
    }
}

void avx512_fill_gemm(struct ops *ops)
{
#define KIND(name, kind) ops->gemm[PACKED_##kind] = gemm_##name;
#include "kernels/quantised.def"
#undef KIND
}

/* kernels/x86/avx512_codes.h -- blocks of packed matrices (kernels/pack.h) as vectors: their codes and what scales them.
 * For the files of the AVX-512 and AMX columns that multiply; `kind` and `bits` are constants at each call. */
#ifndef KERNELS_X86_AVX512_CODES_H
#define KERNELS_X86_AVX512_CODES_H

#include "kernels/pack.h"
#include "kernels/x86/avx512.h"

#include <stdbool.h>

enum {
    GROUPS = BLOCK / 4, // vectors of codes in a block of a tile
    VECTOR = 64,
    SUPER_BLOCKS = QUANT_SUPER / BLOCK,
    AND_OR = 0xEA // the truth table of (a & b) | c; clang takes no variable for an immediate
};

enum {
    NEAR = 1024, // bytes that weights are fetched into the first cache before their use,
    FAR = 4096   // and into the second: memory is what few rows wait for
};

/* On the way to weights at `at`. */
INLINE void fetch_weights(const uint8_t *at)
{
    _mm_prefetch((const char *)at + NEAR, _MM_HINT_T0);
    _mm_prefetch((const char *)at + FAR, _MM_HINT_T1);
}

/* One vector of codes of each group; `bits` is a constant. See kernels/pack.h for the layouts. */
INLINE void unpack(size_t bits, const uint8_t *block, __m512i codes[GROUPS])
{
    if (bits == 8) {
        UNROLL
        for (size_t g = 0; g < GROUPS; g++)
            codes[g] = _mm512_load_si512(block + g * VECTOR);
        return;
    }
    const __m512i nibble = _mm512_set1_epi8(15);
    UNROLL
    for (size_t j = 0; j < 4; j++) {
        __m512i both = _mm512_load_si512(block + j * VECTOR);
        codes[j] = _mm512_and_si512(both, nibble);
        codes[j + 4] = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
    }
    if (bits == 5) {
        const __m512i fifth = _mm512_set1_epi8(16);
        __m512i high = _mm512_load_si512(block + 4 * VECTOR);
        UNROLL
        for (unsigned g = 0; g < GROUPS; g++) {
            __m512i at = g < 4 ? _mm512_slli_epi16(high, 4 - g) : _mm512_srli_epi16(high, g - 4);
            codes[g] = _mm512_ternarylogic_epi32(at, fifth, codes[g], AND_OR);
        }
    }
    if (bits == 6) {
        const __m512i upper = _mm512_set1_epi8(48);
        UNROLL
        for (unsigned g = 0; g < GROUPS; g++) {
            __m512i high = _mm512_load_si512(block + (4 + g / 4) * VECTOR);
            unsigned i = g % 4;
            __m512i at =
                i < 2 ? _mm512_slli_epi16(high, 4 - 2 * i) : _mm512_srli_epi16(high, 2 * i - 4);
            codes[g] = _mm512_ternarylogic_epi32(at, upper, codes[g], AND_OR);
        }
    }
}

/* What scales a block's dots: per lane. */
struct scales {
    __m512 scale;
    __m512 min;       // kinds with one
    __m512 halves[2]; // PACKED_Q6_K: of the block's halves
};

INLINE __m512 bytes_to_floats(const uint8_t *bytes, bool is_signed)
{
    __m128i packed = _mm_load_si128((const __m128i *)(const void *)bytes);
    return _mm512_cvtepi32_ps(is_signed ? _mm512_cvtepi8_epi32(packed)
                                        : _mm512_cvtepu8_epi32(packed));
}

INLINE __m512 halves_to_floats(const uint8_t *halves)
{
    return widen(_mm256_load_si256((const __m256i *)(const void *)halves));
}

INLINE struct scales load_scales(enum packed_kind kind, const uint8_t *scales,
                                 const uint8_t *supers)
{
    struct scales out = {.scale = _mm512_setzero_ps()};
    if (kind == PACKED_Q6_K) {
        out.scale = halves_to_floats(supers);
        out.halves[0] = bytes_to_floats(scales, true);
        out.halves[1] = bytes_to_floats(scales + LANES, true);
    } else if (packed_super_size(kind) > 0) {
        out.scale = _mm512_mul_ps(halves_to_floats(supers), bytes_to_floats(scales, false));
        out.min = _mm512_mul_ps(halves_to_floats(supers + 2 * LANES),
                                bytes_to_floats(scales + LANES, false));
        out.min = _mm512_xor_ps(out.min, _mm512_set1_ps(-0.0f));
    } else {
        out.scale = halves_to_floats(scales);
        if (packed_has_min(kind)) out.min = halves_to_floats(scales + 2 * LANES);
    }
    return out;
}

/* Where a tile's areas begin. */
struct tile_areas {
    const uint8_t *weights;
    const uint8_t *scales;
    const uint8_t *supers; // kinds without: not to be read
};

INLINE struct tile_areas tile_areas(const struct packed *packed, enum packed_kind kind, size_t tile)
{
    size_t blocks = packed->cols / BLOCK;
    struct tile_areas areas = {.weights = packed->weights, .scales = packed->scales};
    areas.weights += tile * blocks * packed_block_size(kind);
    areas.scales += tile * blocks * packed_scale_size(kind);
    areas.supers = packed->supers;
    if (packed_super_size(kind) > 0)
        areas.supers += tile * (blocks / SUPER_BLOCKS) * packed_super_size(kind);
    return areas;
}

INLINE struct scales block_scales(const struct tile_areas *areas, enum packed_kind kind,
                                  size_t block)
{
    const uint8_t *supers = areas->supers;
    if (packed_super_size(kind) > 0) supers += block / SUPER_BLOCKS * packed_super_size(kind);
    return load_scales(kind, areas->scales + block * packed_scale_size(kind), supers);
}

#endif

/* kernels/x86/avx2_gemm.c -- the AVX2 column: products of packed quantised matrices.
 *
 * Half a tile, 8 outputs, x up to 6 rows at a time: codes are unpacked a few groups at a time and meet the rows' sums,
 * which stay in registers. vpmaddubsw (unsigned codes x activations within +-127) adds two products into 16 bits and
 * saturates, so what a sum may reach decides the way:
 *
 *      4 bits   15 * 127 * 2 a group: all 8 groups fit into 16 bits, 30480
 *      5, 6     63 * 127 * 2 a group: 2 groups fit, 32004; each two then go into 32 bits, times Q6_K's scale
 *      8        255 * 127 * 2 does not fit: codes and activations are widened to 16 bits, the even bytes and the odd
 *               ones apart, for vpmaddwd, which is exact
 *
 * The dot becomes that of (code - zero) by starting at -zero * sum. */
#include "kernels/ops.h"
#include "kernels/pack.h"
#include "kernels/x86/avx2.h"

#include <string.h>

enum {
    GROUPS = BLOCK / 4, // of four columns in a block
    ROWS = 6,
    VECTOR = 64, // bytes of a group of a tile
    SUPER_BLOCKS = QUANT_SUPER / BLOCK
};

INLINE __m256i load_vector(const void *from)
{
    return _mm256_load_si256((const __m256i *)from);
}

/* What the rows bring to a block. */
struct block_acts {
    const int8_t *q;            // [rows][32]
    const float *d;             // [rows]
    const float *dsum;          // [rows]
    int32_t even[ROWS][GROUPS]; // 8 bits: the even columns of each group, widened, as a pair
    int32_t odd[ROWS][GROUPS];
    int32_t
        start[ROWS]; // -zero * sum; PACKED_Q6_K: minus the sums of both halves, a pair of 16 bits
};

INLINE void load_acts(enum packed_kind kind, const struct acts *acts, size_t entry, size_t count,
                      struct block_acts *out)
{
    out->q = acts->q + entry * BLOCK;
    out->d = acts->d + entry;
    out->dsum = acts->dsum + entry;
    UNROLL
    for (size_t t = 0; t < count; t++) {
        int32_t sum = acts->sum[entry + t];
        int32_t half = acts->half[entry + t];
        if (kind == PACKED_Q6_K)
            out->start[t] = (int32_t)((uint32_t)(half - sum) << 16 | (uint16_t)-half);
        else
            out->start[t] = -packed_zero(kind) * sum;
        if (packed_bits(kind) < 8) continue;
        __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)(out->q + t * BLOCK));
        __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(bytes, 8), 8);
        _mm256_storeu_si256((__m256i *)(void *)out->even[t], even);
        _mm256_storeu_si256((__m256i *)(void *)out->odd[t], _mm256_srai_epi16(bytes, 8));
    }
}

/* What scales a block's dots: per lane. */
struct scales {
    __m256 scale;
    __m256 min; // kinds with one
    __m256i factors
        [2]; // for vpmaddwd: 1, or (PACKED_Q6_K) the scale of the block's half, in both 16 bits of a lane
    __m256i both; // PACKED_Q6_K: the scales of the two halves as a pair
};

INLINE __m128i load_eight(const uint8_t *bytes)
{
    return _mm_loadl_epi64((const __m128i *)(const void *)bytes);
}

INLINE __m256 bytes_to_floats(const uint8_t *bytes)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(load_eight(bytes)));
}

INLINE __m256 halves_to_floats(const uint8_t *halves)
{
    return load_halves((const uint16_t *)(const void *)halves);
}

/* Of half `half` (0, 1) of the tile. */
INLINE struct scales load_scales(enum packed_kind kind, const uint8_t *scales,
                                 const uint8_t *supers, size_t half)
{
    struct scales out = {.scale = _mm256_setzero_ps()};
    if (kind == PACKED_Q6_K) {
        out.scale = halves_to_floats(supers + half * LANES);
        __m128i first = load_eight(scales + half * HALF);
        __m128i second = load_eight(scales + LANES + half * HALF);
        out.factors[0] = _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(first, first));
        out.factors[1] = _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(second, second));
        out.both = _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(first, second));
    } else if (packed_super_size(kind) > 0) {
        out.scale = _mm256_mul_ps(halves_to_floats(supers + half * LANES),
                                  bytes_to_floats(scales + half * HALF));
        out.min = _mm256_mul_ps(halves_to_floats(supers + 2 * LANES + half * LANES),
                                bytes_to_floats(scales + LANES + half * HALF));
        out.min = _mm256_xor_ps(out.min, _mm256_set1_ps(-0.0f));
    } else {
        out.scale = halves_to_floats(scales + half * LANES);
        if (packed_has_min(kind)) out.min = halves_to_floats(scales + 2 * LANES + half * LANES);
    }
    return out;
}

/* Where a row's sum begins. */
INLINE __m256i start_of(enum packed_kind kind, const struct scales *scales, int32_t start)
{
    if (packed_zero(kind) == 0) return _mm256_setzero_si256();
    if (kind != PACKED_Q6_K) return _mm256_set1_epi32(start);
    return _mm256_slli_epi32(_mm256_madd_epi16(scales->both, _mm256_set1_epi32(start)), 5);
}

/* Two groups' products with a row, in 16 bits; `q` and `r` are its activations of each. */
INLINE __m256i two_groups(__m256i first, const int8_t *q, __m256i second, const int8_t *r)
{
    int32_t four[2];
    memcpy(&four[0], q, sizeof four[0]);
    memcpy(&four[1], r, sizeof four[1]);
    return _mm256_add_epi16(_mm256_maddubs_epi16(first, _mm256_set1_epi32(four[0])),
                            _mm256_maddubs_epi16(second, _mm256_set1_epi32(four[1])));
}

/* What unpacking 4 or 5 bits goes along with, vector by vector. */
struct nibbles {
    __m256i below; // bit 4 of each byte is the fifth bit of group j's code,
    __m256i above; // and here of group j + 4's
};

/* Groups j and j + 4, which share vector j. */
INLINE void add_nibbles(size_t bits, const uint8_t *block, size_t j, struct nibbles *fifth,
                        const struct block_acts *acts, size_t count, __m256i sums[ROWS])
{
    const __m256i nibble = _mm256_set1_epi8(15);
    const __m256i sixteen = _mm256_set1_epi8(16);
    __m256i both = load_vector(block + j * VECTOR);
    __m256i first = _mm256_and_si256(both, nibble);
    __m256i second = _mm256_and_si256(_mm256_srli_epi16(both, 4), nibble);
    if (bits == 5) {
        first = _mm256_or_si256(first, _mm256_and_si256(fifth->below, sixteen));
        second = _mm256_or_si256(second, _mm256_and_si256(fifth->above, sixteen));
        fifth->below = _mm256_srli_epi16(fifth->below, 1);
        fifth->above = _mm256_srli_epi16(fifth->above, 1);
    }
    UNROLL
    for (size_t t = 0; t < count; t++) {
        const int8_t *q = acts->q + t * BLOCK + 4 * j;
        __m256i two = two_groups(first, q, second, q + BLOCK / 2);
        if (bits == 4)
            sums[t] = _mm256_add_epi16(sums[t], two);
        else
            sums[t] = _mm256_add_epi32(sums[t], _mm256_madd_epi16(two, _mm256_set1_epi16(1)));
    }
}

/* The dots of one block of half a tile with `count` rows are added to `dots`, 32 bits; `block` is where its codes
 * begin (layouts: kernels/pack.h). Here of 4 bits, in sums of 16 bits, or of 5. */
INLINE void dots_of_nibbles(size_t bits, const uint8_t *block, const struct block_acts *acts,
                            size_t count, __m256i dots[ROWS])
{
    struct nibbles fifth = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    if (bits == 5) {
        fifth.above = load_vector(block + 4 * VECTOR);
        fifth.below = _mm256_slli_epi16(fifth.above, 4);
    }
    __m256i small[ROWS];
    UNROLL
    for (size_t t = 0; t < count; t++)
        small[t] = _mm256_setzero_si256();
    __m256i *sums = bits == 4 ? small : dots;
    if (count == 1) {
        UNROLL
        for (size_t j = 0; j < GROUPS / 2; j++)
            add_nibbles(bits, block, j, &fifth, acts, count, sums);
    } else {
        UNROLL_NOT
        for (size_t j = 0; j < GROUPS / 2; j++)
            add_nibbles(bits, block, j, &fifth, acts, count, sums);
    }
    UNROLL
    for (size_t t = 0; bits == 4 && t < count; t++)
        dots[t] = _mm256_add_epi32(dots[t], _mm256_madd_epi16(small[t], _mm256_set1_epi16(1)));
}

/* Of 6 bits: groups go by neighbours, for the two halves of a block have scales of their own. Unpacked at once: the
 * shifts are constants only where gcc sees them all. */
INLINE void dots_of_six(const uint8_t *block, const __m256i factors[2],
                        const struct block_acts *acts, size_t count, __m256i dots[ROWS])
{
    const __m256i nibble = _mm256_set1_epi8(15);
    const __m256i upper = _mm256_set1_epi8(48);
    __m256i codes[GROUPS];
    UNROLL
    for (int g = 0; g < GROUPS; g++) {
        __m256i low = load_vector(block + g % 4 * VECTOR);
        __m256i high = load_vector(block + (4 + g / 4) * VECTOR);
        int rise = 4 - 2 * (g % 4); // from where the upper two bits lie to above the nibble
        high = rise > 0 ? _mm256_slli_epi16(high, rise) : _mm256_srli_epi16(high, -rise);
        low = _mm256_and_si256(_mm256_srli_epi16(low, g / 4 * 4), nibble);
        codes[g] = _mm256_or_si256(low, _mm256_and_si256(high, upper));
    }
    UNROLL_TWICE
    for (size_t g = 0; g < GROUPS; g += 2) {
        UNROLL
        for (size_t t = 0; t < count; t++) {
            const int8_t *q = acts->q + t * BLOCK + 4 * g;
            __m256i two = two_groups(codes[g], q, codes[g + 1], q + 4);
            dots[t] = _mm256_add_epi32(dots[t], _mm256_madd_epi16(two, factors[2 * g / GROUPS]));
        }
    }
}

/* Of 8 bits. */
INLINE void dots_of_bytes(const uint8_t *block, const struct block_acts *acts, size_t count,
                          __m256i dots[ROWS])
{
    const __m256i low_bytes = _mm256_set1_epi16(255);
    UNROLL_TWICE
    for (size_t g = 0; g < GROUPS; g++) {
        __m256i bytes = load_vector(block + g * VECTOR);
        __m256i even = _mm256_and_si256(bytes, low_bytes);
        __m256i odd = _mm256_srli_epi16(bytes, 8);
        UNROLL
        for (size_t t = 0; t < count; t++) {
            __m256i a = _mm256_madd_epi16(even, _mm256_set1_epi32(acts->even[t][g]));
            __m256i b = _mm256_madd_epi16(odd, _mm256_set1_epi32(acts->odd[t][g]));
            dots[t] = _mm256_add_epi32(_mm256_add_epi32(dots[t], a), b);
        }
    }
}

INLINE void block_dots(enum packed_kind kind, const uint8_t *block, const struct scales *scales,
                       const struct block_acts *acts, size_t count, __m256i dots[ROWS])
{
    const size_t bits = packed_bits(kind);
    UNROLL
    for (size_t t = 0; t < count; t++)
        dots[t] = start_of(kind, scales, acts->start[t]);
    if (bits == 8)
        dots_of_bytes(block, acts, count, dots);
    else if (bits == 6)
        dots_of_six(block, scales->factors, acts, count, dots);
    else
        dots_of_nibbles(bits, block, acts, count, dots);
}

/* One tile x `count` rows from `row` on, all of one panel. */
INLINE void quantised_tile(const struct gemm *gemm, enum packed_kind kind, size_t tile, size_t row,
                           size_t count)
{
    const struct packed *packed = gemm->weights;
    size_t blocks = packed->cols / BLOCK;
    const uint8_t *weights = packed->weights;
    const uint8_t *scale_bytes = packed->scales;
    const uint8_t *supers = packed->supers;
    weights += tile * blocks * packed_block_size(kind);
    scale_bytes += tile * blocks * packed_scale_size(kind);
    if (packed_super_size(kind) > 0)
        supers += tile * (blocks / SUPER_BLOCKS) * packed_super_size(kind);
    size_t entry = acts_entry(row, blocks);
    size_t stride = acts_panel_rows(gemm->acts, row);

    __m256 acc[2][ROWS];
    UNROLL
    for (size_t t = 0; t < count; t++)
        acc[0][t] = acc[1][t] = _mm256_setzero_ps();
    for (size_t b = 0; b < blocks; b++, entry += stride) {
        struct block_acts acts;
        load_acts(kind, gemm->acts, entry, count, &acts);
        const uint8_t *block = weights + b * packed_block_size(kind);
        for (size_t half = 0; half < 2; half++) {
            __m256i dots[ROWS];
            struct scales scales =
                load_scales(kind, scale_bytes + b * packed_scale_size(kind),
                            supers + b / SUPER_BLOCKS * packed_super_size(kind), half);
            block_dots(kind, block + half * VECTOR / 2, &scales, &acts, count, dots);
            UNROLL
            for (size_t t = 0; t < count; t++) {
                __m256 both = _mm256_mul_ps(scales.scale, _mm256_set1_ps(acts.d[t]));
                __m256 sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[t]), both, acc[half][t]);
                if (packed_has_min(kind))
                    sum = _mm256_fmadd_ps(scales.min, _mm256_set1_ps(acts.dsum[t]), sum);
                acc[half][t] = sum;
            }
        }
    }
    UNROLL
    for (size_t t = 0; t < count; t++)
        store_outputs(gemm, row + t, tile * LANES, acc[0][t], acc[1][t]);
}

/* One tile x the rows [row, end) of one panel. */
INLINE void quantised_panel(const struct gemm *gemm, enum packed_kind kind, size_t tile, size_t row,
                            size_t end)
{
    for (; row + ROWS <= end; row += ROWS)
        quantised_tile(gemm, kind, tile, row, ROWS);
    if (row + 4 <= end) quantised_tile(gemm, kind, tile, row, 4), row += 4;
    if (row + 2 <= end) quantised_tile(gemm, kind, tile, row, 2), row += 2;
    if (row + 1 <= end) quantised_tile(gemm, kind, tile, row, 1);
}

INLINE void gemm_quantised(const struct gemm *gemm, enum packed_kind kind)
{
    for (size_t tile = gemm->tile_begin; tile < gemm->tile_end; tile++) {
        for (size_t row = gemm->row_begin; row < gemm->row_end; row += ACTS_PANEL) {
            size_t left = gemm->row_end - row;
            quantised_panel(gemm, kind, tile, row, row + (left < ACTS_PANEL ? left : ACTS_PANEL));
        }
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

void avx2_fill_gemm(struct ops *ops)
{
#define KIND(name, kind) ops->gemm[PACKED_##kind] = gemm_##name;
#include "kernels/quantised.def"
#undef KIND
}

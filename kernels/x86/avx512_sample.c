/* kernels/x86/avx512_sample.c -- the AVX-512 column: what the sampler asks of a row of logits. */
#include "kernels/ops.h"
#include "kernels/x86/avx512.h"

#include <math.h>
#include <stdbool.h>

enum {
    STRANGE = 0x99 // the classes of vfpclassps: quiet and signalling NaN, both infinities
};

/* The largest of 64 values by lane; `*strange` counts. */
INLINE __m512 peak_lanes(const float *x, size_t *strange)
{
    __m512 v[4];
    unsigned classes = 0;
    UNROLL
    for (size_t i = 0; i < 4; i++) {
        v[i] = _mm512_loadu_ps(x + i * LANES);
        classes |= _cvtmask16_u32(_mm512_fpclass_ps_mask(v[i], STRANGE));
    }
    for (size_t i = 0; classes && i < 4; i++)
        *strange +=
            (size_t)__builtin_popcount(_cvtmask16_u32(_mm512_fpclass_ps_mask(v[i], STRANGE)));
    return _mm512_max_ps(_mm512_max_ps(v[0], v[1]), _mm512_max_ps(v[2], v[3]));
}

/* Four blocks at once: lanes of four vectors meet in two steps, then the quarters do. The order of a maximum is
 * nobody's business once -0 is 0. */
INLINE __m128 join_four(const __m512 m[4])
{
    __m512 a = _mm512_max_ps(_mm512_unpacklo_ps(m[0], m[1]), _mm512_unpackhi_ps(m[0], m[1]));
    __m512 b = _mm512_max_ps(_mm512_unpacklo_ps(m[2], m[3]), _mm512_unpackhi_ps(m[2], m[3]));
    __m512 all = _mm512_max_ps(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xEE));
    __m256 half = _mm256_max_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    return _mm_add_ps(four, _mm_setzero_ps());
}

static size_t peaks(float *out, const float *x, size_t n)
{
    size_t strange = 0;
    size_t i = 0;
    for (; i + 4 * OPS_PEAK <= n; i += 4 * OPS_PEAK) {
        __m512 m[4];
        UNROLL
        for (size_t b = 0; b < 4; b++)
            m[b] = peak_lanes(x + i + b * OPS_PEAK, &strange);
        _mm_storeu_ps(out + i / OPS_PEAK, join_four(m));
    }
    for (; i < n; i += OPS_PEAK) {
        __m512 top = _mm512_set1_ps(-INFINITY);
        for (size_t j = i; j < n && j < i + OPS_PEAK; j += LANES) {
            __mmask16 mask = lanes_below(n - j);
            __m512 v = _mm512_maskz_loadu_ps(mask, x + j);
            strange +=
                (size_t)__builtin_popcount(_cvtmask16_u32(_mm512_fpclass_ps_mask(v, STRANGE)));
            top = _mm512_mask_max_ps(top, mask, top, v);
        }
        out[i / OPS_PEAK] = lanes_max(top) + 0.0f;
    }
    return strange;
}

/* A correctly rounded a / t without the divider: y = 1 / t rounded, then two corrections by the exact remainder
 * (Markstein 1990: after the first the quotient is off by less than an ulp, after the second it is the rounded one).
 * Where the remainder could underflow, |a| < 2^-100, exp() is 1 either way. */
INLINE __m512 divide(__m512 a, __m512 t, __m512 y)
{
    __m512 q = _mm512_mul_ps(a, y);
    q = _mm512_fmadd_ps(_mm512_fnmadd_ps(q, t, a), y, q);
    return _mm512_fmadd_ps(_mm512_fnmadd_ps(q, t, a), y, q);
}

/* The largest exponents of `temperature` for which nothing in divide() leaves the range. */
static const float divide_least = 0x1p-20f;
static const float divide_most = 0x1p20f;

INLINE __m512i weigh_lanes(uint64_t *out, __m512 quotient, __mmask16 mask)
{
    __m512 units = _mm512_mul_ps(exp_lanes(quotient), _mm512_set1_ps(0x1p40f)); // exact
    units = _mm512_maskz_mov_ps(mask, units);
    __m512i low = _mm512_cvttps_epi64(_mm512_castps512_ps256(units));
    __m512i high = _mm512_cvttps_epi64(_mm512_extractf32x8_ps(units, 1));
    _mm512_mask_storeu_epi64(out, (__mmask8)mask, low);
    _mm512_mask_storeu_epi64(out + 8, (__mmask8)(mask >> 8), high);
    return _mm512_add_epi64(low, high);
}

static uint64_t weigh(uint64_t *out, const float *x, float top, float temperature, size_t n)
{
    bool exact = temperature < divide_least || temperature > divide_most;
    __m512 tops = _mm512_set1_ps(top);
    __m512 t = _mm512_set1_ps(temperature);
    __m512 y = _mm512_set1_ps(1.0f / temperature);
    __m512 least = _mm512_set1_ps(-64 * temperature); // far below the first unit, and finite
    __m512i sum = _mm512_setzero_si512();
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 mask = lanes_below(n - i);
        __m512 a = _mm512_sub_ps(_mm512_maskz_loadu_ps(mask, x + i), tops);
        __m512 q = exact ? _mm512_div_ps(a, t) : divide(_mm512_max_ps(a, least), t, y);
        sum = _mm512_add_epi64(sum, weigh_lanes(out + i, q, mask));
    }
    uint64_t lanes[8];
    uint64_t total = 0;
    _mm512_storeu_si512(lanes, sum);
    for (size_t i = 0; i < 8; i++)
        total += lanes[i];
    return total;
}

void avx512_fill_sample(struct ops *ops)
{
    ops->peaks = peaks;
    ops->weigh = weigh;
}

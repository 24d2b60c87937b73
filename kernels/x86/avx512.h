/* kernels/x86/avx512.h -- what the files of the AVX-512 column share: lanes, sums, exp and widening. For
 * kernels/x86/avx512*.c alone, which are compiled for F, BW, VL, DQ and VNNI.
 *
 * Same bits as kernels/scalar.c: a lane is an output, a position, a dimension, or an index mod 16, never a piece
 * of a chain; exp takes mathf_exp's steps; no approximation instruction is used. Micro-kernels are inline
 * functions whose counts are constants at the call, so that accumulators live in registers. */
#ifndef KERNELS_X86_AVX512_H
#define KERNELS_X86_AVX512_H

#include "kernels/quant.h"

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

struct ops;

enum {
    LANES = 16,
    BLOCK = QUANT_BLOCK
};

#define INLINE static inline __attribute__((always_inline))
// Unrolled loops keep their accumulators in registers; a sanitizer would take minutes to compile them.
#ifdef QIAO_SANITIZED
#define UNROLL
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* The lanes below n, at most 16. */
INLINE __mmask16 lanes_below(size_t n)
{
    return _cvtu32_mask16(n >= LANES ? 0xFFFFu : (1u << n) - 1);
}

INLINE float lanes_sum(__m512 v)
{
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

/* max(a, b) of the machine is a > b ? a : b, which is the contract's step. */
INLINE float lanes_max(__m512 v)
{
    __m256 eight = _mm256_max_ps(_mm512_extractf32x8_ps(v, 1), _mm512_castps512_ps256(v));
    __m128 four = _mm_max_ps(_mm256_extractf128_ps(eight, 1), _mm256_castps256_ps128(eight));
    __m128 two = _mm_max_ps(_mm_movehl_ps(four, four), four);
    return _mm_cvtss_f32(_mm_max_ss(_mm_shuffle_ps(two, two, 1), two));
}

INLINE int32_t lanes_sum_int(__m512i v)
{
    __m256i eight = _mm256_add_epi32(_mm512_castsi512_si256(v), _mm512_extracti32x8_epi32(v, 1));
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    __m128i two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 1)));
}

INLINE int32_t lanes_max_int(__m512i v)
{
    __m256i eight = _mm256_max_epi32(_mm512_castsi512_si256(v), _mm512_extracti32x8_epi32(v, 1));
    __m128i four = _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    __m128i two = _mm_max_epi32(four, _mm_unpackhi_epi64(four, four));
    return _mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32(two, 1)));
}

/* mathf_exp() in 16 lanes, step for step; the machine scales by 2^n with one rounding, as the two products do. */
INLINE __m512 exp_lanes(__m512 x)
{
    const __m512 magic = _mm512_set1_ps(0x1.8p23f);
    x = _mm512_min_ps(_mm512_set1_ps(89.0f), x);
    x = _mm512_max_ps(_mm512_set1_ps(-104.0f), x);
    __m512 shifted = _mm512_fmadd_ps(x, _mm512_set1_ps(0x1.715476p+0f), magic);
    __m512 n = _mm512_sub_ps(shifted, magic);
    __m512 r = _mm512_fmadd_ps(n, _mm512_set1_ps(-0x1.62e43p-1f), x);
    r = _mm512_fmadd_ps(n, _mm512_set1_ps(0x1.05c61p-29f), r);
    __m512 p = _mm512_set1_ps(0x1.6d117cp-10f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0x1.120be2p-7f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0x1.555518p-5f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0x1.5554dcp-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
    p = _mm512_add_ps(_mm512_fmadd_ps(_mm512_mul_ps(r, r), p, r), _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, n);
}

/* mathf_erf() in 16 lanes, step for step. */
INLINE __m512 erf_lanes(__m512 x)
{
    const __m512 sign = _mm512_set1_ps(-0.0f);
    __m512 t = _mm512_min_ps(_mm512_set1_ps(4.0f), _mm512_andnot_ps(sign, x));
    __m512 p = _mm512_set1_ps(0x1.0de7e4p-17f);
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(-0x1.bcb53cp-14f));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(0x1.344166p-11f));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(-0x1.9d5692p-10f));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(0x1.ed1806p-15f));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(0x1.3ada8ap-6f));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(-0x1.a510c8p-4f));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(-0x1.45f28cp-1f));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(-0x1.20dd78p+0f));
    __m512 r = _mm512_sub_ps(_mm512_set1_ps(1.0f), exp_lanes(_mm512_mul_ps(p, t)));
    return _mm512_or_ps(_mm512_andnot_ps(sign, r), _mm512_and_ps(sign, x));
}

INLINE __m512 widen(__m256i halves)
{
    return _mm512_cvtph_ps(halves);
}

INLINE __m256i load_halves(const uint16_t *from)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)from);
}

/* ops->max and ops->exp_sum, which attention uses too. */
float avx512_max(const float *x, size_t n);
float avx512_exp_sum(float *out, const float *x, float top, size_t n);

/* The product of any quantised kind. */
struct gemm;
void avx512_gemm(const struct gemm *gemm);

/* The slots of one file each. */
void avx512_fill_gemm(struct ops *ops);
void avx512_fill_float(struct ops *ops);
void avx512_fill_bf16(struct ops *ops);
void avx512_fill_rows(struct ops *ops);
void avx512_fill_sample(struct ops *ops);
void avx512_fill_attention(struct ops *ops);
void avx512_fill_kv(struct ops *ops);
void avx512_fill_scan(struct ops *ops);

#endif

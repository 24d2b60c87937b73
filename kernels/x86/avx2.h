/* kernels/x86/avx2.h -- what the files of the AVX2 column share: half-vectors, sums, exp and widening. For
 * kernels/x86/avx2*.c alone, which are compiled for AVX2, FMA and F16C.
 *
 * Same bits as kernels/scalar.c: a lane is an output, a position, a dimension, or an index mod 16, never a piece
 * of a chain; exp takes mathf_exp's steps; no approximation instruction is used. A vector has 8 lanes, so the
 * contract's 16 are two of them, the lower half first. Micro-kernels are inline functions whose counts are
 * constants at the call, so that accumulators live in the 16 registers. */
#ifndef KERNELS_X86_AVX2_H
#define KERNELS_X86_AVX2_H

#include "kernels/ops.h"
#include "kernels/quant.h"

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LANES = 16, // of a sum, a maximum, a tile of outputs
    HALF = 8,   // of a vector
    BLOCK = QUANT_BLOCK
};

#define INLINE static inline __attribute__((always_inline))
// Unrolled loops keep their accumulators in registers; a sanitizer would take minutes to compile them.
#ifdef QIAO_SANITIZED
#define UNROLL
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
/* Where unrolling would let gcc mix the rounds and run out of registers. */
#define UNROLL_NOT   _Pragma("GCC unroll 1")
#define UNROLL_TWICE _Pragma("GCC unroll 2")

/* All ones in the lanes below n, n at most 8. */
INLINE __m256i lanes_below(size_t n)
{
    const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), index);
}

/* 8 floats, or as many as there are: the others are 0 and are not read. Whole vectors go by the plain
 * instructions, for a masked store is dear on some machines. */
INLINE __m256 load_floats(const float *from, size_t n)
{
    if (n >= HALF) return _mm256_loadu_ps(from);
    return _mm256_maskload_ps(from, lanes_below(n));
}

INLINE void store_floats(float *to, __m256 v, size_t n)
{
    if (n >= HALF)
        _mm256_storeu_ps(to, v);
    else
        _mm256_maskstore_ps(to, lanes_below(n), v);
}

/* The tree over 16 lanes. */
INLINE float lanes_sum(__m256 low, __m256 high)
{
    __m256 eight = _mm256_add_ps(low, high);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

/* max(a, b) of the machine is a > b ? a : b, which is the contract's step. */
INLINE float lanes_max(__m256 low, __m256 high)
{
    __m256 eight = _mm256_max_ps(high, low);
    __m128 four = _mm_max_ps(_mm256_extractf128_ps(eight, 1), _mm256_castps256_ps128(eight));
    __m128 two = _mm_max_ps(_mm_movehl_ps(four, four), four);
    return _mm_cvtss_f32(_mm_max_ss(_mm_shuffle_ps(two, two, 1), two));
}

INLINE int32_t lanes_sum_int(__m256i v)
{
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    __m128i two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 1)));
}

INLINE int32_t lanes_max_int(__m256i v)
{
    __m128i four = _mm_max_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    __m128i two = _mm_max_epi32(four, _mm_unpackhi_epi64(four, four));
    return _mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32(two, 1)));
}

/* mathf_exp() in 8 lanes, step for step. */
INLINE __m256 exp_lanes(__m256 x)
{
    const __m256 magic = _mm256_set1_ps(0x1.8p23f);
    x = _mm256_min_ps(_mm256_set1_ps(89.0f), x);
    x = _mm256_max_ps(_mm256_set1_ps(-104.0f), x);
    __m256 shifted = _mm256_fmadd_ps(x, _mm256_set1_ps(0x1.715476p+0f), magic);
    __m256 n = _mm256_sub_ps(shifted, magic);
    __m256 r = _mm256_fmadd_ps(n, _mm256_set1_ps(-0x1.62e43p-1f), x);
    r = _mm256_fmadd_ps(n, _mm256_set1_ps(0x1.05c61p-29f), r);
    __m256 p = _mm256_set1_ps(0x1.6d117cp-10f);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.120be2p-7f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.555518p-5f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.5554dcp-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.5f));
    p = _mm256_add_ps(_mm256_fmadd_ps(_mm256_mul_ps(r, r), p, r), _mm256_set1_ps(1.0f));
    const __m256i bias = _mm256_set1_epi32(127);
    __m256i whole = _mm256_sub_epi32(_mm256_castps_si256(shifted), _mm256_castps_si256(magic));
    __m256i half = _mm256_srai_epi32(whole, 1);
    __m256i low = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    __m256i high = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(whole, half), bias), 23);
    return _mm256_mul_ps(_mm256_mul_ps(p, _mm256_castsi256_ps(low)), _mm256_castsi256_ps(high));
}

/* mathf_erf() in 8 lanes, step for step. */
INLINE __m256 erf_lanes(__m256 x)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    __m256 t = _mm256_min_ps(_mm256_set1_ps(4.0f), _mm256_andnot_ps(sign, x));
    __m256 p = _mm256_set1_ps(0x1.0de7e4p-17f);
    p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(-0x1.bcb53cp-14f));
    p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(0x1.344166p-11f));
    p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(-0x1.9d5692p-10f));
    p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(0x1.ed1806p-15f));
    p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(0x1.3ada8ap-6f));
    p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(-0x1.a510c8p-4f));
    p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(-0x1.45f28cp-1f));
    p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(-0x1.20dd78p+0f));
    __m256 r = _mm256_sub_ps(_mm256_set1_ps(1.0f), exp_lanes(_mm256_mul_ps(p, t)));
    return _mm256_or_ps(_mm256_andnot_ps(sign, r), _mm256_and_ps(sign, x));
}

/* 8 halves, widened exactly. */
INLINE __m256 load_halves(const uint16_t *from)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)from));
}

/* Up to 8 outputs of one row from `output` on: what lies beyond the last one is not written. */
INLINE void store_half(const struct gemm *gemm, size_t row, size_t output, __m256 v)
{
    size_t outputs = gemm->weights->rows;
    if (output < outputs) store_floats(gemm->out + row * outputs + output, v, outputs - output);
}

INLINE void store_outputs(const struct gemm *gemm, size_t row, size_t output, __m256 low,
                          __m256 high)
{
    store_half(gemm, row, output, low);
    store_half(gemm, row, output + HALF, high);
}

/* ops->max and ops->exp_sum, which attention uses too. */
float avx2_max(const float *x, size_t n);
float avx2_exp_sum(float *out, const float *x, float top, size_t n);

/* The slots of one file each. */
void avx2_fill_gemm(struct ops *ops);
void avx2_fill_bf16(struct ops *ops);
void avx2_fill_float(struct ops *ops);
void avx2_fill_rows(struct ops *ops);
void avx2_fill_attention(struct ops *ops);
void avx2_fill_kv(struct ops *ops);
void avx2_fill_scan(struct ops *ops);

#endif

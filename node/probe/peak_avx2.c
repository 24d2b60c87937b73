#include "node/probe/peak_loops.h"

#include <immintrin.h>

static _Thread_local volatile float float_sink;
static _Thread_local volatile int int_sink;

void peak_avx2_f32(uint64_t rounds)
{
    __m256 sums[PEAK_CHAINS];
    __m256 a = _mm256_set1_ps(0.5F);
    __m256 b = _mm256_set1_ps(0.25F);
    for (int i = 0; i < PEAK_CHAINS; i++)
        sums[i] = _mm256_set1_ps((float)i);
    for (uint64_t round = 0; round < rounds; round++) {
#pragma GCC unroll 16
        for (int i = 0; i < PEAK_CHAINS; i++)
            sums[i] = _mm256_fmadd_ps(sums[i], a, b);
    }
    for (int i = 1; i < PEAK_CHAINS; i++)
        sums[0] = _mm256_add_ps(sums[0], sums[i]);
    float_sink = _mm256_cvtss_f32(sums[0]);
}

void peak_avx2_int8(uint64_t rounds)
{
    __m256i sums[PEAK_CHAINS];
    __m256i a = _mm256_set1_epi8(3);
    __m256i b = _mm256_set1_epi8(-5);
    __m256i ones = _mm256_set1_epi16(1);
    for (int i = 0; i < PEAK_CHAINS; i++)
        sums[i] = _mm256_set1_epi32(i);
    for (uint64_t round = 0; round < rounds; round++) {
#pragma GCC unroll 16
        for (int i = 0; i < PEAK_CHAINS; i++) {
            __asm__("" : "+x"(a)); // a new operand each time: the products are not hoisted
            __m256i pairs = _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones);
            sums[i] = _mm256_add_epi32(sums[i], pairs);
        }
    }
    for (int i = 1; i < PEAK_CHAINS; i++)
        sums[0] = _mm256_add_epi32(sums[0], sums[i]);
    int_sink = _mm256_extract_epi32(sums[0], 0);
}

void peak_avx2_read(const void *bytes, size_t size)
{
    const __m256i *at = bytes;
    const __m256i *end = at + size / sizeof *at;
    __m256i sums[8];
    for (int i = 0; i < 8; i++)
        sums[i] = _mm256_setzero_si256();
    for (; at < end; at += 8) {
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++)
            sums[i] = _mm256_xor_si256(sums[i], _mm256_load_si256(at + i));
    }
    for (int i = 1; i < 8; i++)
        sums[0] = _mm256_xor_si256(sums[0], sums[i]);
    int_sink = _mm256_extract_epi32(sums[0], 0);
}

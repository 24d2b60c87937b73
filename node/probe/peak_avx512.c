#include "node/probe/peak_loops.h"

#include <immintrin.h>

static _Thread_local volatile float float_sink;
static _Thread_local volatile int int_sink;

enum {
    READ_AHEAD = 2048 // bytes
};

void peak_avx512_f32(uint64_t rounds)
{
    __m512 sums[PEAK_CHAINS];
    __m512 a = _mm512_set1_ps(0.5F);
    __m512 b = _mm512_set1_ps(0.25F);
    for (int i = 0; i < PEAK_CHAINS; i++)
        sums[i] = _mm512_set1_ps((float)i);
    for (uint64_t round = 0; round < rounds; round++) {
#pragma GCC unroll 16
        for (int i = 0; i < PEAK_CHAINS; i++)
            sums[i] = _mm512_fmadd_ps(sums[i], a, b);
    }
    for (int i = 1; i < PEAK_CHAINS; i++)
        sums[0] = _mm512_add_ps(sums[0], sums[i]);
    float_sink = _mm512_cvtss_f32(sums[0]);
}

void peak_avx512_int8(uint64_t rounds)
{
    __m512i sums[PEAK_CHAINS];
    __m512i a = _mm512_set1_epi8(3);
    __m512i b = _mm512_set1_epi8(-5);
    for (int i = 0; i < PEAK_CHAINS; i++)
        sums[i] = _mm512_set1_epi32(i);
    for (uint64_t round = 0; round < rounds; round++) {
#pragma GCC unroll 16
        for (int i = 0; i < PEAK_CHAINS; i++)
            sums[i] = _mm512_dpbusd_epi32(sums[i], a, b);
    }
    for (int i = 1; i < PEAK_CHAINS; i++)
        sums[0] = _mm512_add_epi32(sums[0], sums[i]);
    int_sink = _mm_cvtsi128_si32(_mm512_castsi512_si128(sums[0]));
}

void peak_avx512_bf16(uint64_t rounds)
{
    __m512 sums[PEAK_CHAINS];
    __m512bh a = _mm512_cvtne2ps_pbh(_mm512_set1_ps(0.5F), _mm512_set1_ps(0.25F));
    for (int i = 0; i < PEAK_CHAINS; i++)
        sums[i] = _mm512_set1_ps((float)i);
    for (uint64_t round = 0; round < rounds; round++) {
#pragma GCC unroll 16
        for (int i = 0; i < PEAK_CHAINS; i++)
            sums[i] = _mm512_dpbf16_ps(sums[i], a, a);
    }
    for (int i = 1; i < PEAK_CHAINS; i++)
        sums[0] = _mm512_add_ps(sums[0], sums[i]);
    float_sink = _mm512_cvtss_f32(sums[0]);
}

void peak_avx512_read(const void *bytes, size_t size)
{
    const char *at = bytes;
    const char *end = at + size;
    __m512i sums[8];
    for (int i = 0; i < 8; i++)
        sums[i] = _mm512_setzero_si512();
    for (; at < end; at += sizeof sums) {
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            _mm_prefetch(at + READ_AHEAD + 64 * i,
                         _MM_HINT_T0); // beyond the end: no more than a hint
            sums[i] = _mm512_xor_si512(sums[i], _mm512_load_si512(at + 64 * i));
        }
    }
    for (int i = 1; i < 8; i++)
        sums[0] = _mm512_xor_si512(sums[0], sums[i]);
    int_sink = _mm_cvtsi128_si32(_mm512_castsi512_si128(sums[0]));
}

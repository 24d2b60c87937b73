/* kernels/x86/avx2_kv.c -- the AVX2 column: writing keys and values to a block. */
#include "kernels/attention.h"
#include "kernels/bits.h"
#include "kernels/ops.h"
#include "kernels/x86/avx2.h"

#include <math.h>

static void kv_write_f16(void *area, size_t slot, const float *k, const float *v, size_t head_dim)
{
    uint16_t *keys = area;
    uint16_t *values = keys + (ATTENTION_BLOCK + slot) * head_dim;
    for (size_t d = 0; d < head_dim; d += HALF) {
        uint16_t column[HALF];
        __m128i halves = _mm256_cvtps_ph(_mm256_loadu_ps(k + d), _MM_FROUND_TO_NEAREST_INT);
        _mm_storeu_si128((__m128i *)(void *)column, halves);
        for (size_t i = 0; i < HALF; i++)
            keys[(d + i) * ATTENTION_BLOCK + slot] = column[i];
        halves = _mm256_cvtps_ph(_mm256_loadu_ps(v + d), _MM_FROUND_TO_NEAREST_INT);
        _mm_storeu_si128((__m128i *)(void *)(values + d), halves);
    }
}

/* The scale of n values; a value that is not finite makes it NaN. */
INLINE float scale_of(const float *x, size_t n)
{
    const __m256i magnitude = _mm256_set1_epi32(0x7FFFFFFF);
    __m256i top = _mm256_setzero_si256();
    for (size_t i = 0; i < n; i += HALF) {
        __m256i bits = _mm256_castps_si256(_mm256_loadu_ps(x + i));
        top = _mm256_max_epi32(top, _mm256_and_si256(bits, magnitude));
    }
    int32_t amax = lanes_max_int(top);
    return amax >= 0x7F800000 ? NAN : float_of((uint32_t)amax) / 127.0f;
}

/* 8 values by their scale, zeros where there is none. */
INLINE void quantise_eight(int8_t *out, const float *x, float scale)
{
    __m256i q = _mm256_setzero_si256();
    if (scale > 0) q = _mm256_cvtps_epi32(_mm256_div_ps(_mm256_loadu_ps(x), _mm256_set1_ps(scale)));
    q = _mm256_max_epi32(_mm256_min_epi32(q, _mm256_set1_epi32(127)), _mm256_set1_epi32(-127));
    __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1));
    _mm_storel_epi64((__m128i *)(void *)out, _mm_packs_epi16(words, words));
}

static void kv_write_int8(void *area, size_t slot, const float *k, const float *v, size_t head_dim)
{
    int8_t *keys = area;
    int8_t *values = keys + (ATTENTION_BLOCK + slot) * head_dim;
    float *scales = (float *)(void *)((unsigned char *)area + attention_scales_at(head_dim));
    float key_scale = scale_of(k, head_dim);
    float value_scale = scale_of(v, head_dim);
    scales[slot] = key_scale;
    scales[ATTENTION_BLOCK + slot] = value_scale;
    for (size_t d = 0; d < head_dim; d += HALF) {
        int8_t column[HALF];
        quantise_eight(column, k + d, key_scale);
        for (size_t i = 0; i < HALF; i++)
            keys[(d + i) * ATTENTION_BLOCK + slot] = column[i];
        quantise_eight(values + d, v + d, value_scale);
    }
}

void avx2_fill_kv(struct ops *ops)
{
    ops->kv_write[KV_F16] = kv_write_f16;
    ops->kv_write[KV_INT8] = kv_write_int8;
}

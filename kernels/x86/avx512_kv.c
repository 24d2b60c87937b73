/* kernels/x86/avx512_kv.c -- the AVX-512 column: writing keys and values to a block. */
#include "kernels/attention.h"
#include "kernels/ops.h"
#include "kernels/x86/avx512.h"

#include <math.h>
#include <string.h>

static void kv_write_f16(void *area, size_t slot, const float *k, const float *v, size_t head_dim)
{
    uint16_t *keys = area;
    uint16_t *values = keys + (ATTENTION_BLOCK + slot) * head_dim;
    for (size_t d = 0; d < head_dim; d += LANES) {
        __mmask16 mask = lanes_below(head_dim - d);
        uint16_t column[LANES];
        __m256i halves =
            _mm512_cvtps_ph(_mm512_maskz_loadu_ps(mask, k + d), _MM_FROUND_TO_NEAREST_INT);
        _mm256_storeu_si256((__m256i *)(void *)column, halves);
        for (size_t i = 0; i < LANES && d + i < head_dim; i++)
            keys[(d + i) * ATTENTION_BLOCK + slot] = column[i];
        halves = _mm512_cvtps_ph(_mm512_maskz_loadu_ps(mask, v + d), _MM_FROUND_TO_NEAREST_INT);
        _mm256_mask_storeu_epi16(values + d, mask, halves);
    }
}

/* The scale of n values, and what to divide them by: infinity, which makes all zero, where there is no scale. */
INLINE float scale_of(const float *x, size_t n, __m512 *divisor)
{
    const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF);
    __m512i top = _mm512_setzero_si512();
    for (size_t i = 0; i < n; i += LANES) {
        __m512i bits = _mm512_castps_si512(_mm512_maskz_loadu_ps(lanes_below(n - i), x + i));
        top = _mm512_max_epi32(top, _mm512_and_si512(bits, magnitude));
    }
    int32_t amax = lanes_max_int(top);
    float scale;
    memcpy(&scale, &amax, sizeof scale);
    scale = amax >= 0x7F800000 ? NAN : scale / 127.0f;
    *divisor = _mm512_set1_ps(scale > 0 ? scale : INFINITY);
    return scale;
}

/* Infinity by infinity is NaN, which converts to the least integer: those values are zeroed. */
INLINE __m128i quantised(const float *x, __mmask16 mask, __m512 divisor)
{
    __m512 quotient = _mm512_div_ps(_mm512_maskz_loadu_ps(mask, x), divisor);
    __mmask16 sound = _mm512_cmp_ps_mask(quotient, quotient, _CMP_ORD_Q);
    __m512i q = _mm512_maskz_cvtps_epi32(sound, quotient);
    q = _mm512_min_epi32(q, _mm512_set1_epi32(127));
    q = _mm512_max_epi32(q, _mm512_set1_epi32(-127));
    return _mm512_cvtepi32_epi8(q);
}

static void kv_write_int8(void *area, size_t slot, const float *k, const float *v, size_t head_dim)
{
    int8_t *keys = area;
    int8_t *values = keys + (ATTENTION_BLOCK + slot) * head_dim;
    float *scales = (float *)(void *)((unsigned char *)area + attention_scales_at(head_dim));
    __m512 key_divisor;
    __m512 value_divisor;
    scales[slot] = scale_of(k, head_dim, &key_divisor);
    scales[ATTENTION_BLOCK + slot] = scale_of(v, head_dim, &value_divisor);
    for (size_t d = 0; d < head_dim; d += LANES) {
        __mmask16 mask = lanes_below(head_dim - d);
        int8_t column[LANES];
        _mm_storeu_si128((__m128i *)(void *)column, quantised(k + d, mask, key_divisor));
        for (size_t i = 0; i < LANES && d + i < head_dim; i++)
            keys[(d + i) * ATTENTION_BLOCK + slot] = column[i];
        _mm_mask_storeu_epi8(values + d, mask, quantised(v + d, mask, value_divisor));
    }
}

void avx512_fill_kv(struct ops *ops)
{
    ops->kv_write[KV_F16] = kv_write_f16;
    ops->kv_write[KV_INT8] = kv_write_int8;
}

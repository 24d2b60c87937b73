/* kernels/x86/avx512_rows.c -- the AVX-512 column: quantising, norms, rotation, gates and softmax pieces. */
#include "kernels/ops.h"
#include "kernels/x86/avx512.h"

#include <math.h>
#include <string.h>

static void quantise_block(const float *x, struct acts *acts, size_t entry)
{
    const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF);
    const __m512i top = _mm512_set1_epi32(127);
    int8_t *q = acts->q + entry * BLOCK;
    __m512 x0 = _mm512_loadu_ps(x);
    __m512 x1 = _mm512_loadu_ps(x + LANES);
    int32_t amax =
        lanes_max_int(_mm512_max_epi32(_mm512_and_si512(_mm512_castps_si512(x0), magnitude),
                                       _mm512_and_si512(_mm512_castps_si512(x1), magnitude)));
    float scale;
    memcpy(&scale, &amax, sizeof scale);
    scale = scale / 127.0f;
    int32_t sums[2] = {0, 0};
    if (amax >= 0x7F800000 || !(scale > 0)) {
        scale = amax >= 0x7F800000 ? NAN : 0.0f;
        memset(q, 0, BLOCK);
    } else {
        __m512 divisor = _mm512_set1_ps(scale);
        __m512i q0 = _mm512_cvtps_epi32(_mm512_div_ps(x0, divisor));
        __m512i q1 = _mm512_cvtps_epi32(_mm512_div_ps(x1, divisor));
        q0 = _mm512_max_epi32(_mm512_min_epi32(q0, top), _mm512_set1_epi32(-127));
        q1 = _mm512_max_epi32(_mm512_min_epi32(q1, top), _mm512_set1_epi32(-127));
        _mm_storeu_si128((__m128i *)(void *)q, _mm512_cvtepi32_epi8(q0));
        _mm_storeu_si128((__m128i *)(void *)(q + LANES), _mm512_cvtepi32_epi8(q1));
        sums[0] = lanes_sum_int(q0);
        sums[1] = lanes_sum_int(q1);
    }
    acts->d[entry] = scale;
    acts->half[entry] = sums[0];
    acts->sum[entry] = sums[0] + sums[1];
    acts->dsum[entry] = scale * (float)(sums[0] + sums[1]);
}

static void quantise(struct acts *acts, size_t row_begin, size_t row_end, size_t block_begin,
                     size_t block_end)
{
    for (size_t row = row_begin; row < row_end; row++) {
        size_t first = acts_entry(row, acts->cols / BLOCK);
        size_t stride = acts_panel_rows(acts, row);
        for (size_t b = block_begin; b < block_end; b++)
            quantise_block(acts->x + row * acts->cols + b * BLOCK, acts, first + b * stride);
    }
}

static void rms_norm(float *out, const float *x, const float *weight, size_t n, float epsilon)
{
    __m512 squares = _mm512_setzero_ps();
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 mask = lanes_below(n - i);
        __m512 v = _mm512_maskz_loadu_ps(mask, x + i);
        squares = _mm512_mask3_fmadd_ps(v, v, squares, mask);
    }
    float mean = lanes_sum(squares) / (float)n;
    __m512 r = _mm512_set1_ps(1.0f / sqrtf(mean + epsilon));
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 mask = lanes_below(n - i);
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), r);
        v = _mm512_mul_ps(v, _mm512_maskz_loadu_ps(mask, weight + i));
        _mm512_mask_storeu_ps(out + i, mask, v);
    }
}

static void layer_norm(float *out, const float *x, const float *weight, const float *bias, size_t n,
                       float epsilon)
{
    __m512 sum = _mm512_setzero_ps();
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 mask = lanes_below(n - i);
        sum = _mm512_mask_add_ps(sum, mask, sum, _mm512_maskz_loadu_ps(mask, x + i));
    }
    __m512 mean = _mm512_set1_ps(lanes_sum(sum) / (float)n);
    __m512 squares = _mm512_setzero_ps();
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 mask = lanes_below(n - i);
        __m512 d = _mm512_sub_ps(_mm512_maskz_loadu_ps(mask, x + i), mean);
        squares = _mm512_mask3_fmadd_ps(d, d, squares, mask);
    }
    __m512 r = _mm512_set1_ps(1.0f / sqrtf(lanes_sum(squares) / (float)n + epsilon));
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 mask = lanes_below(n - i);
        __m512 v = _mm512_mul_ps(_mm512_sub_ps(_mm512_maskz_loadu_ps(mask, x + i), mean), r);
        v = _mm512_fmadd_ps(v, _mm512_maskz_loadu_ps(mask, weight + i),
                            _mm512_maskz_loadu_ps(mask, bias + i));
        _mm512_mask_storeu_ps(out + i, mask, v);
    }
}

static float dot(const float *x, const float *y, size_t n)
{
    __m512 sum = _mm512_setzero_ps();
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 mask = lanes_below(n - i);
        __m512 v = _mm512_maskz_loadu_ps(mask, x + i);
        sum = _mm512_mask3_fmadd_ps(v, _mm512_maskz_loadu_ps(mask, y + i), sum, mask);
    }
    return lanes_sum(sum);
}

static void add(float *x, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 mask = lanes_below(n - i);
        __m512 v =
            _mm512_add_ps(_mm512_maskz_loadu_ps(mask, x + i), _mm512_maskz_loadu_ps(mask, y + i));
        _mm512_mask_storeu_ps(x + i, mask, v);
    }
}

/* Eight pairs at a time: a lane's partner sits beside it. a * cos + (-(b * sin)) has the bits of a * cos -
 * b * sin. */
static void rope_interleaved(float *x, size_t heads, size_t head_dim, const float *cosines,
                             const float *sines, size_t pairs)
{
    const __m512i twice = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
    const __m512 even_signs = _mm512_castsi512_ps(_mm512_set1_epi64(0x80000000));
    for (size_t i = 0; i < pairs; i += 8) {
        __mmask16 mask = lanes_below(2 * (pairs - i));
        __mmask16 pair_mask = lanes_below(pairs - i < 8 ? pairs - i : 8);
        __m512 c = _mm512_permutexvar_ps(twice, _mm512_maskz_loadu_ps(pair_mask, cosines + i));
        __m512 s = _mm512_permutexvar_ps(twice, _mm512_maskz_loadu_ps(pair_mask, sines + i));
        for (size_t h = 0; h < heads; h++) {
            float *at = x + h * head_dim + 2 * i;
            __m512 v = _mm512_maskz_loadu_ps(mask, at);
            __m512 cross = _mm512_mul_ps(_mm512_permute_ps(v, 0xB1), s);
            cross = _mm512_xor_ps(cross, even_signs);
            _mm512_mask_storeu_ps(at, mask, _mm512_add_ps(_mm512_mul_ps(v, c), cross));
        }
    }
}

static void rope_halves(float *x, size_t heads, size_t head_dim, const float *cosines,
                        const float *sines, size_t pairs)
{
    for (size_t i = 0; i < pairs; i += LANES) {
        __mmask16 mask = lanes_below(pairs - i);
        __m512 c = _mm512_maskz_loadu_ps(mask, cosines + i);
        __m512 s = _mm512_maskz_loadu_ps(mask, sines + i);
        for (size_t h = 0; h < heads; h++) {
            float *at = x + h * head_dim + i;
            __m512 a = _mm512_maskz_loadu_ps(mask, at);
            __m512 b = _mm512_maskz_loadu_ps(mask, at + pairs);
            __m512 turned_a = _mm512_sub_ps(_mm512_mul_ps(a, c), _mm512_mul_ps(b, s));
            __m512 turned_b = _mm512_add_ps(_mm512_mul_ps(a, s), _mm512_mul_ps(b, c));
            _mm512_mask_storeu_ps(at, mask, turned_a);
            _mm512_mask_storeu_ps(at + pairs, mask, turned_b);
        }
    }
}

static void silu_mul(float *gate, const float *up, size_t n)
{
    const __m512 sign = _mm512_set1_ps(-0.0f);
    const __m512 one = _mm512_set1_ps(1.0f);
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 mask = lanes_below(n - i);
        __m512 g = _mm512_maskz_loadu_ps(mask, gate + i);
        __m512 below = _mm512_add_ps(one, exp_lanes(_mm512_xor_ps(g, sign)));
        __m512 u = _mm512_maskz_loadu_ps(mask, up + i);
        _mm512_mask_storeu_ps(gate + i, mask, _mm512_mul_ps(_mm512_div_ps(g, below), u));
    }
}

static void gelu(float *x, size_t n)
{
    const __m512 half = _mm512_set1_ps(0.5f);
    const __m512 one = _mm512_set1_ps(1.0f);
    const __m512 root = _mm512_set1_ps(0x1.6a09e6p-1f);
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 mask = lanes_below(n - i);
        __m512 v = _mm512_maskz_loadu_ps(mask, x + i);
        __m512 share = _mm512_add_ps(one, erf_lanes(_mm512_mul_ps(v, root)));
        _mm512_mask_storeu_ps(x + i, mask, _mm512_mul_ps(_mm512_mul_ps(v, half), share));
    }
}

float avx512_max(const float *x, size_t n)
{
    const __m512 least = _mm512_set1_ps(-INFINITY);
    __m512 top = least;
    for (size_t i = 0; i < n; i += LANES)
        top = _mm512_max_ps(_mm512_mask_loadu_ps(least, lanes_below(n - i), x + i), top);
    return lanes_max(top);
}

float avx512_exp_sum(float *out, const float *x, float top, size_t n)
{
    __m512 sum = _mm512_setzero_ps();
    __m512 tops = _mm512_set1_ps(top);
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 mask = lanes_below(n - i);
        __m512 v = exp_lanes(_mm512_sub_ps(_mm512_maskz_loadu_ps(mask, x + i), tops));
        _mm512_mask_storeu_ps(out + i, mask, v);
        sum = _mm512_mask_add_ps(sum, mask, sum, v);
    }
    return lanes_sum(sum);
}

static void scale(float *x, float factor, size_t n)
{
    __m512 factors = _mm512_set1_ps(factor);
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 mask = lanes_below(n - i);
        _mm512_mask_storeu_ps(x + i, mask,
                              _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), factors));
    }
}

void avx512_fill_rows(struct ops *ops)
{
    ops->quantise = quantise;
    ops->rms_norm = rms_norm;
    ops->layer_norm = layer_norm;
    ops->dot = dot;
    ops->add = add;
    ops->rope_interleaved = rope_interleaved;
    ops->rope_halves = rope_halves;
    ops->silu_mul = silu_mul;
    ops->gelu = gelu;
    ops->max = avx512_max;
    ops->exp_sum = avx512_exp_sum;
    ops->scale = scale;
}

/* kernels/x86/avx2_rows.c -- the AVX2 column: quantising, norms, rotation, gates and softmax pieces. */
#include "kernels/bits.h"
#include "kernels/ops.h"
#include "kernels/x86/avx2.h"

#include <math.h>

enum {
    VECTORS = BLOCK / HALF // of the values of a block
};

/* Four vectors of whole numbers within +-127 as 32 bytes in their order. */
INLINE __m256i narrow(const __m256i v[VECTORS])
{
    __m256i low = _mm256_packs_epi32(v[0], v[1]);
    __m256i high = _mm256_packs_epi32(v[2], v[3]);
    // Packing works within 128 bits: groups of four bytes come out as 0 2 4 6 1 3 5 7.
    return _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high),
                                       _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

static void quantise_block(const float *x, struct acts *acts, size_t entry)
{
    const __m256i magnitude = _mm256_set1_epi32(0x7FFFFFFF);
    const __m256i top = _mm256_set1_epi32(127);
    const __m256i bottom = _mm256_set1_epi32(-127);
    __m256i *q = (__m256i *)(void *)(acts->q + entry * BLOCK);
    __m256 v[VECTORS];
    __m256i largest = _mm256_setzero_si256();
    UNROLL
    for (size_t i = 0; i < VECTORS; i++) {
        v[i] = _mm256_loadu_ps(x + i * HALF);
        largest = _mm256_max_epi32(largest, _mm256_and_si256(_mm256_castps_si256(v[i]), magnitude));
    }
    int32_t amax = lanes_max_int(largest);
    float d = float_of((uint32_t)amax) / 127.0f;
    int32_t half = 0;
    int32_t sum = 0;
    if (amax >= 0x7F800000 || !(d > 0)) {
        d = amax >= 0x7F800000 ? NAN : 0.0f;
        _mm256_storeu_si256(q, _mm256_setzero_si256());
    } else {
        __m256 divisor = _mm256_set1_ps(d);
        __m256i whole[VECTORS];
        UNROLL
        for (size_t i = 0; i < VECTORS; i++) {
            whole[i] = _mm256_cvtps_epi32(_mm256_div_ps(v[i], divisor));
            whole[i] = _mm256_max_epi32(_mm256_min_epi32(whole[i], top), bottom);
        }
        _mm256_storeu_si256(q, narrow(whole));
        half = lanes_sum_int(_mm256_add_epi32(whole[0], whole[1]));
        sum = half + lanes_sum_int(_mm256_add_epi32(whole[2], whole[3]));
    }
    acts->d[entry] = d;
    acts->half[entry] = half;
    acts->sum[entry] = sum;
    acts->dsum[entry] = d * (float)sum;
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
    __m256 low = _mm256_setzero_ps();
    __m256 high = _mm256_setzero_ps();
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        __m256 a = _mm256_loadu_ps(x + i);
        __m256 b = _mm256_loadu_ps(x + i + HALF);
        low = _mm256_fmadd_ps(a, a, low);
        high = _mm256_fmadd_ps(b, b, high);
    }
    // A lane that is missing adds 0 * 0, which changes no sum of squares.
    if (i < n) {
        __m256 a = load_floats(x + i, n - i);
        low = _mm256_fmadd_ps(a, a, low);
    }
    if (i + HALF < n) {
        __m256 b = load_floats(x + i + HALF, n - i - HALF);
        high = _mm256_fmadd_ps(b, b, high);
    }
    float mean = lanes_sum(low, high) / (float)n;
    __m256 r = _mm256_set1_ps(1.0f / sqrtf(mean + epsilon));
    for (i = 0; i < n; i += HALF) {
        __m256 v = _mm256_mul_ps(load_floats(x + i, n - i), r);
        store_floats(out + i, _mm256_mul_ps(v, load_floats(weight + i, n - i)), n - i);
    }
}

/* d^2 of up to 8 values added to a half of the lanes; the lanes without one stay. */
INLINE __m256 add_squares(__m256 squares, const float *x, __m256 mean, size_t n)
{
    __m256 d = _mm256_sub_ps(load_floats(x, n), mean);
    if (n < HALF) d = _mm256_and_ps(d, _mm256_castsi256_ps(lanes_below(n)));
    return _mm256_fmadd_ps(d, d, squares);
}

/* A lane that is missing adds 0, which changes no sum that began at 0. */
static void layer_norm(float *out, const float *x, const float *weight, const float *bias, size_t n,
                       float epsilon)
{
    __m256 low = _mm256_setzero_ps();
    __m256 high = _mm256_setzero_ps();
    for (size_t i = 0; i < n; i += LANES) {
        low = _mm256_add_ps(low, load_floats(x + i, n - i));
        if (i + HALF < n) high = _mm256_add_ps(high, load_floats(x + i + HALF, n - i - HALF));
    }
    __m256 mean = _mm256_set1_ps(lanes_sum(low, high) / (float)n);
    low = _mm256_setzero_ps();
    high = _mm256_setzero_ps();
    for (size_t i = 0; i < n; i += LANES) {
        low = add_squares(low, x + i, mean, n - i);
        if (i + HALF < n) high = add_squares(high, x + i + HALF, mean, n - i - HALF);
    }
    __m256 r = _mm256_set1_ps(1.0f / sqrtf(lanes_sum(low, high) / (float)n + epsilon));
    for (size_t i = 0; i < n; i += HALF) {
        __m256 v = _mm256_mul_ps(_mm256_sub_ps(load_floats(x + i, n - i), mean), r);
        v = _mm256_fmadd_ps(v, load_floats(weight + i, n - i), load_floats(bias + i, n - i));
        store_floats(out + i, v, n - i);
    }
}

/* The end of a sum of which the values from `i` on do not fill the lanes: they go lane by lane, so that a missing
 * one adds nothing, not even to a negative zero. */
INLINE float finish_sum(__m256 low, __m256 high, const float *x, const float *y, size_t n)
{
    float lane[LANES];
    _mm256_storeu_ps(lane, low);
    _mm256_storeu_ps(lane + HALF, high);
    for (size_t i = 0; i < n; i++)
        lane[i] = fmaf(x[i], y[i], lane[i]);
    return lanes_sum(_mm256_loadu_ps(lane), _mm256_loadu_ps(lane + HALF));
}

static float dot(const float *x, const float *y, size_t n)
{
    __m256 low = _mm256_setzero_ps();
    __m256 high = _mm256_setzero_ps();
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        low = _mm256_fmadd_ps(_mm256_loadu_ps(x + i), _mm256_loadu_ps(y + i), low);
        high = _mm256_fmadd_ps(_mm256_loadu_ps(x + i + HALF), _mm256_loadu_ps(y + i + HALF), high);
    }
    if (i == n) return lanes_sum(low, high);
    return finish_sum(low, high, x + i, y + i, n - i);
}

static void add(float *x, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i += HALF) {
        __m256 v = _mm256_add_ps(load_floats(x + i, n - i), load_floats(y + i, n - i));
        store_floats(x + i, v, n - i);
    }
}

/* Four pairs at a time: a lane's partner sits beside it, and the even lanes subtract. */
static void rope_interleaved(float *x, size_t heads, size_t head_dim, const float *cosines,
                             const float *sines, size_t pairs)
{
    const __m256i twice = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
    for (size_t i = 0; i < pairs; i += HALF / 2) {
        size_t count = pairs - i < HALF / 2 ? pairs - i : HALF / 2;
        __m256 c = _mm256_permutevar8x32_ps(load_floats(cosines + i, count), twice);
        __m256 s = _mm256_permutevar8x32_ps(load_floats(sines + i, count), twice);
        for (size_t h = 0; h < heads; h++) {
            float *at = x + h * head_dim + 2 * i;
            __m256 v = load_floats(at, 2 * count);
            __m256 cross = _mm256_mul_ps(_mm256_permute_ps(v, 0xB1), s);
            store_floats(at, _mm256_addsub_ps(_mm256_mul_ps(v, c), cross), 2 * count);
        }
    }
}

static void rope_halves(float *x, size_t heads, size_t head_dim, const float *cosines,
                        const float *sines, size_t pairs)
{
    for (size_t i = 0; i < pairs; i += HALF) {
        size_t count = pairs - i;
        __m256 c = load_floats(cosines + i, count);
        __m256 s = load_floats(sines + i, count);
        for (size_t h = 0; h < heads; h++) {
            float *at = x + h * head_dim + i;
            __m256 a = load_floats(at, count);
            __m256 b = load_floats(at + pairs, count);
            __m256 turned_a = _mm256_sub_ps(_mm256_mul_ps(a, c), _mm256_mul_ps(b, s));
            __m256 turned_b = _mm256_add_ps(_mm256_mul_ps(a, s), _mm256_mul_ps(b, c));
            store_floats(at, turned_a, count);
            store_floats(at + pairs, turned_b, count);
        }
    }
}

static void silu_mul(float *gate, const float *up, size_t n)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    const __m256 one = _mm256_set1_ps(1.0f);
    for (size_t i = 0; i < n; i += HALF) {
        __m256 g = load_floats(gate + i, n - i);
        __m256 below = _mm256_add_ps(one, exp_lanes(_mm256_xor_ps(g, sign)));
        __m256 gated = _mm256_mul_ps(_mm256_div_ps(g, below), load_floats(up + i, n - i));
        store_floats(gate + i, gated, n - i);
    }
}

static void gelu(float *x, size_t n)
{
    const __m256 half = _mm256_set1_ps(0.5f);
    const __m256 one = _mm256_set1_ps(1.0f);
    const __m256 root = _mm256_set1_ps(0x1.6a09e6p-1f);
    for (size_t i = 0; i < n; i += HALF) {
        __m256 v = load_floats(x + i, n - i);
        __m256 share = _mm256_add_ps(one, erf_lanes(_mm256_mul_ps(v, root)));
        store_floats(x + i, _mm256_mul_ps(_mm256_mul_ps(v, half), share), n - i);
    }
}

/* The lanes from n on become -inf, which no maximum takes. */
INLINE __m256 load_or_least(const float *x, size_t n)
{
    const __m256 least = _mm256_set1_ps(-INFINITY);
    if (n >= HALF) return _mm256_loadu_ps(x);
    return _mm256_blendv_ps(least, load_floats(x, n), _mm256_castsi256_ps(lanes_below(n)));
}

float avx2_max(const float *x, size_t n)
{
    __m256 low = _mm256_set1_ps(-INFINITY);
    __m256 high = low;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        low = _mm256_max_ps(_mm256_loadu_ps(x + i), low);
        high = _mm256_max_ps(_mm256_loadu_ps(x + i + HALF), high);
    }
    if (i < n) low = _mm256_max_ps(load_or_least(x + i, n - i), low);
    if (i + HALF < n) high = _mm256_max_ps(load_or_least(x + i + HALF, n - i - HALF), high);
    return lanes_max(low, high);
}

/* exp(x - top) of up to 8 values, written; the lanes without one are 0. */
INLINE __m256 exp_some(float *out, const float *x, __m256 top, size_t n)
{
    __m256 v = exp_lanes(_mm256_sub_ps(load_floats(x, n), top));
    store_floats(out, v, n);
    return n >= HALF ? v : _mm256_and_ps(v, _mm256_castsi256_ps(lanes_below(n)));
}

float avx2_exp_sum(float *out, const float *x, float top, size_t n)
{
    __m256 tops = _mm256_set1_ps(top);
    __m256 low = _mm256_setzero_ps();
    __m256 high = _mm256_setzero_ps();
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        low = _mm256_add_ps(low, exp_some(out + i, x + i, tops, HALF));
        high = _mm256_add_ps(high, exp_some(out + i + HALF, x + i + HALF, tops, HALF));
    }
    // Adding 0 changes no sum of exponentials: there is no -0 among them.
    if (i < n) low = _mm256_add_ps(low, exp_some(out + i, x + i, tops, n - i));
    i += HALF;
    if (i < n) high = _mm256_add_ps(high, exp_some(out + i, x + i, tops, n - i));
    return lanes_sum(low, high);
}

static void scale(float *x, float factor, size_t n)
{
    __m256 factors = _mm256_set1_ps(factor);
    for (size_t i = 0; i < n; i += HALF)
        store_floats(x + i, _mm256_mul_ps(load_floats(x + i, n - i), factors), n - i);
}

void avx2_fill_rows(struct ops *ops)
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
    ops->max = avx2_max;
    ops->exp_sum = avx2_exp_sum;
    ops->scale = scale;
}

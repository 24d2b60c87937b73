/* kernels/x86/avx512.c -- the AVX-512 column (F, BW, VL, DQ, VNNI; this file alone is compiled for them).
 *
 * Same bits as kernels/scalar.c: a lane is an output, a position, a dimension, or an index mod 16, never a piece
 * of a chain; exp takes mathf_exp's steps; no approximation instruction is used. Micro-kernels are inline
 * functions whose counts are constants at the call, so that accumulators live in registers. */
#include "kernels/attention.h"
#include "kernels/columns.h"
#include "kernels/mathf.h"
#include "kernels/ops.h"
#include "kernels/pack.h"
#include "kernels/quant.h"

#include <immintrin.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

enum {
    LANES = 16,
    BLOCK = QUANT_BLOCK,
    GROUPS = BLOCK / 4 // vectors of weights in a block of a tile
};

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

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

/* mathf_exp() in 16 lanes, step for step. */
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
    const __m512i bias = _mm512_set1_epi32(127);
    __m512i whole = _mm512_sub_epi32(_mm512_castps_si512(shifted), _mm512_castps_si512(magic));
    __m512i half = _mm512_srai_epi32(whole, 1);
    __m512i low = _mm512_slli_epi32(_mm512_add_epi32(half, bias), 23);
    __m512i high = _mm512_slli_epi32(_mm512_add_epi32(_mm512_sub_epi32(whole, half), bias), 23);
    return _mm512_mul_ps(_mm512_mul_ps(p, _mm512_castsi512_ps(low)), _mm512_castsi512_ps(high));
}

INLINE __m512 widen(__m256i halves)
{
    return _mm512_cvtph_ps(halves);
}

INLINE __m256i load_halves(const uint16_t *from)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)from);
}

static void quantise_block(const float *x, int8_t *q, float *d, int32_t *sum)
{
    const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF);
    const __m512i top = _mm512_set1_epi32(127);
    __m512 x0 = _mm512_loadu_ps(x);
    __m512 x1 = _mm512_loadu_ps(x + LANES);
    int32_t amax =
        lanes_max_int(_mm512_max_epi32(_mm512_and_si512(_mm512_castps_si512(x0), magnitude),
                                       _mm512_and_si512(_mm512_castps_si512(x1), magnitude)));
    float scale;
    memcpy(&scale, &amax, sizeof scale);
    scale = scale / 127.0f;
    if (amax >= 0x7F800000 || !(scale > 0)) {
        *d = amax >= 0x7F800000 ? NAN : 0.0f;
        *sum = 0;
        memset(q, 0, BLOCK);
        return;
    }
    __m512 divisor = _mm512_set1_ps(scale);
    __m512i q0 = _mm512_cvtps_epi32(_mm512_div_ps(x0, divisor));
    __m512i q1 = _mm512_cvtps_epi32(_mm512_div_ps(x1, divisor));
    q0 = _mm512_max_epi32(_mm512_min_epi32(q0, top), _mm512_set1_epi32(-127));
    q1 = _mm512_max_epi32(_mm512_min_epi32(q1, top), _mm512_set1_epi32(-127));
    _mm_storeu_si128((__m128i *)(void *)q, _mm512_cvtepi32_epi8(q0));
    _mm_storeu_si128((__m128i *)(void *)(q + LANES), _mm512_cvtepi32_epi8(q1));
    *d = scale;
    *sum = lanes_sum_int(_mm512_add_epi32(q0, q1));
}

static void quantise(struct acts *acts, size_t row_begin, size_t row_end)
{
    size_t blocks = acts->cols / BLOCK;
    for (size_t b = row_begin * blocks; b < row_end * blocks; b++)
        quantise_block(acts->x + b * BLOCK, acts->q + b * BLOCK, &acts->d[b], &acts->sum[b]);
}

INLINE __m512i four_bytes(const int8_t *from)
{
    int32_t four;
    memcpy(&four, from, sizeof four);
    return _mm512_set1_epi32(four);
}

/* One tile x `count` rows. The 8 vectors of a block of weights stay in registers while the rows pass by; the
 * unsigned dot is made signed by starting at -128 * sum. */
INLINE void q8_tile(const struct gemm *gemm, size_t tile, size_t row, size_t count)
{
    const struct packed *weights = gemm->weights;
    size_t cols = weights->cols;
    size_t blocks = cols / BLOCK;
    const uint8_t *w = (const uint8_t *)weights->weights + tile * LANES * cols;
    const uint16_t *scales = weights->scales + tile * LANES * blocks;
    const int8_t *a = gemm->acts->q + row * cols;
    const float *d = gemm->acts->d + row * blocks;
    const int32_t *sums = gemm->acts->sum + row * blocks;

    __m512 acc[16];
    UNROLL
    for (size_t t = 0; t < count; t++)
        acc[t] = _mm512_setzero_ps();
    for (size_t b = 0; b < blocks; b++) {
        __m512i v[GROUPS];
        UNROLL
        for (size_t g = 0; g < GROUPS; g++)
            v[g] = _mm512_load_si512(w + (b * GROUPS + g) * 64);
        __m512 scale = widen(load_halves(scales + b * LANES));
        UNROLL
        for (size_t t = 0; t < count; t++) {
            const int8_t *bytes = a + t * cols + b * BLOCK;
            __m512i dot = _mm512_set1_epi32(-128 * sums[t * blocks + b]);
            UNROLL
            for (size_t g = 0; g < GROUPS; g++)
                dot = _mm512_dpbusd_epi32(dot, v[g], four_bytes(bytes + 4 * g));
            __m512 both = _mm512_mul_ps(scale, _mm512_set1_ps(d[t * blocks + b]));
            acc[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), both, acc[t]);
        }
    }
    __mmask16 mask = lanes_below(weights->rows - tile * LANES);
    UNROLL
    for (size_t t = 0; t < count; t++)
        _mm512_mask_storeu_ps(gemm->out + (row + t) * weights->rows + tile * LANES, mask, acc[t]);
}

static void gemm_q8(const struct gemm *gemm)
{
    for (size_t tile = gemm->tile_begin; tile < gemm->tile_end; tile++) {
        size_t row = gemm->row_begin;
        size_t end = gemm->row_end;
        for (; row + 16 <= end; row += 16)
            q8_tile(gemm, tile, row, 16);
        if (row + 8 <= end) q8_tile(gemm, tile, row, 8), row += 8;
        if (row + 4 <= end) q8_tile(gemm, tile, row, 4), row += 4;
        if (row + 2 <= end) q8_tile(gemm, tile, row, 2), row += 2;
        if (row + 1 <= end) q8_tile(gemm, tile, row, 1);
    }
}

/* 16 weights of one k, from float or f16. */
INLINE __m512 load_weights(const unsigned char *from, bool halves)
{
    if (halves) return widen(_mm256_load_si256((const __m256i *)(const void *)from));
    return _mm512_load_ps(from);
}

/* `tiles` tiles x `count` rows of float weights, tiles * count <= 16. */
INLINE void float_tile(const struct gemm *gemm, bool halves, size_t tile, size_t tiles, size_t row,
                       size_t count)
{
    const struct packed *weights = gemm->weights;
    size_t cols = weights->cols;
    size_t vector = LANES * (halves ? sizeof(uint16_t) : sizeof(float));
    const unsigned char *w = (const unsigned char *)weights->weights + tile * cols * vector;
    const float *x = gemm->acts->x + row * cols;
    __m512 acc[16];
    UNROLL
    for (size_t i = 0; i < tiles * count; i++)
        acc[i] = _mm512_setzero_ps();
    for (size_t k = 0; k < cols; k++) {
        __m512 v[8];
        UNROLL
        for (size_t i = 0; i < tiles; i++)
            v[i] = load_weights(w + (i * cols + k) * vector, halves);
        UNROLL
        for (size_t t = 0; t < count; t++) {
            __m512 value = _mm512_set1_ps(x[t * cols + k]);
            UNROLL
            for (size_t i = 0; i < tiles; i++)
                acc[t * tiles + i] = _mm512_fmadd_ps(value, v[i], acc[t * tiles + i]);
        }
    }
    UNROLL
    for (size_t i = 0; i < tiles; i++) {
        size_t first = (tile + i) * LANES;
        __mmask16 mask = lanes_below(weights->rows - first);
        UNROLL
        for (size_t t = 0; t < count; t++)
            _mm512_mask_storeu_ps(gemm->out + (row + t) * weights->rows + first, mask,
                                  acc[t * tiles + i]);
    }
}

/* All rows over `tiles` tiles: fewer rows at once need more tiles to hide the FMA's latency. */
INLINE void float_rows(const struct gemm *gemm, bool halves, size_t tile, size_t tiles)
{
    size_t row = gemm->row_begin;
    size_t end = gemm->row_end;
    for (; row + 8 <= end; row += 8)
        for (size_t i = 0; i<tiles; i += tiles> 1 ? 2 : 1)
            float_tile(gemm, halves, tile + i, tiles > 1 ? 2 : 1, row, 8);
    for (; row + 4 <= end; row += 4)
        for (size_t i = 0; i<tiles; i += tiles> 1 ? 4 : 1)
            float_tile(gemm, halves, tile + i, tiles > 1 ? 4 : 1, row, 4);
    for (; row < end; row++)
        float_tile(gemm, halves, tile, tiles, row, 1);
}

INLINE void gemm_float(const struct gemm *gemm, bool halves)
{
    size_t tile = gemm->tile_begin;
    for (; tile + 8 <= gemm->tile_end; tile += 8)
        float_rows(gemm, halves, tile, 8);
    for (; tile + 4 <= gemm->tile_end; tile += 4)
        float_rows(gemm, halves, tile, 4);
    for (; tile < gemm->tile_end; tile++)
        float_rows(gemm, halves, tile, 1);
}

static void gemm_f32(const struct gemm *gemm)
{
    gemm_float(gemm, false);
}

static void gemm_f16(const struct gemm *gemm)
{
    gemm_float(gemm, true);
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

static float max(const float *x, size_t n)
{
    const __m512 least = _mm512_set1_ps(-INFINITY);
    __m512 top = least;
    for (size_t i = 0; i < n; i += LANES)
        top = _mm512_max_ps(_mm512_mask_loadu_ps(least, lanes_below(n - i), x + i), top);
    return lanes_max(top);
}

static float exp_sum(float *out, const float *x, float top, size_t n)
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

/* ---- attention: up to 4 query heads of a group at a time ---- */

enum {
    HEADS = 4
};

/* What one pass over the blocks carries for its heads. */
struct pass {
    const struct attention *at;
    const float *q; // [heads][head_dim]
    float *mix;     // [heads][head_dim]
    float top[HEADS];
    float sum[HEADS];
    float keep[HEADS];
    float p[HEADS][ATTENTION_TILE];
};

INLINE const uint16_t *area_of(const struct attention *at, size_t block)
{
    const unsigned char *bytes = at->blocks[block];
    return (const uint16_t *)(const void *)(bytes + at->offset);
}

/* Scores of `blocks` blocks (1 or 2) from `position` on; `count` positions of them are visible. Others are not
 * loaded, and their scores are not used. */
INLINE void score_blocks(struct pass *pass, size_t position, size_t count, size_t blocks,
                         size_t heads)
{
    const struct attention *at = pass->at;
    const size_t vectors = 2 * blocks;
    const uint16_t *k[4];
    __mmask16 mask[4];
    __m512 acc[4 * HEADS];
    UNROLL
    for (size_t j = 0; j < vectors; j++) {
        k[j] = area_of(at, position / ATTENTION_BLOCK + j / 2) + j % 2 * LANES;
        mask[j] = lanes_below(count > j * LANES ? count - j * LANES : 0);
    }
    UNROLL
    for (size_t i = 0; i < vectors * heads; i++)
        acc[i] = _mm512_setzero_ps();
    for (size_t d = 0; d < at->head_dim; d++) {
        __m512 keys[4];
        UNROLL
        for (size_t j = 0; j < vectors; j++)
            keys[j] = widen(_mm256_maskz_loadu_epi16(mask[j], k[j] + d * ATTENTION_BLOCK));
        UNROLL
        for (size_t h = 0; h < heads; h++) {
            __m512 q = _mm512_set1_ps(pass->q[h * at->head_dim + d]);
            UNROLL
            for (size_t j = 0; j < vectors; j++)
                acc[h * vectors + j] = _mm512_fmadd_ps(q, keys[j], acc[h * vectors + j]);
        }
    }
    __m512 factor = _mm512_set1_ps(at->scale);
    UNROLL
    for (size_t h = 0; h < heads; h++) {
        float *p = pass->p[h] + position % ATTENTION_TILE;
        UNROLL
        for (size_t j = 0; j < vectors; j++)
            _mm512_storeu_ps(p + j * LANES, _mm512_mul_ps(acc[h * vectors + j], factor));
    }
}

/* `vectors` x 16 dimensions from `d` on, of which `mask` are there (all, when vectors > 1). */
INLINE void mix_lanes(struct pass *pass, size_t begin, size_t count, size_t d, size_t vectors,
                      size_t heads)
{
    const struct attention *at = pass->at;
    size_t head_dim = at->head_dim;
    __mmask16 mask = lanes_below(vectors > 1 ? LANES : head_dim - d);
    __m512 acc[4 * HEADS];
    UNROLL
    for (size_t h = 0; h < heads; h++) {
        __m512 keep = _mm512_set1_ps(pass->keep[h]);
        UNROLL
        for (size_t j = 0; j < vectors; j++) {
            const float *from = pass->mix + h * head_dim + d + j * LANES;
            acc[h * vectors + j] = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, from), keep);
        }
    }
    for (size_t i = 0; i < count; i++) {
        const uint16_t *v = area_of(at, (begin + i) / ATTENTION_BLOCK);
        v += (ATTENTION_BLOCK + (begin + i) % ATTENTION_BLOCK) * head_dim + d;
        __m512 values[4];
        UNROLL
        for (size_t j = 0; j < vectors; j++)
            values[j] = widen(_mm256_maskz_loadu_epi16(mask, v + j * LANES));
        UNROLL
        for (size_t h = 0; h < heads; h++) {
            __m512 p = _mm512_set1_ps(pass->p[h][i]);
            UNROLL
            for (size_t j = 0; j < vectors; j++)
                acc[h * vectors + j] = _mm512_fmadd_ps(p, values[j], acc[h * vectors + j]);
        }
    }
    UNROLL
    for (size_t h = 0; h < heads; h++) {
        UNROLL
        for (size_t j = 0; j < vectors; j++)
            _mm512_mask_storeu_ps(pass->mix + h * head_dim + d + j * LANES, mask,
                                  acc[h * vectors + j]);
    }
}

INLINE void attend_tile(struct pass *pass, size_t begin, size_t count, size_t heads)
{
    size_t i = 0;
    for (; i + ATTENTION_BLOCK < count; i += 2 * ATTENTION_BLOCK)
        score_blocks(pass, begin + i, count - i, 2, heads);
    if (i < count) score_blocks(pass, begin + i, count - i, 1, heads);
    for (size_t h = 0; h < heads; h++) {
        float tile_top = max(pass->p[h], count);
        float top = tile_top > pass->top[h] ? tile_top : pass->top[h];
        pass->keep[h] = mathf_exp(pass->top[h] - top);
        float sum = exp_sum(pass->p[h], pass->p[h], top, count);
        pass->sum[h] = fmaf(pass->sum[h], pass->keep[h], sum);
        pass->top[h] = top;
    }
    size_t d = 0;
    for (; d + 4 * LANES <= pass->at->head_dim; d += 4 * LANES)
        mix_lanes(pass, begin, count, d, 4, heads);
    for (; d < pass->at->head_dim; d += LANES)
        mix_lanes(pass, begin, count, d, 1, heads);
}

INLINE void attend_heads(const struct attention *at, size_t first, size_t heads)
{
    struct pass pass = {.at = at,
                        .q = at->q + first * at->head_dim,
                        .mix = at->out + first * at->head_dim,
                        .top = {-INFINITY, -INFINITY, -INFINITY, -INFINITY}};
    memset(pass.mix, 0, heads * at->head_dim * sizeof *pass.mix);
    for (size_t begin = 0; begin < at->positions; begin += ATTENTION_TILE) {
        size_t left = at->positions - begin;
        attend_tile(&pass, begin, left < ATTENTION_TILE ? left : ATTENTION_TILE, heads);
    }
    for (size_t h = 0; h < heads; h++)
        for (size_t d = 0; d < at->head_dim; d++)
            pass.mix[h * at->head_dim + d] = pass.mix[h * at->head_dim + d] / pass.sum[h];
}

static void attention(const struct attention *at)
{
    size_t first = 0;
    for (; first + 4 <= at->heads; first += 4)
        attend_heads(at, first, 4);
    switch (at->heads - first) {
    case 3: attend_heads(at, first, 3); break;
    case 2: attend_heads(at, first, 2); break;
    case 1: attend_heads(at, first, 1); break;
    default: break;
    }
}

static void kv_write(void *area, size_t slot, const float *k, const float *v, size_t head_dim)
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

void ops_fill_avx512(struct ops *ops)
{
    *ops = (struct ops){
        .name = "avx512",
        .quantise = quantise,
        .gemm_q8 = gemm_q8,
        .gemm_f32 = gemm_f32,
        .gemm_f16 = gemm_f16,
        .rms_norm = rms_norm,
        .add = add,
        .rope_interleaved = rope_interleaved,
        .rope_halves = rope_halves,
        .silu_mul = silu_mul,
        .max = max,
        .exp_sum = exp_sum,
        .scale = scale,
        .attention = attention,
        .kv_write = kv_write,
    };
}

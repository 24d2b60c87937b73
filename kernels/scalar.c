/* kernels/scalar.c -- the specification of every kernel, written to be read (contracts: kernels/ops.h).
 *
 * fmaf() here is libm's, which is right with and without FMA in the machine; nothing is compiled for more than
 * the base architecture, so this column runs anywhere. */
#include "kernels/attention.h"
#include "kernels/bits.h"
#include "kernels/columns.h"
#include "kernels/mathf.h"
#include "kernels/ops.h"
#include "kernels/quant.h"

#include "base/must.h"

#include <math.h>
#include <stdbool.h>

enum {
    LANES = 16,
    BLOCK = QUANT_BLOCK
};

/* The tree at the end of every sum: lane[i] += lane[i + 8], + 4, + 2, + 1. */
static float lanes_sum(float lane[LANES])
{
    for (size_t step = LANES / 2; step > 0; step /= 2)
        for (size_t i = 0; i < step; i++)
            lane[i] = lane[i] + lane[i + step];
    return lane[0];
}

/* A float's magnitude as a whole number: in the order of the magnitudes, infinity and NaN above all. */
static uint32_t magnitude_bits(float value)
{
    return bits_of(value) & 0x7FFFFFFF;
}

/* To nearest even; |value| < 2^22. */
static int32_t round_even(float value)
{
    uint32_t magic_bits =
        0x4B400000; // 1.5 * 2^23: adding it leaves the whole number in the low bits
    return (int32_t)(bits_of(value + float_of(magic_bits)) - magic_bits);
}

/* n values to q and their scale. A value that is not finite makes the scale NaN. */
static void quantise_values(const float *x, size_t n, int8_t *q, float *scale)
{
    uint32_t amax = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t magnitude = magnitude_bits(x[i]);
        if (magnitude > amax) amax = magnitude;
    }
    bool finite = amax < 0x7F800000;
    *scale = finite ? float_of(amax) / 127.0f : float_of(0x7FC00000);
    for (size_t i = 0; i < n; i++) {
        int32_t rounded = finite && *scale > 0 ? round_even(x[i] / *scale) : 0;
        // The division by a denormal scale may leave the range.
        q[i] = (int8_t)(rounded > 127 ? 127 : rounded < -127 ? -127 : rounded);
    }
}

void scan_round(const float *x, size_t n, int8_t *q, float *scale)
{
    quantise_values(x, n, q, scale);
}

static void quantise_block(const float *x, struct acts *acts, size_t entry)
{
    const int8_t *q = acts->q + entry * BLOCK;
    quantise_values(x, BLOCK, acts->q + entry * BLOCK, &acts->d[entry]);
    int32_t sum = 0;
    for (size_t i = 0; i < BLOCK; i++) {
        if (i == BLOCK / 2) acts->half[entry] = sum;
        sum += q[i];
    }
    acts->sum[entry] = sum;
    acts->dsum[entry] = acts->d[entry] * (float)sum;
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

static void round_bf16(struct acts *acts, size_t row_begin, size_t row_end)
{
    size_t pairs = acts->cols / 2;
    for (size_t row = row_begin; row < row_end; row++) {
        const float *x = acts->x + row * acts->cols;
        uint16_t *out = acts->bf + 2 * acts_entry(row, pairs);
        for (size_t k = 0; k < 2 * pairs; k++) {
            size_t at = k / 2 * 2 * acts_panel_rows(acts, row) + k % 2;
            out[at] = quant_f32_to_bf16(x[k]);
        }
    }
}

static void rms_norm(float *out, const float *x, const float *weight, size_t n, float epsilon)
{
    float lane[LANES] = {0};
    for (size_t i = 0; i < n; i++)
        lane[i % LANES] = fmaf(x[i], x[i], lane[i % LANES]);
    float mean = lanes_sum(lane) / (float)n;
    float r = 1.0f / sqrtf(mean + epsilon);
    for (size_t i = 0; i < n; i++)
        out[i] = (x[i] * r) * weight[i];
}

static void layer_norm(float *out, const float *x, const float *weight, const float *bias, size_t n,
                       float epsilon)
{
    float lane[LANES] = {0};
    for (size_t i = 0; i < n; i++)
        lane[i % LANES] = lane[i % LANES] + x[i];
    float mean = lanes_sum(lane) / (float)n;
    float square[LANES] = {0};
    for (size_t i = 0; i < n; i++)
        square[i % LANES] = fmaf(x[i] - mean, x[i] - mean, square[i % LANES]);
    float r = 1.0f / sqrtf(lanes_sum(square) / (float)n + epsilon);
    for (size_t i = 0; i < n; i++)
        out[i] = fmaf((x[i] - mean) * r, weight[i], bias[i]);
}

static float dot(const float *x, const float *y, size_t n)
{
    float lane[LANES] = {0};
    for (size_t i = 0; i < n; i++)
        lane[i % LANES] = fmaf(x[i], y[i], lane[i % LANES]);
    return lanes_sum(lane);
}

static void add(float *x, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = x[i] + y[i];
}

static void rotate(float *a, float *b, float cosine, float sine)
{
    float turned_a = *a * cosine - *b * sine;
    float turned_b = *a * sine + *b * cosine;
    *a = turned_a;
    *b = turned_b;
}

static void rope_interleaved(float *x, size_t heads, size_t head_dim, const float *cosines,
                             const float *sines, size_t pairs)
{
    for (size_t h = 0; h < heads; h++)
        for (size_t i = 0; i < pairs; i++)
            rotate(&x[h * head_dim + 2 * i], &x[h * head_dim + 2 * i + 1], cosines[i], sines[i]);
}

static void rope_halves(float *x, size_t heads, size_t head_dim, const float *cosines,
                        const float *sines, size_t pairs)
{
    for (size_t h = 0; h < heads; h++)
        for (size_t i = 0; i < pairs; i++)
            rotate(&x[h * head_dim + i], &x[h * head_dim + pairs + i], cosines[i], sines[i]);
}

static void silu_mul(float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++)
        gate[i] = (gate[i] / (1.0f + mathf_exp(-gate[i]))) * up[i];
}

static void gelu(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (x[i] * 0.5f) * (1.0f + mathf_erf(x[i] * 0x1.6a09e6p-1f));
}

static float max(const float *x, size_t n)
{
    float lane[LANES];
    for (size_t i = 0; i < LANES; i++)
        lane[i] = -INFINITY;
    for (size_t i = 0; i < n; i++)
        lane[i % LANES] = x[i] > lane[i % LANES] ? x[i] : lane[i % LANES];
    for (size_t step = LANES / 2; step > 0; step /= 2)
        for (size_t i = 0; i < step; i++)
            lane[i] = lane[i + step] > lane[i] ? lane[i + step] : lane[i];
    return lane[0];
}

static float exp_sum(float *out, const float *x, float top, size_t n)
{
    float lane[LANES] = {0};
    for (size_t i = 0; i < n; i++) {
        out[i] = mathf_exp(x[i] - top);
        lane[i % LANES] = lane[i % LANES] + out[i];
    }
    return lanes_sum(lane);
}

static size_t peaks(float *out, const float *x, size_t n)
{
    size_t strange = 0;
    for (size_t i = 0; i < n; i++) {
        strange += magnitude_bits(x[i]) >= 0x7F800000;
        float value = x[i] + 0.0f; // -0 is 0
        if (i % OPS_PEAK == 0 || value > out[i / OPS_PEAK]) out[i / OPS_PEAK] = value;
    }
    return strange;
}

static uint64_t weigh(uint64_t *out, const float *x, float top, float temperature, size_t n)
{
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++) {
        float share = mathf_exp((x[i] - top) / temperature);
        out[i] = (uint64_t)((double)share * 0x1p40);
        total += out[i];
    }
    return total;
}

static void scale(float *x, float factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = x[i] * factor;
}

static const unsigned char *area_of(const struct attention *at, size_t position)
{
    const unsigned char *block = at->blocks[position / ATTENTION_BLOCK];
    return block + at->offset;
}

/* Value `index` of an area, without its scale. */
static float area_value(const unsigned char *area, enum kv_kind kind, size_t index)
{
    if (kind == KV_INT8) return (float)((const int8_t *)area)[index];
    return quant_f16_to_f32(((const uint16_t *)(const void *)area)[index]);
}

/* Of a position's key ([0]) or value ([1]). */
static float area_scale(const unsigned char *area, size_t slot, size_t which, size_t head_dim)
{
    const float *scales = (const float *)(const void *)(area + attention_scales_at(head_dim));
    return scales[which * ATTENTION_BLOCK + slot];
}

static float score(const struct attention *at, enum kv_kind kind, const float *q, size_t position)
{
    const unsigned char *area = area_of(at, position);
    size_t slot = position % ATTENTION_BLOCK;
    float acc = 0;
    for (size_t d = 0; d < at->head_dim; d++)
        acc = fmaf(q[d], area_value(area, kind, d * ATTENTION_BLOCK + slot), acc);
    if (kind == KV_INT8) return acc * (area_scale(area, slot, 0, at->head_dim) * at->scale);
    return acc * at->scale;
}

static float weight(const struct attention *at, enum kv_kind kind, float p, size_t position)
{
    if (kind != KV_INT8) return p;
    return p * area_scale(area_of(at, position), position % ATTENTION_BLOCK, 1, at->head_dim);
}

static float value_at(const struct attention *at, enum kv_kind kind, size_t position, size_t d)
{
    size_t row = ATTENTION_BLOCK + position % ATTENTION_BLOCK; // the keys are as many as the values
    return area_value(area_of(at, position), kind, row * at->head_dim + d);
}

/* One query: a head of a row that sees `positions` positions. */
static void attend_query(const struct attention *at, enum kv_kind kind, size_t positions,
                         const float *q, float *mix)
{
    float top = -INFINITY;
    float sum = 0;
    for (size_t d = 0; d < at->head_dim; d++)
        mix[d] = 0;
    for (size_t begin = 0; begin < positions; begin += ATTENTION_TILE) {
        size_t left = positions - begin;
        size_t count = left < ATTENTION_TILE ? left : ATTENTION_TILE;
        float p[ATTENTION_TILE];
        for (size_t i = 0; i < count; i++)
            p[i] = score(at, kind, q, begin + i);
        float tile_top = max(p, count);
        float new_top = tile_top > top ? tile_top : top;
        float keep = mathf_exp(top - new_top);
        sum = fmaf(sum, keep, exp_sum(p, p, new_top, count));
        top = new_top;
        for (size_t i = 0; i < count; i++)
            p[i] = weight(at, kind, p[i], begin + i);
        for (size_t d = 0; d < at->head_dim; d++) {
            float acc = mix[d] * keep;
            for (size_t i = 0; i < count; i++)
                acc = fmaf(p[i], value_at(at, kind, begin + i, d), acc);
            mix[d] = acc;
        }
    }
    for (size_t d = 0; d < at->head_dim; d++)
        mix[d] = mix[d] / sum;
}

static void attend(const struct attention *at, enum kv_kind kind)
{
    must(at->heads > 0 && at->positions > 0 && at->head_dim <= ATTENTION_DIM_MAX);
    for (size_t row = 0; row < at->rows; row++) {
        for (size_t head = 0; head < at->heads; head++) {
            size_t query = row * at->row_stride + head * at->head_dim;
            attend_query(at, kind, at->positions + row, at->q + query, at->out + query);
        }
    }
}

static void attention_f16(const struct attention *at)
{
    attend(at, KV_F16);
}

static void attention_int8(const struct attention *at)
{
    attend(at, KV_INT8);
}

static void kv_write_f16(void *area, size_t slot, const float *k, const float *v, size_t head_dim)
{
    uint16_t *keys = area;
    uint16_t *values = keys + head_dim * ATTENTION_BLOCK;
    for (size_t d = 0; d < head_dim; d++) {
        keys[d * ATTENTION_BLOCK + slot] = quant_f32_to_f16(k[d]);
        values[slot * head_dim + d] = quant_f32_to_f16(v[d]);
    }
}

static void kv_write_int8(void *area, size_t slot, const float *k, const float *v, size_t head_dim)
{
    int8_t *keys = area;
    int8_t *values = keys + (ATTENTION_BLOCK + slot) * head_dim;
    float *scales = (float *)(void *)((unsigned char *)area + attention_scales_at(head_dim));
    int8_t column[ATTENTION_DIM_MAX];
    quantise_values(k, head_dim, column, &scales[slot]);
    for (size_t d = 0; d < head_dim; d++)
        keys[d * ATTENTION_BLOCK + slot] = column[d];
    quantise_values(v, head_dim, values, &scales[ATTENTION_BLOCK + slot]);
}

void ops_fill_scalar(struct ops *ops)
{
    *ops = (struct ops){
        .name = "scalar",
        .quantise = quantise,
        .round_bf16 = round_bf16,
        .rms_norm = rms_norm,
        .layer_norm = layer_norm,
        .dot = dot,
        .add = add,
        .rope_interleaved = rope_interleaved,
        .rope_halves = rope_halves,
        .silu_mul = silu_mul,
        .gelu = gelu,
        .max = max,
        .exp_sum = exp_sum,
        .scale = scale,
        .peaks = peaks,
        .weigh = weigh,
        .attention = {[KV_F16] = attention_f16, [KV_INT8] = attention_int8},
        .kv_write = {[KV_F16] = kv_write_f16, [KV_INT8] = kv_write_int8},
    };
    scalar_fill_gemm(ops);
    scalar_fill_scan(ops);
}

/* kernels/scalar_gemm.c -- the specification of every product, written to be read (contracts: kernels/ops.h, layouts:
 * kernels/pack.h). */
#include "kernels/bits.h"
#include "kernels/columns.h"
#include "kernels/ops.h"
#include "kernels/pack.h"
#include "kernels/quant.h"

#include <math.h>
#include <string.h>

enum {
    LANES = PACK_TILE,
    BLOCK = QUANT_BLOCK,
    VECTOR = 4 * LANES,
    SUPER_BLOCKS = QUANT_SUPER / QUANT_BLOCK
};

static float half_at(const uint8_t *halves, size_t lane)
{
    uint16_t half;
    memcpy(&half, halves + 2 * lane, sizeof half);
    return quant_f16_to_f32(half);
}

/* A lane's code of one column of a block. */
static int32_t code_at(enum packed_kind kind, const uint8_t *block, size_t lane, size_t column)
{
    size_t bits = packed_bits(kind);
    size_t group = column / 4;
    const uint8_t *at = block + lane * 4 + column % 4;
    if (bits == 8) return at[group * VECTOR];
    int32_t code = at[group % 4 * VECTOR] >> (group < 4 ? 0 : 4) & 15;
    if (bits == 5) code |= (at[4 * VECTOR] >> group & 1) << 4;
    if (bits == 6) code |= (at[(4 + group / 4) * VECTOR] >> 2 * (group % 4) & 3) << 4;
    return code;
}

/* A lane's exact product with columns [begin, end) of a block's activations. */
static int32_t block_dot(enum packed_kind kind, const uint8_t *block, size_t lane, const int8_t *q,
                         size_t begin, size_t end)
{
    int32_t dot = 0;
    for (size_t k = begin; k < end; k++)
        dot += (code_at(kind, block, lane, k) - packed_zero(kind)) * q[k];
    return dot;
}

/* One lane of one block: where its weights are, and what scales them. */
struct block {
    const uint8_t *weights;
    float scale;
    float min;            // beside `scale` times the code
    int32_t sub_scale[2]; // of the block's halves; 1 but for Q6_K
};

static struct block block_of(const struct packed *packed, size_t output, size_t index)
{
    enum packed_kind kind = packed->kind;
    size_t blocks = packed->cols / BLOCK;
    size_t tile = output / LANES;
    size_t lane = output % LANES;
    const uint8_t *weights = packed->weights;
    const uint8_t *scales = packed->scales;
    const uint8_t *supers = packed->supers;
    weights += (tile * blocks + index) * packed_block_size(kind);
    scales += (tile * blocks + index) * packed_scale_size(kind);
    if (supers)
        supers += (tile * (blocks / SUPER_BLOCKS) + index / SUPER_BLOCKS) * packed_super_size(kind);

    struct block block = {.weights = weights, .sub_scale = {1, 1}};
    if (kind == PACKED_Q6_K) {
        block.scale = half_at(supers, lane);
        block.sub_scale[0] = (int8_t)scales[lane];
        block.sub_scale[1] = (int8_t)scales[LANES + lane];
    } else if (supers) {
        block.scale = half_at(supers, lane) * (float)scales[lane];
        block.min = -(half_at(supers + 2 * LANES, lane) * (float)scales[LANES + lane]);
    } else {
        block.scale = half_at(scales, lane);
        if (packed_has_min(kind)) block.min = half_at(scales + 2 * LANES, lane);
    }
    return block;
}

static float quantised_output(const struct gemm *gemm, size_t row, size_t output)
{
    const struct packed *packed = gemm->weights;
    const struct acts *acts = gemm->acts;
    size_t blocks = packed->cols / BLOCK;
    size_t lane = output % LANES;
    float acc = 0;
    for (size_t b = 0; b < blocks; b++) {
        size_t entry = acts_entry(row, blocks) + b * acts_panel_rows(acts, row);
        const int8_t *q = acts->q + entry * BLOCK;
        struct block w = block_of(packed, output, b);
        int32_t dot =
            w.sub_scale[0] * block_dot(packed->kind, w.weights, lane, q, 0, BLOCK / 2) +
            w.sub_scale[1] * block_dot(packed->kind, w.weights, lane, q, BLOCK / 2, BLOCK);
        acc = fmaf((float)dot, w.scale * acts->d[entry], acc);
        if (packed_has_min(packed->kind)) acc = fmaf(w.min, acts->dsum[entry], acc);
    }
    return acc;
}

static float f32_output(const struct gemm *gemm, size_t row, size_t output)
{
    size_t cols = gemm->weights->cols;
    const float *w = gemm->weights->weights;
    const float *x = gemm->acts->x + row * cols;
    w += output / LANES * cols * LANES + output % LANES;
    float acc = 0;
    for (size_t k = 0; k < cols; k++)
        acc = fmaf(x[k], w[k * LANES], acc);
    return acc;
}

static float f16_output(const struct gemm *gemm, size_t row, size_t output)
{
    size_t cols = gemm->weights->cols;
    const uint16_t *w = gemm->weights->weights;
    const float *x = gemm->acts->x + row * cols;
    w += output / LANES * cols * LANES + output % LANES;
    float acc = 0;
    for (size_t k = 0; k < cols; k++)
        acc = fmaf(x[k], quant_f16_to_f32(w[k * LANES]), acc);
    return acc;
}

/* A bf16 as a float, denormals as zero. */
static float bf16_at(uint16_t value)
{
    return quant_bf16_to_f32((value & 0x7F80) == 0 ? value & 0x8000 : value);
}

/* acc + x * w, to zero of its sign when tiny. Tiny means: below 2^-126 when rounded to 24 bits whatever the exponent.
 * fmaf() rounds such a value to fewer bits, and what that makes 2^-126 itself may have been tiny before. */
static float flushed_fma(float x, float w, float acc)
{
    float result = fmaf(x, w, acc);
    float magnitude = fabsf(result);
    if (magnitude > 0x1p-126f || !(magnitude > 0)) return result;
    double exact = fabs((double)x * (double)w + (double)acc);
    if (magnitude == 0x1p-126f && exact >= 0x1p-126 - 0x1p-151) return result;
    return copysignf(0.0f, result);
}

static float bf16_output(const struct gemm *gemm, size_t row, size_t output)
{
    size_t pairs = gemm->weights->cols / 2;
    const uint16_t *w = gemm->weights->weights;
    const uint16_t *x = gemm->acts->bf + 2 * acts_entry(row, pairs);
    size_t stride = 2 * acts_panel_rows(gemm->acts, row);
    w += (output / LANES * pairs * LANES + output % LANES) * 2;
    float acc = 0;
    for (size_t p = 0; p < pairs; p++) {
        acc = flushed_fma(bf16_at(x[p * stride + 1]), bf16_at(w[p * LANES * 2 + 1]), acc);
        acc = flushed_fma(bf16_at(x[p * stride]), bf16_at(w[p * LANES * 2]), acc);
    }
    return acc;
}

static void each_output(const struct gemm *gemm,
                        float (*output)(const struct gemm *gemm, size_t row, size_t output))
{
    size_t outputs = gemm->weights->rows;
    size_t end = gemm->tile_end * LANES < outputs ? gemm->tile_end * LANES : outputs;
    for (size_t row = gemm->row_begin; row < gemm->row_end; row++)
        for (size_t n = gemm->tile_begin * LANES; n < end; n++)
            gemm->out[row * outputs + n] = output(gemm, row, n);
}

static void gemm_quantised(const struct gemm *gemm)
{
    each_output(gemm, quantised_output);
}

static void gemm_f32(const struct gemm *gemm)
{
    each_output(gemm, f32_output);
}

static void gemm_f16(const struct gemm *gemm)
{
    each_output(gemm, f16_output);
}

static void gemm_bf16(const struct gemm *gemm)
{
    each_output(gemm, bf16_output);
}

void scalar_fill_gemm(struct ops *ops)
{
    for (size_t kind = 0; packed_quantised((enum packed_kind)kind); kind++)
        ops->gemm[kind] = gemm_quantised;
    ops->gemm[PACKED_F32] = gemm_f32;
    ops->gemm[PACKED_F16] = gemm_f16;
    ops->gemm[PACKED_BF16] = gemm_bf16;
}

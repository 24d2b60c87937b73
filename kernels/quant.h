/* kernels/quant.h -- the number formats that weights come in.
 *
 * Types are named by their GGUF number (base/gguf.h: enum gguf_tensor_type). Source of the block formats:
 * the block structs in the ggml repository; all little-endian.
 *
 *      F32    4 bytes a value
 *      F16    2 bytes a value (IEEE binary16)
 *      BF16   2 bytes a value (the upper half of a float); rows of an even number of values
 *
 *      of 32 values; `low` are 16 bytes whose byte i has value i in its low and value i + 16 in its high nibble,
 *      bit i of `high` is the fifth bit of value i:
 *      Q8_0   34 bytes: f16 d, int8 q[32]                         value = d * q
 *      Q4_0   18 bytes: f16 d, low[16]                            value = d * (q - 8)
 *      Q4_1   20 bytes: f16 d, f16 m, low[16]                     value = d * q + m
 *      Q5_0   22 bytes: f16 d, uint32 high, low[16]               value = d * (q - 16)
 *      Q5_1   24 bytes: f16 d, f16 m, uint32 high, low[16]        value = d * q + m
 *
 *      of 256 values in 8 sub-blocks of 32, each with a scale and a min of 6 bits (Q6_K: 16 of 16, scales of 8):
 *      Q4_K  144 bytes: f16 d, f16 dmin, scales[12], q[128]       value = d * scale * q - dmin * min
 *      Q5_K  176 bytes: f16 d, f16 dmin, scales[12], high[32], q[128]
 *      Q6_K  210 bytes: low[128], high[64], int8 scales[16], f16 d;  value = d * scale * (q - 32)
 *
 * Thread: pure functions. */
#ifndef KERNELS_QUANT_H
#define KERNELS_QUANT_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* What can be computed with, for people. */
#define QUANT_TYPES "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K"

enum {
    QUANT_BLOCK = 32,     // values of a block, of weights and of activations
    QUANT_SUPER = 256,    // values of a K type's super-block
    QUANT_Q8_0_SIZE = 34, // bytes of a block
    QUANT_COLS_MAX = 1 << 20
};

/* Exact; a NaN keeps its top payload bits and becomes quiet (as vcvtph2ps). */
float quant_f16_to_f32(uint16_t half);
/* Round to nearest even, denormals kept, overflow to infinity, NaN quiet (as vcvtps2ph). */
uint16_t quant_f32_to_f16(float value);

/* Exact (the bits move up). */
float quant_bf16_to_f32(uint16_t value);
/* Round to nearest even, denormals to a zero of their sign, NaN quiet (as vcvtneps2bf16). */
uint16_t quant_f32_to_bf16(float value);

/* 32 values of a quantised type, as whole numbers and what scales them. */
struct quant_block {
    uint8_t code[QUANT_BLOCK]; // q + quant_zero(type): never negative
    uint16_t d;                // f16; of the super-block for K types
    uint16_t m;                // f16: m (Q4_1, Q5_1) or dmin (Q4_K, Q5_K); else 0
    uint8_t scale[2]; // Q4_K, Q5_K: scale and min, 0..63; Q6_K: both int8 scales as bytes; else 0
};

/* What a code stands above its value: 128 for Q8_0, 8 for Q4_0, 16 for Q5_0, 32 for Q6_K, else 0. */
int32_t quant_zero(uint32_t type);
/* out[32] = its values, each product and sum rounded on its own, (d * scale) first. */
void quant_block_to_f32(uint32_t type, const struct quant_block *block, float *out);
/* Block `index` (of 32) of a row of a quantised type. */
void quant_read_block(uint32_t type, const void *row, size_t index, struct quant_block *out);

/* Can a matrix of this type and row width be computed with? ERR_UNSUPPORTED names the type, ERR_FORMAT the
 * width (0, beyond QUANT_COLS_MAX, or no multiple of the type's block). */
enum err quant_check(uint32_t type, size_t cols);
/* Bytes of a row; the type and width have passed quant_check(). */
size_t quant_row_size(uint32_t type, size_t cols);
/* out[cols] = the values of a row; each product and sum above is rounded on its own, (d * scale) first. `row` needs
 * no alignment. */
void quant_row_to_f32(uint32_t type, const void *row, float *out, size_t cols);
/* The other way, for tools and tests: d = amax / 127 rounded to f16, q = round to even (value / d). */
void quant_row_to_q8_0(const float *row, void *out, size_t cols);

#endif

/* kernels/quant.h -- the number formats that weights come in.
 *
 * Types are named by their GGUF number (base/gguf.h: enum gguf_tensor_type). Source of the block formats:
 * the block structs in the ggml repository; all little-endian.
 *
 *      F32    4 bytes a value
 *      F16    2 bytes a value (IEEE binary16)
 *      Q8_0   34 bytes for 32 values: f16 d, int8 q[32];  value = d * q
 *
 * Thread: pure functions. */
#ifndef KERNELS_QUANT_H
#define KERNELS_QUANT_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum {
    QUANT_BLOCK = 32,     // values of a block, of weights and of activations
    QUANT_Q8_0_SIZE = 34, // bytes of a block
    QUANT_COLS_MAX = 1 << 20
};

/* Exact; a NaN keeps its top payload bits and becomes quiet (as vcvtph2ps). */
float quant_f16_to_f32(uint16_t half);
/* Round to nearest even, denormals kept, overflow to infinity, NaN quiet (as vcvtps2ph). */
uint16_t quant_f32_to_f16(float value);

/* Can a matrix of this type and row width be computed with? ERR_UNSUPPORTED names the type, ERR_FORMAT the
 * width (0, beyond QUANT_COLS_MAX, or no multiple of the type's block). */
enum err quant_check(uint32_t type, size_t cols);
/* Bytes of a row; the type and width have passed quant_check(). */
size_t quant_row_size(uint32_t type, size_t cols);
/* out[cols] = the values of a row. Exact for F32 and F16; Q8_0 rounds d * q once. `row` needs no
 * alignment. */
void quant_row_to_f32(uint32_t type, const void *row, float *out, size_t cols);
/* The other way, for tools and tests: d = amax / 127 rounded to f16, q = round to even (value / d). */
void quant_row_to_q8_0(const float *row, void *out, size_t cols);

#endif

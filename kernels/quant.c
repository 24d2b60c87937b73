#include "kernels/quant.h"

#include "kernels/bits.h"

#include "base/gguf.h"
#include "base/must.h"

#include <string.h>

float quant_f16_to_f32(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = (half >> 10) & 31;
    uint32_t mantissa = half & 0x3FF;
    if (exponent == 31) {
        uint32_t quiet = mantissa ? 0x400000 : 0;
        return float_of(sign | 0x7F800000 | quiet | mantissa << 13);
    }
    if (exponent == 0) // mantissa * 2^-24, exact; the sign is kept for zero too
        return float_of(sign | bits_of((float)mantissa * 0x1p-24f));
    return float_of(sign | (exponent + 112) << 23 | mantissa << 13);
}

uint16_t quant_f32_to_f16(float value)
{
    uint32_t bits = bits_of(value);
    uint32_t sign = (bits >> 16) & 0x8000;
    uint32_t magnitude = bits & 0x7FFFFFFF;
    if (magnitude > 0x7F800000) return (uint16_t)(sign | 0x7E00 | ((magnitude >> 13) & 0x3FF));
    if (magnitude >= 0x47800000) return (uint16_t)(sign | 0x7C00); // 65536 and beyond
    if (magnitude < 0x38800000) { // below 2^-14: whole units of 2^-24, rounded by an addition
        float rounded = float_of(magnitude) + 0.5f;
        return (uint16_t)(sign | (bits_of(rounded) - bits_of(0.5f)));
    }
    // To nearest even; a carry out of the mantissa rightly reaches the exponent, up to infinity.
    uint32_t rounded = magnitude + 0xFFF + ((magnitude >> 13) & 1);
    return (uint16_t)(sign | ((rounded - (112u << 23)) >> 13));
}

enum err quant_check(uint32_t type, size_t cols)
{
    if (type != GGUF_TENSOR_F32 && type != GGUF_TENSOR_F16 && type != GGUF_TENSOR_Q8_0)
        return err_note(ERR_UNSUPPORTED,
                        "weights of type %s are not supported (F32, F16, Q8_0 are)",
                        gguf_tensor_type_name(type));
    if (cols == 0 || cols > QUANT_COLS_MAX)
        return err_note(ERR_FORMAT, "a row of %zu values is not in 1..%d", cols, QUANT_COLS_MAX);
    if (type == GGUF_TENSOR_Q8_0 && cols % QUANT_BLOCK != 0)
        return err_note(ERR_FORMAT, "a Q8_0 row of %zu values is no multiple of %d", cols,
                        QUANT_BLOCK);
    return ERR_OK;
}

size_t quant_row_size(uint32_t type, size_t cols)
{
    if (type == GGUF_TENSOR_F32) return cols * sizeof(float);
    if (type == GGUF_TENSOR_F16) return cols * sizeof(uint16_t);
    must(type == GGUF_TENSOR_Q8_0 && cols % QUANT_BLOCK == 0);
    return cols / QUANT_BLOCK * QUANT_Q8_0_SIZE;
}

static uint16_t half_at(const unsigned char *bytes)
{
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static void q8_0_to_f32(const unsigned char *row, float *out, size_t cols)
{
    for (size_t block = 0; block < cols / QUANT_BLOCK; block++) {
        const unsigned char *source = row + block * QUANT_Q8_0_SIZE;
        float d = quant_f16_to_f32(half_at(source));
        for (size_t i = 0; i < QUANT_BLOCK; i++)
            out[block * QUANT_BLOCK + i] = d * (float)(int8_t)source[2 + i];
    }
}

void quant_row_to_f32(uint32_t type, const void *row, float *out, size_t cols)
{
    const unsigned char *bytes = row;
    if (type == GGUF_TENSOR_F32) {
        memcpy(out, bytes, cols * sizeof *out);
    } else if (type == GGUF_TENSOR_F16) {
        for (size_t i = 0; i < cols; i++)
            out[i] = quant_f16_to_f32(half_at(bytes + 2 * i));
    } else {
        must(type == GGUF_TENSOR_Q8_0);
        q8_0_to_f32(bytes, out, cols);
    }
}

/* To nearest even for |value| < 2^22: 1.5 * 2^23 pushes the fraction out. */
static float round_even(float value)
{
    volatile float pushed = value + 0x1.8p23f;
    return pushed - 0x1.8p23f;
}

void quant_row_to_q8_0(const float *row, void *out, size_t cols)
{
    must(cols % QUANT_BLOCK == 0);
    unsigned char *target = out;
    for (size_t block = 0; block < cols / QUANT_BLOCK; block++, target += QUANT_Q8_0_SIZE) {
        const float *x = row + block * QUANT_BLOCK;
        float amax = 0;
        for (size_t i = 0; i < QUANT_BLOCK; i++) {
            float magnitude = x[i] < 0 ? -x[i] : x[i];
            if (magnitude > amax) amax = magnitude;
        }
        float d = amax / 127;
        uint16_t half = quant_f32_to_f16(d);
        target[0] = (unsigned char)(half & 255);
        target[1] = (unsigned char)(half >> 8);
        for (size_t i = 0; i < QUANT_BLOCK; i++) {
            float scaled = d > 0 ? round_even(x[i] / d) : 0;
            scaled = scaled > 127 ? 127 : scaled < -127 ? -127 : scaled;
            target[2 + i] = (unsigned char)(int8_t)scaled;
        }
    }
}

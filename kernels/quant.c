#include "kernels/quant.h"

#include "kernels/bits.h"

#include "base/gguf.h"
#include "base/must.h"

#include <stdbool.h>
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

float quant_bf16_to_f32(uint16_t value)
{
    return float_of((uint32_t)value << 16);
}

uint16_t quant_f32_to_bf16(float value)
{
    uint32_t bits = bits_of(value);
    uint32_t magnitude = bits & 0x7FFFFFFF;
    if (magnitude > 0x7F800000) return (uint16_t)(bits >> 16 | 0x40);
    if (magnitude < 0x00800000) return (uint16_t)(bits >> 16 & 0x8000);
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

/* The formats: bytes of a block, its values, and what its codes stand above the values. */
struct format {
    uint32_t type;
    uint16_t size;
    uint16_t values;
    uint8_t zero;
    bool quantised;
};

static const struct format formats[] = {
    {GGUF_TENSOR_F32, 4, 1, 0, false},
    {GGUF_TENSOR_F16, 2, 1, 0, false},
    {GGUF_TENSOR_BF16, 4, 2, 0, false},
    {GGUF_TENSOR_Q8_0, 34, QUANT_BLOCK, 128, true},
    {GGUF_TENSOR_Q4_0, 18, QUANT_BLOCK, 8, true},
    {GGUF_TENSOR_Q4_1, 20, QUANT_BLOCK, 0, true},
    {GGUF_TENSOR_Q5_0, 22, QUANT_BLOCK, 16, true},
    {GGUF_TENSOR_Q5_1, 24, QUANT_BLOCK, 0, true},
    {GGUF_TENSOR_Q4_K, 144, QUANT_SUPER, 0, true},
    {GGUF_TENSOR_Q5_K, 176, QUANT_SUPER, 0, true},
    {GGUF_TENSOR_Q6_K, 210, QUANT_SUPER, 32, true},
};

static const struct format *format_of(uint32_t type)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (formats[i].type == type) return &formats[i];
    }
    return NULL;
}

enum err quant_check(uint32_t type, size_t cols)
{
    const struct format *format = format_of(type);
    if (!format)
        return err_note(ERR_UNSUPPORTED, "weights of type %s are not supported (" QUANT_TYPES ")",
                        gguf_tensor_type_name(type));
    if (cols == 0 || cols > QUANT_COLS_MAX)
        return err_note(ERR_FORMAT, "a row of %zu values is not in 1..%d", cols, QUANT_COLS_MAX);
    if (cols % format->values != 0)
        return err_note(ERR_FORMAT, "a %s row of %zu values is no multiple of %d",
                        gguf_tensor_type_name(type), cols, format->values);
    return ERR_OK;
}

size_t quant_row_size(uint32_t type, size_t cols)
{
    const struct format *format = format_of(type);
    must(format && cols % format->values == 0);
    return cols / format->values * format->size;
}

int32_t quant_zero(uint32_t type)
{
    const struct format *format = format_of(type);
    must(format && format->quantised);
    return format->zero;
}

static uint16_t half_at(const unsigned char *bytes)
{
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

/* 16 bytes of nibbles: the low ones are values 0..15, the high ones 16..31. */
static void read_nibbles(const unsigned char *low, uint8_t code[QUANT_BLOCK])
{
    for (size_t i = 0; i < QUANT_BLOCK / 2; i++) {
        code[i] = low[i] & 15;
        code[i + QUANT_BLOCK / 2] = low[i] >> 4;
    }
}

static void add_fifth_bits(const unsigned char high[4], uint8_t code[QUANT_BLOCK])
{
    for (size_t i = 0; i < QUANT_BLOCK; i++)
        code[i] = (uint8_t)(code[i] | (high[i / 8] >> i % 8 & 1) << 4);
}

/* The 6-bit scale and min of sub-block `sub` out of the 12 bytes that hold 8 pairs. */
static void read_scales(const unsigned char *packed, size_t sub, uint8_t out[2])
{
    if (sub < 4) {
        out[0] = packed[sub] & 63;
        out[1] = packed[sub + 4] & 63;
    } else {
        out[0] = (uint8_t)((packed[sub + 4] & 15) | packed[sub - 4] >> 6 << 4);
        out[1] = (uint8_t)(packed[sub + 4] >> 4 | packed[sub] >> 6 << 4);
    }
}

/* Two sub-blocks share 32 bytes of nibbles, the even one the low ones. */
static void read_sub_block(const unsigned char *q, size_t sub, uint8_t code[QUANT_BLOCK])
{
    q += sub / 2 * QUANT_BLOCK;
    for (size_t i = 0; i < QUANT_BLOCK; i++)
        code[i] = sub % 2 == 0 ? q[i] & 15 : q[i] >> 4;
}

static void read_q4_k(const unsigned char *block, size_t sub, struct quant_block *out)
{
    out->d = half_at(block);
    out->m = half_at(block + 2);
    read_scales(block + 4, sub, out->scale);
    read_sub_block(block + 16, sub, out->code);
}

static void read_q5_k(const unsigned char *block, size_t sub, struct quant_block *out)
{
    out->d = half_at(block);
    out->m = half_at(block + 2);
    read_scales(block + 4, sub, out->scale);
    read_sub_block(block + 48, sub, out->code);
    for (size_t i = 0; i < QUANT_BLOCK; i++)
        out->code[i] = (uint8_t)(out->code[i] | (block[16 + i] >> sub & 1) << 4);
}

/* Halves of 128 values: 64 bytes of low nibbles, 32 of two high bits, for four runs of 32. */
static void read_q6_k(const unsigned char *block, size_t sub, struct quant_block *out)
{
    const unsigned char *low = block + sub / 4 * 64 + sub % 2 * QUANT_BLOCK;
    const unsigned char *high = block + 128 + sub / 4 * QUANT_BLOCK;
    size_t run = sub % 4;
    for (size_t i = 0; i < QUANT_BLOCK; i++) {
        uint32_t nibble = run < 2 ? low[i] & 15u : low[i] >> 4;
        out->code[i] = (uint8_t)(nibble | (high[i] >> 2 * run & 3u) << 4);
    }
    out->d = half_at(block + 208);
    out->scale[0] = block[192 + 2 * sub];
    out->scale[1] = block[192 + 2 * sub + 1];
}

void quant_read_block(uint32_t type, const void *row, size_t index, struct quant_block *out)
{
    const struct format *format = format_of(type);
    must(format && format->quantised);
    size_t subs = format->values / QUANT_BLOCK;
    const unsigned char *block = (const unsigned char *)row + index / subs * format->size;
    out->d = half_at(block);
    out->m = 0;
    out->scale[0] = out->scale[1] = 0;
    switch (type) {
    case GGUF_TENSOR_Q8_0:
        for (size_t i = 0; i < QUANT_BLOCK; i++)
            out->code[i] = block[2 + i] ^ 0x80; // + 128
        break;
    case GGUF_TENSOR_Q4_0: read_nibbles(block + 2, out->code); break;
    case GGUF_TENSOR_Q4_1:
        out->m = half_at(block + 2);
        read_nibbles(block + 4, out->code);
        break;
    case GGUF_TENSOR_Q5_0:
        read_nibbles(block + 6, out->code);
        add_fifth_bits(block + 2, out->code);
        break;
    case GGUF_TENSOR_Q5_1:
        out->m = half_at(block + 2);
        read_nibbles(block + 8, out->code);
        add_fifth_bits(block + 4, out->code);
        break;
    case GGUF_TENSOR_Q4_K: read_q4_k(block, index % subs, out); break;
    case GGUF_TENSOR_Q5_K: read_q5_k(block, index % subs, out); break;
    default: read_q6_k(block, index % subs, out); break;
    }
}

void quant_block_to_f32(uint32_t type, const struct quant_block *block, float *out)
{
    float d = quant_f16_to_f32(block->d);
    float m = quant_f16_to_f32(block->m);
    int32_t zero = quant_zero(type);
    bool sub_scaled = type == GGUF_TENSOR_Q4_K || type == GGUF_TENSOR_Q5_K;
    float scale[2] = {d, d}; // of either half
    if (sub_scaled) {
        scale[0] = scale[1] = d * (float)block->scale[0];
        m = -(m * (float)block->scale[1]);
    } else if (type == GGUF_TENSOR_Q6_K) {
        for (size_t i = 0; i < 2; i++)
            scale[i] = d * (float)(int8_t)block->scale[i];
    }
    bool shifted = sub_scaled || type == GGUF_TENSOR_Q4_1 || type == GGUF_TENSOR_Q5_1;
    for (size_t i = 0; i < QUANT_BLOCK; i++) {
        float value = scale[i / (QUANT_BLOCK / 2)] * (float)(block->code[i] - zero);
        out[i] = shifted ? value + m : value;
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
    } else if (type == GGUF_TENSOR_BF16) {
        for (size_t i = 0; i < cols; i++)
            out[i] = quant_bf16_to_f32(half_at(bytes + 2 * i));
    } else {
        for (size_t i = 0; i < cols / QUANT_BLOCK; i++) {
            struct quant_block block;
            quant_read_block(type, bytes, i, &block);
            quant_block_to_f32(type, &block, out + i * QUANT_BLOCK);
        }
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

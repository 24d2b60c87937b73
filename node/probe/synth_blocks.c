#include "node/probe/synth.h"

#include "kernels/bits.h"
#include "kernels/quant.h"

#include "base/gguf.h"
#include "base/must.h"
#include "base/rand.h"

#include <string.h>

/* How a block of a quantised type is drawn: every bit at random, then its scales set so that the values have a mean of
 * about 0 and a deviation of about SYNTH_SPREAD.
 *
 *      value = d * q          q in -128..127 (Q8_0), -8..7 (Q4_0), -16..15 (Q5_0); d of either sign
 *      value = d * q + m      q in 0..15 (Q4_1), 0..31 (Q5_1)
 *      value = d * s * q - dmin * t     s and t in 0..63, q in 0..15 (Q4_K), 0..31 (Q5_K)
 *      value = d * s * q      s in -128..127, q in -32..31 (Q6_K)
 *
 * `unit` is the deviation of value / d when all of the integers are uniform, and `middle` what the minimum term takes,
 * in units of d, to bring the mean to 0. */
struct layout {
    uint32_t type;
    uint32_t values, bytes;
    uint32_t d_at; // offset of the f16 scale
    uint32_t m_at; // of the f16 minimum; 0: none
    bool either_sign;
    float unit, middle;
};

static const struct layout layouts[] = {
    // clang-format off
    {GGUF_TENSOR_F32,    1,   4,   0, 0, false, 0,       0},
    {GGUF_TENSOR_F16,    1,   2,   0, 0, false, 0,       0},
    {GGUF_TENSOR_BF16,   1,   2,   0, 0, false, 0,       0},
    {GGUF_TENSOR_Q8_0,  32,  34,   0, 0, true,  73.9F,   0},
    {GGUF_TENSOR_Q4_0,  32,  18,   0, 0, true,  4.61F,   0},
    {GGUF_TENSOR_Q5_0,  32,  22,   0, 0, true,  9.23F,   0},
    {GGUF_TENSOR_Q4_1,  32,  20,   0, 2, false, 4.61F,   -7.5F},
    {GGUF_TENSOR_Q5_1,  32,  24,   0, 2, false, 9.23F,   -15.5F},
    {GGUF_TENSOR_Q4_K, 256, 144,   0, 2, false, 258.0F,  7.5F},
    {GGUF_TENSOR_Q5_K, 256, 176,   0, 2, false, 527.0F,  15.5F},
    {GGUF_TENSOR_Q6_K, 256, 210, 208, 0, false, 1365.0F, 0},
    // clang-format on
};

static const struct layout *layout_of(uint32_t type)
{
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        if (layouts[i].type == type) return &layouts[i];
    return NULL;
}

bool synth_block(uint32_t type, uint32_t *values, uint32_t *bytes)
{
    const struct layout *layout = layout_of(type);
    if (!layout) return false;
    *values = layout->values;
    *bytes = layout->bytes;
    return true;
}

/* About normal: the sum of four uniform 16-bit numbers. */
static float draw_value(struct rand *rand)
{
    uint64_t bits = rand_next(rand);
    int32_t sum = (int32_t)(bits & 0xFFFF) + (int32_t)(bits >> 16 & 0xFFFF) +
                  (int32_t)(bits >> 32 & 0xFFFF) + (int32_t)(bits >> 48);
    // Four uniform numbers of 0..1 have a variance of 1 / 3.
    return ((float)sum * 0x1p-16F - 2) * (SYNTH_SPREAD * 1.7320508F);
}

static void draw_floats(uint32_t type, struct rand *rand, unsigned char *out, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        float value = draw_value(rand);
        if (type == GGUF_TENSOR_F32) {
            memcpy(out + 4 * i, &value, sizeof value);
            continue;
        }
        uint16_t half = type == GGUF_TENSOR_F16 ? quant_f32_to_f16(value)
                                                : (uint16_t)((bits_of(value) + 0x8000) >> 16);
        memcpy(out + 2 * i, &half, sizeof half);
    }
}

static void put_half(unsigned char *out, float value)
{
    uint16_t half = quant_f32_to_f16(value);
    memcpy(out, &half, sizeof half);
}

/* The scales vary by a factor of 3 between blocks, as trained ones do. */
static void draw_blocks(const struct layout *layout, struct rand *rand, unsigned char *out,
                        size_t count)
{
    uint32_t size = layout->bytes;
    for (size_t block = 0; block < count; block++, out += size) {
        for (uint32_t at = 0; at < size; at += 8) {
            uint64_t bits = rand_next(rand);
            memcpy(out + at, &bits, size - at < 8 ? size - at : 8);
        }
        uint64_t bits = rand_next(rand);
        float d = SYNTH_SPREAD / layout->unit * (0.5F + (float)(bits >> 40) * 0x1p-24F);
        if (layout->either_sign && bits & 1) d = -d;
        put_half(out + layout->d_at, d);
        if (layout->m_at) put_half(out + layout->m_at, d * layout->middle);
    }
}

void synth_draw(uint32_t type, struct rand *rand, void *out, size_t count)
{
    const struct layout *layout = layout_of(type);
    must(layout);
    if (layout->values == 1)
        draw_floats(type, rand, out, count);
    else
        draw_blocks(layout, rand, out, count);
}

#include "tests/test.h"

#include "kernels/quant.h"

#include "base/gguf.h"

#include <math.h>
#include <string.h>

static void every_half_comes_back_from_float(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 65536; half++) {
        float value = quant_f16_to_f32((uint16_t)half);
        uint16_t back = quant_f32_to_f16(value);
        bool nan = (half & 0x7FFF) > 0x7C00;
        assert_int_equal(back, nan ? half | 0x200 : half);
    }
}

static void halves_have_the_values_of_binary16(void **state)
{
    (void)state;
    assert_true(quant_f16_to_f32(0x3C00) == 1.0f);
    assert_true(quant_f16_to_f32(0xC000) == -2.0f);
    assert_true(quant_f16_to_f32(0x7BFF) == 65504.0f);
    assert_true(quant_f16_to_f32(0x0001) == 0x1p-24f);
    assert_true(quant_f16_to_f32(0x03FF) == 0x3FFp-24f);
    assert_true(quant_f16_to_f32(0xFC00) == -INFINITY);
}

static void floats_round_to_the_nearest_half_ties_to_even(void **state)
{
    (void)state;
    assert_int_equal(quant_f32_to_f16(1.0f + 0x1p-11f), 0x3C00);
    assert_int_equal(quant_f32_to_f16(1.0f + 0x1.8p-10f), 0x3C02);
    assert_int_equal(quant_f32_to_f16(0x1.002002p+0f), 0x3C01);
    assert_int_equal(quant_f32_to_f16(65519.996f), 0x7BFF);
    assert_int_equal(quant_f32_to_f16(65520.0f), 0x7C00);
    assert_int_equal(quant_f32_to_f16(1e30f), 0x7C00);
    assert_int_equal(quant_f32_to_f16(0x1p-25f), 0x0000);
    assert_int_equal(quant_f32_to_f16(0x1.000002p-25f), 0x0001);
    assert_int_equal(quant_f32_to_f16(0x1.8p-24f), 0x0002);
    assert_int_equal(quant_f32_to_f16(-0x1p-149f), 0x8000);
}

static void a_quantised_row_stays_within_half_a_step(void **state)
{
    (void)state;
    float row[64];
    float back[64];
    unsigned char bytes[2 * QUANT_Q8_0_SIZE];
    for (int i = 0; i < 64; i++)
        row[i] = (float)(i * 37 % 64 - 31) / 7;
    quant_row_to_q8_0(row, bytes, 64);
    quant_row_to_f32(GGUF_TENSOR_Q8_0, bytes, back, 64);
    for (int i = 0; i < 64; i++)
        assert_true(fabsf(back[i] - row[i]) <= 32.0f / 7 / 127 * 0.6f);
}

static void a_block_is_scale_times_signed_bytes(void **state)
{
    (void)state;
    unsigned char bytes[QUANT_Q8_0_SIZE] = {0x00, 0x38, 0x80, 0x7F, 0xFF, 0x01}; // d = 0.5
    float out[32];
    quant_row_to_f32(GGUF_TENSOR_Q8_0, bytes, out, 32);
    assert_true(out[0] == -64.0f && out[1] == 63.5f && out[2] == -0.5f && out[3] == 0.5f);
    assert_true(out[31] == 0.0f);
}

/* One block of each by hand: the places of nibbles, fifth bits, six-bit scales and upper bits. */
static void blocks_of_fewer_bits_have_their_values(void **state)
{
    (void)state;
    float out[256];
    unsigned char q5_1[24] = {0x00, 0x38, 0x00, 0x3C, 0x01, 0x00, 0x02, 0x00, 0xA3, 0x10};
    quant_row_to_f32(GGUF_TENSOR_Q5_1, q5_1, out, 32); // d 0.5, m 1; fifth bits of 0 and 17
    assert_true(out[0] == 10.5f && out[16] == 6.0f && out[1] == 1.0f && out[17] == 9.5f);
    unsigned char q4_0[18] = {0x00, 0x3C, 0xF0};
    quant_row_to_f32(GGUF_TENSOR_Q4_0, q4_0, out, 32);
    assert_true(out[0] == -8.0f && out[16] == 7.0f && out[1] == -8.0f);

    // Sub-block 0: scale 5, min 3. Sub-block 5: scale 0x12, min 0x21, upper bits from bytes 1 and 5.
    unsigned char q4_k[144] = {0x00, 0x3C, 0x00, 0x38, 5, 0x40, 0, 0, 3, 0x80, 0, 0, 0, 0x12};
    q4_k[16] = 0x09;
    q4_k[16 + 64] = 0x70;
    quant_row_to_f32(GGUF_TENSOR_Q4_K, q4_k, out, 256);
    assert_true(out[0] == 9.0f * 5 - 1.5f && out[1] == -1.5f);
    assert_true(out[160] == 7.0f * 0x12 - 0x21 * 0.5f && out[161] == -0x21 * 0.5f);
    unsigned char q5_k[176] = {0x00, 0x3C, 0x00, 0x00, 0, 2};
    q5_k[16] = 0x02; // the fifth bit of value 0 of sub-block 1
    q5_k[48] = 0x30;
    quant_row_to_f32(GGUF_TENSOR_Q5_K, q5_k, out, 256);
    assert_true(out[32] == 19.0f * 2 && out[33] == 0.0f);

    unsigned char q6_k[210] = {0};
    q6_k[208] = 0x00, q6_k[209] = 0x3C;
    q6_k[64 + 32] = 0x70;  // second half, runs 1 (low) and 3 (high), first value
    q6_k[128 + 32] = 0xC0; // its upper bits in run 3
    q6_k[192 + 14] = 0xFD; // the scale of run 3's first 16: -3
    quant_row_to_f32(GGUF_TENSOR_Q6_K, q6_k, out, 256);
    assert_true(out[224] == (0x37 - 32) * -3.0f && out[225] == 96.0f);
}

static void bf16_is_half_a_float(void **state)
{
    (void)state;
    assert_true(quant_bf16_to_f32(0x3F80) == 1.0f);
    assert_int_equal(quant_f32_to_bf16(1.0f + 0x1p-8f), 0x3F80);
    assert_int_equal(quant_f32_to_bf16(1.0f + 0x1.8p-7f), 0x3F82);
    assert_int_equal(quant_f32_to_bf16(-0x1p-130f), 0x8000);
    assert_int_equal(quant_f32_to_bf16(0x1.FFp127f), 0x7F80);
    assert_int_equal(quant_f32_to_bf16(NAN) & 0x7FC0, 0x7FC0);
}

static void what_cannot_be_computed_is_refused_by_name(void **state)
{
    (void)state;
    assert_int_equal(quant_check(GGUF_TENSOR_Q3_K, 256), ERR_UNSUPPORTED);
    assert_non_null(strstr(err_text(), "Q3_K"));
    assert_int_equal(quant_check(GGUF_TENSOR_Q4_K, 288), ERR_FORMAT);
    assert_int_equal(quant_check(GGUF_TENSOR_BF16, 7), ERR_FORMAT);
    assert_int_equal(quant_check(GGUF_TENSOR_Q8_0, 33), ERR_FORMAT);
    assert_non_null(strstr(err_text(), "33"));
    assert_int_equal(quant_check(GGUF_TENSOR_F32, 0), ERR_FORMAT);
    assert_int_equal(quant_check(GGUF_TENSOR_F32, (size_t)QUANT_COLS_MAX + 1), ERR_FORMAT);
    assert_int_equal(quant_check(GGUF_TENSOR_F16, 7), ERR_OK);
    assert_int_equal(quant_row_size(GGUF_TENSOR_Q8_0, 64), 68);
    assert_int_equal(quant_row_size(GGUF_TENSOR_F16, 7), 14);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_comes_back_from_float),
        cmocka_unit_test(halves_have_the_values_of_binary16),
        cmocka_unit_test(floats_round_to_the_nearest_half_ties_to_even),
        cmocka_unit_test(a_quantised_row_stays_within_half_a_step),
        cmocka_unit_test(a_block_is_scale_times_signed_bytes),
        cmocka_unit_test(blocks_of_fewer_bits_have_their_values),
        cmocka_unit_test(bf16_is_half_a_float),
        cmocka_unit_test(what_cannot_be_computed_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The specification against plain double arithmetic: that it says what it is meant to say. */
#include "tests/test.h"

#include "kernels/attention.h"
#include "kernels/ops.h"
#include "kernels/quant.h"
#include "kernels/select.h"

#include "base/rand.h"

#include <math.h>
#include <string.h>

static struct ops ops;

static int select_scalar(void **state)
{
    (void)state;
    ops_select(&ops, 0);
    return 0;
}

static void fill(float *out, size_t n, uint64_t seed)
{
    struct rand rand;
    rand_init(&rand, seed);
    for (size_t i = 0; i < n; i++)
        out[i] = (float)(rand_unit(rand_next(&rand)) * 4 - 2);
}

static void rms_norm_divides_by_the_root_of_the_mean_square(void **state)
{
    (void)state;

    enum {
        N = 77
    };

    float x[N], weight[N], out[N];
    fill(x, N, 1);
    fill(weight, N, 2);
    ops.rms_norm(out, x, weight, N, 1e-5f);
    double squares = 0;
    for (size_t i = 0; i < N; i++)
        squares += (double)x[i] * (double)x[i];
    double r = 1 / sqrt(squares / N + 1e-5);
    for (size_t i = 0; i < N; i++)
        assert_true(fabs((double)out[i] - (double)x[i] * r * (double)weight[i]) < 1e-6);
}

static void a_scan_gives_exact_dots_times_both_scales(void **state)
{
    (void)state;
    _Alignas(SCAN_ALIGN) int8_t queries[2][SCAN_ALIGN] = {{127, -127, 3}, {1}};
    _Alignas(SCAN_ALIGN) int8_t rows[2][SCAN_ALIGN] = {{127, -128, 5}, {-128, 127}};
    float row_scales[] = {0.25f, 3.0f}, out[4];
    ops.scan(&(struct scan){.queries = {queries[0], queries[1]},
                            .query_scales = {0.5f, 2.0f},
                            .query_count = 2,
                            .rows = rows[0],
                            .row_scales = row_scales,
                            .row_count = 2,
                            .width = SCAN_ALIGN,
                            .out = out});
    assert_true(out[0] == (float)(127 * 127 + 127 * 128 + 15) * 0.125f);
    assert_true(out[1] == (float)(-127 * 128 - 127 * 127) * 1.5f);
    assert_true(out[2] == 127 * 0.5f);
    assert_true(out[3] == -128 * 6.0f);
}

static void a_query_is_rounded_to_nearest_even_by_one_scale(void **state)
{
    (void)state;
    float scale, x[] = {-254.0f, 1.0f, 3.0f, 253.0f, 0.9f};
    int8_t q[5];
    scan_round(x, 5, q, &scale);
    assert_true(scale == 2.0f);
    static const int8_t want[] = {-127, 0, 2, 126, 0};
    assert_memory_equal(q, want, 5);
    float none[] = {0.0f, -0.0f};
    scan_round(none, 2, q, &scale);
    assert_true(scale == 0.0f && q[0] == 0 && q[1] == 0);
}

static void sums_go_by_sixteen_lanes_and_a_tree(void **state)
{
    (void)state;
    // In this order 2^24 swallows what is added to it alone, and keeps what came together before.
    float x[18] = {0};
    float out[18];
    for (size_t i = 0; i < 18; i++)
        x[i] = -INFINITY; // exp gives 0
    x[0] = 16.635532f;    // about 2^24
    x[1] = 0;             // 1
    x[9] = 0;             // joins lane 1 first: 2, which 2^24 can hold
    float sum = ops.exp_sum(out, x, 0, 18);
    assert_true(sum == out[0] + 2.0f);
    assert_true(out[1] == 1.0f && out[2] == 0.0f && out[17] == 0.0f);
}

static void silu_gates(void **state)
{
    (void)state;
    float gate[3] = {-3.0f, 0.5f, 200.0f};
    float up[3] = {2.0f, -1.0f, 0.25f};
    ops.silu_mul(gate, up, 3);
    assert_true(fabs((double)gate[0] - -3.0 / (1 + exp(3.0)) * 2) < 1e-7);
    assert_true(fabs((double)gate[1] - -0.5 / (1 + exp(-0.5))) < 1e-7);
    assert_true(gate[2] == 50.0f);
}

static void the_two_ropes_turn_their_own_pairs(void **state)
{
    (void)state;
    float cosines[2] = {0.0f, 1.0f};
    float sines[2] = {1.0f, 0.0f};
    float x[6] = {1, 2, 3, 4, 5, 6};
    ops.rope_interleaved(x, 1, 6, cosines, sines, 2);
    assert_true(x[0] == -2 && x[1] == 1 && x[2] == 3 && x[3] == 4 && x[4] == 5 && x[5] == 6);
    float y[6] = {1, 2, 3, 4, 5, 6};
    ops.rope_halves(y, 1, 6, cosines, sines, 2);
    assert_true(y[0] == -3 && y[1] == 2 && y[2] == 1 && y[3] == 4 && y[4] == 5 && y[5] == 6);
}

static void quantising_follows_the_contract_at_its_edges(void **state)
{
    (void)state;
    float x[64] = {0};
    int8_t q[64];
    float d[2];
    int32_t sum[2];
    int32_t half[2];
    float dsum[2];
    struct acts acts = {
        .x = x, .q = q, .d = d, .sum = sum, .half = half, .dsum = dsum, .rows = 1, .cols = 64};
    x[0] = -127.0f;
    x[1] = 2.5f;
    x[2] = 3.5f;
    x[3] = -0.5f;
    x[33] = NAN;
    x[34] = 5.0f;
    ops.quantise(&acts, 0, 1, 0, 2);
    assert_true(d[0] == 1.0f && q[0] == -127 && q[1] == 2 && q[2] == 4 && q[3] == 0);
    assert_int_equal(sum[0], -121);
    assert_true(half[0] == -121 && dsum[0] == -121.0f && isnan(dsum[1]));
    assert_true(isnan(d[1]) && q[2 + 32] == 0 && sum[1] == 0);
    memset(x, 0, sizeof x);
    x[5] = 0x1p-149f;     // amax / 127 is 0: nothing is left
    x[40] = 0x1.7cp-142f; // 190 units: d is 1 unit, and 190 is held at 127
    ops.quantise(&acts, 0, 1, 0, 2);
    assert_true(d[0] == 0.0f && q[5] == 0 && sum[0] == 0);
    assert_true(d[1] == 0x1p-149f && q[40] == 127 && sum[1] == 127);
}

/* Softmax over all positions at once, in double. */
static void naive_attention(const struct attention *at, const float *keys, const float *values,
                            const float *q, double *out)
{
    double weights[300];
    double total = 0;
    for (size_t i = 0; i < at->positions; i++) {
        double dot = 0;
        for (size_t d = 0; d < at->head_dim; d++)
            dot += (double)q[d] *
                   (double)quant_f16_to_f32(quant_f32_to_f16(keys[i * at->head_dim + d]));
        weights[i] = exp(dot * (double)at->scale);
        total += weights[i];
    }
    for (size_t d = 0; d < at->head_dim; d++) {
        out[d] = 0;
        for (size_t i = 0; i < at->positions; i++)
            out[d] += weights[i] / total *
                      (double)quant_f16_to_f32(quant_f32_to_f16(values[i * at->head_dim + d]));
    }
}

static void assert_softmax_over_positions(enum kv_kind kind, double bound)
{
    enum {
        DIM = 24,
        HEADS = 3,
        POSITIONS = 300,
        BLOCKS = 10
    };

    static float keys[POSITIONS * DIM], values[POSITIONS * DIM];
    static _Alignas(64) unsigned char memory[BLOCKS][64 + 128 * DIM];
    const void *blocks[BLOCKS];
    float q[HEADS * DIM], out[HEADS * DIM];
    fill(keys, POSITIONS * DIM, 3);
    fill(values, POSITIONS * DIM, 4);
    fill(q, HEADS * DIM, 5);
    memset(memory, 0xFF, sizeof memory);
    for (size_t b = 0; b < BLOCKS; b++)
        blocks[b] = memory[BLOCKS - 1 - b];
    for (size_t i = 0; i < POSITIONS; i++)
        ops.kv_write[kind](memory[BLOCKS - 1 - i / 32] + 64, i % 32, keys + i * DIM,
                           values + i * DIM, DIM);
    struct attention at = {.q = q,
                           .out = out,
                           .blocks = blocks,
                           .offset = 64,
                           .rows = 1,
                           .heads = HEADS,
                           .head_dim = DIM,
                           .positions = POSITIONS,
                           .scale = 0.2f};
    ops.attention[kind](&at);
    for (size_t h = 0; h < HEADS; h++) {
        double want[DIM];
        naive_attention(&at, keys, values, q + h * DIM, want);
        for (size_t d = 0; d < DIM; d++)
            assert_true(fabs((double)out[h * DIM + d] - want[d]) < bound);
    }
}

static void attention_over_blocks_is_softmax_over_positions(void **state)
{
    (void)state;
    assert_softmax_over_positions(KV_F16, 1e-5);
    assert_softmax_over_positions(KV_INT8, 1e-2); // of values below 1: half a step is 1 / 254
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rms_norm_divides_by_the_root_of_the_mean_square),
        cmocka_unit_test(a_scan_gives_exact_dots_times_both_scales),
        cmocka_unit_test(a_query_is_rounded_to_nearest_even_by_one_scale),
        cmocka_unit_test(sums_go_by_sixteen_lanes_and_a_tree),
        cmocka_unit_test(silu_gates),
        cmocka_unit_test(the_two_ropes_turn_their_own_pairs),
        cmocka_unit_test(quantising_follows_the_contract_at_its_edges),
        cmocka_unit_test(attention_over_blocks_is_softmax_over_positions),
    };
    return cmocka_run_group_tests(tests, select_scalar, NULL);
}

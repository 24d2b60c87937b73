#include "tests/test.h"

#include "kernels/cpu.h"
#include "kernels/matmul.h"
#include "kernels/pack.h"
#include "kernels/quant.h"
#include "kernels/select.h"
#include "kernels/team.h"

#include "base/gguf.h"
#include "base/mem.h"
#include "base/rand.h"

#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

enum {
    OUTPUTS = 150,
    COLS = 512,
    ROWS = 70
};

static const uint32_t types[] = {GGUF_TENSOR_F32,  GGUF_TENSOR_F16,  GGUF_TENSOR_BF16,
                                 GGUF_TENSOR_Q8_0, GGUF_TENSOR_Q4_0, GGUF_TENSOR_Q4_1,
                                 GGUF_TENSOR_Q5_0, GGUF_TENSOR_Q5_1, GGUF_TENSOR_Q4_K,
                                 GGUF_TENSOR_Q5_K, GGUF_TENSOR_Q6_K};

enum {
    TYPES = sizeof types / sizeof *types
};

/* One product: the source weights, what they are worth in double, and the activations. */
struct scene {
    uint32_t type;
    unsigned char source[OUTPUTS * COLS * 4];
    float dense[OUTPUTS * COLS];
    float x[ROWS * COLS];
    float bias[OUTPUTS];
    struct packed packed;
    void *area;
    size_t area_size;
};

static float draw(struct rand *rand)
{
    return (float)(rand_unit(rand_next(rand)) * 2 - 1);
}

/* Any codes, and scales (all of a block's f16) near 2^-9: values stay of the order of one. */
static void draw_blocks(struct scene *scene, unsigned char *at, struct rand *rand)
{
    size_t values = quant_check(scene->type, QUANT_BLOCK) == ERR_OK ? QUANT_BLOCK : QUANT_SUPER;
    size_t size = quant_row_size(scene->type, values);
    for (size_t i = 0; i < quant_row_size(scene->type, COLS); i++)
        at[i] = (unsigned char)rand_below(rand, 256);
    for (size_t block = 0; block < COLS / values; block++, at += size) {
        if (scene->type == GGUF_TENSOR_Q6_K)
            at[209] = 0x10;
        else
            at[1] = 0x18;
        if (scene->type == GGUF_TENSOR_Q4_1 || scene->type == GGUF_TENSOR_Q5_1 ||
            values == QUANT_SUPER)
            at[3] = 0x18;
    }
}

static void put_row(struct scene *scene, size_t row, const float *values, struct rand *rand)
{
    size_t size = quant_row_size(scene->type, COLS);
    unsigned char *at = scene->source + row * size;
    if (scene->type == GGUF_TENSOR_Q8_0) quant_row_to_q8_0(values, at, COLS);
    if (scene->type == GGUF_TENSOR_F32) memcpy(at, values, size);
    bool halves = scene->type == GGUF_TENSOR_F16 || scene->type == GGUF_TENSOR_BF16;
    for (size_t i = 0; halves && i < COLS; i++) {
        uint16_t half = scene->type == GGUF_TENSOR_F16 ? quant_f32_to_f16(values[i])
                                                       : quant_f32_to_bf16(values[i]);
        memcpy(at + 2 * i, &half, 2);
    }
    if (!halves && scene->type != GGUF_TENSOR_F32 && scene->type != GGUF_TENSOR_Q8_0)
        draw_blocks(scene, at, rand);
    quant_row_to_f32(scene->type, at, scene->dense + row * COLS, COLS);
}

static struct scene *given(uint32_t type, enum float_gemm float_gemm)
{
    struct scene *scene = mem_new(1, sizeof *scene);
    struct rand rand;
    rand_init(&rand, 7);
    scene->type = type;
    for (size_t row = 0; row < OUTPUTS; row++) {
        float values[COLS];
        for (size_t i = 0; i < COLS; i++)
            values[i] = draw(&rand);
        put_row(scene, row, values, &rand);
        scene->bias[row] = draw(&rand);
    }
    for (size_t i = 0; i < ROWS * COLS; i++)
        scene->x[i] = draw(&rand);
    enum packed_kind kind = packed_kind_of(type, float_gemm);
    scene->area_size = packed_size(kind, OUTPUTS, COLS);
    scene->area = mem_map(scene->area_size);
    assert_non_null(scene->area);
    packed_init(&scene->packed, kind, OUTPUTS, COLS, scene->area);
    pack_rows(&scene->packed, type, scene->source, 0, packed_tiles(&scene->packed));
    return scene;
}

static void done(struct scene *scene)
{
    mem_unmap(scene->area, scene->area_size);
    mem_free(scene);
}

static void product(struct scene *scene, struct team *team, const struct ops *ops, size_t rows,
                    float *out)
{
    size_t size = matmul_acts_size(rows * COLS);
    void *area = mem_map(size);
    assert_non_null(area);
    struct matmul_acts acts;
    matmul_acts_init(&acts, rows * COLS, area);
    matmul_acts_set(&acts, scene->x, rows, COLS);
    matmul(team, ops, &scene->packed, &acts, scene->bias, out);
    mem_unmap(area, size);
}

/* The largest error against double arithmetic, relative to the sum of magnitudes. */
static double worst_error(const struct scene *scene, const float *out, size_t rows)
{
    double worst = 0;
    for (size_t row = 0; row < rows; row++) {
        for (size_t n = 0; n < OUTPUTS; n++) {
            double sum = (double)scene->bias[n];
            double magnitude = fabs(sum);
            for (size_t k = 0; k < COLS; k++) {
                double term = (double)scene->x[row * COLS + k] * (double)scene->dense[n * COLS + k];
                sum += term;
                magnitude += fabs(term);
            }
            worst = fmax(worst, fabs((double)out[row * OUTPUTS + n] - sum) / magnitude);
        }
    }
    return worst;
}

static void check_type(uint32_t type, enum float_gemm float_gemm, double bound)
{
    struct team *team;
    assert_int_equal(team_new(&team, 2), ERR_OK);
    struct scene *scene = given(type, float_gemm);
    struct ops ops;
    ops_select(&ops, 0);
    static float out[ROWS * OUTPUTS];
    product(scene, team, &ops, ROWS, out);
    double worst = worst_error(scene, out, ROWS);
    print_message("type %u: worst error %.3g of the magnitudes\n", type, worst);
    assert_true(worst <= bound);
    done(scene);
    team_free(team);
}

static void a_product_is_near_the_true_one_for_every_type(void **state)
{
    (void)state;
    check_type(GGUF_TENSOR_F32, FLOAT_GEMM_EXACT, 1e-6);
    check_type(GGUF_TENSOR_F16, FLOAT_GEMM_EXACT, 1e-6);
    check_type(GGUF_TENSOR_BF16, FLOAT_GEMM_EXACT, 2e-3); // activations of 8 bits
    for (size_t i = 0; i < TYPES; i++) {
        if (packed_quantised(packed_kind_of(types[i], FLOAT_GEMM_EXACT)))
            check_type(types[i], FLOAT_GEMM_EXACT, 2e-3); // these, too
    }
}

static void blas_computes_the_same_product(void **state)
{
    (void)state;
    check_type(GGUF_TENSOR_F32, FLOAT_GEMM_BLAS, 1e-6);
    check_type(GGUF_TENSOR_F16, FLOAT_GEMM_BLAS, 1e-6);
}

/* Promise 1, here: alone or among others, on any number of threads, on any rung. */
static void an_output_does_not_depend_on_rows_threads_or_rung(void **state)
{
    (void)state;
    static float want[ROWS * OUTPUTS];
    static float got[ROWS * OUTPUTS];
    for (size_t t = 0; t < TYPES; t++) {
        struct team *team;
        assert_int_equal(team_new(&team, 1), ERR_OK);
        struct scene *scene = given(types[t], FLOAT_GEMM_EXACT);
        struct ops ops;
        ops_select(&ops, 0);
        product(scene, team, &ops, ROWS, want);
        team_free(team);
        for (uint32_t threads = 1; threads <= 3; threads++) {
            assert_int_equal(team_new(&team, threads), ERR_OK);
            for (size_t i = 0; i < cpu_rung_count(); i++) {
                if (!cpu_rung_usable(cpu_rung_at(i))) continue;
                ops_select(&ops, cpu_rung_at(i)->features);
                for (size_t rows = 1; rows <= ROWS; rows += 23) {
                    memset(got, 0, sizeof got);
                    product(scene, team, &ops, rows, got);
                    assert_memory_equal(got, want, rows * OUTPUTS * sizeof *got);
                }
            }
            team_free(team);
        }
        done(scene);
    }
}

/* What finish() was told: how often each output came, and where parts began. */
struct finished {
    unsigned char times[ROWS][OUTPUTS]; // each touched by the one part that has it
    const float *out;
    const float *twin_out;
    float sum[ROWS * OUTPUTS];
    atomic_bool misplaced;
};

static void add_both(void *argument, const struct matmul_range *part)
{
    struct finished *finished = argument;
    if (part->begin % 32 != 0 || (part->end % 32 != 0 && part->end != OUTPUTS))
        atomic_store(&finished->misplaced, true);
    for (size_t row = part->row_begin; row < part->row_end; row++) {
        for (size_t n = part->begin; n < part->end; n++) {
            size_t at = row * OUTPUTS + n;
            finished->times[row][n]++;
            finished->sum[at] = finished->out[at] + finished->twin_out[at];
        }
    }
}

static void check_items(const struct scene *scene, const struct scene *twin, struct team *team,
                        size_t rows)
{
    static float want[2][ROWS * OUTPUTS];
    static float got[3][ROWS * OUTPUTS];
    struct ops ops;
    ops_select(&ops, cpu_features());
    size_t size = matmul_acts_size(rows * COLS);
    void *area = mem_map(size);
    assert_non_null(area);
    struct matmul_acts acts;
    matmul_acts_init(&acts, rows * COLS, area);
    matmul_acts_set(&acts, scene->x, rows, COLS);
    matmul(team, &ops, &scene->packed, &acts, scene->bias, want[0]);
    matmul(team, &ops, &twin->packed, &acts, NULL, want[1]);

    struct finished *finished = mem_new(1, sizeof *finished);
    finished->out = got[0];
    finished->twin_out = got[1];
    const struct matmul_item items[] = {
        {.weights = &scene->packed,
         .bias = scene->bias,
         .out = got[0],
         .twin = &twin->packed,
         .twin_out = got[1],
         .finish = add_both,
         .argument = finished},
        {.weights = &twin->packed, .out = got[2]},
    };
    matmul_acts_set(&acts, scene->x, rows, COLS);
    matmul_items(team, &ops, &acts, items, 2);
    assert_false(atomic_load(&finished->misplaced));
    for (size_t i = 0; i < rows * OUTPUTS; i++) {
        assert_int_equal(finished->times[i / OUTPUTS][i % OUTPUTS], 1);
        assert_true(finished->sum[i] == want[0][i] + want[1][i]);
    }
    assert_memory_equal(got[0], want[0], rows * OUTPUTS * sizeof(float));
    assert_memory_equal(got[1], want[1], rows * OUTPUTS * sizeof(float));
    assert_memory_equal(got[2], want[1], rows * OUTPUTS * sizeof(float));
    mem_free(finished);
    mem_unmap(area, size);
}

/* Several matrices of one job, of equal and of different kinds, with a twin and a finish. */
static void products_of_one_job_are_the_products_alone(void **state)
{
    (void)state;
    for (uint32_t threads = 1; threads <= 3; threads++) {
        struct team *team;
        assert_int_equal(team_new(&team, threads), ERR_OK);
        for (size_t i = 0; i < TYPES; i++) {
            struct scene *scene = given(types[i], FLOAT_GEMM_EXACT);
            struct scene *twin = given(types[(i + threads) % TYPES], FLOAT_GEMM_EXACT);
            check_items(scene, twin, team, 1);
            check_items(scene, twin, team, ROWS);
            done(scene);
            done(twin);
        }
        team_free(team);
    }
}

static void activations_quantised_by_pieces_are_those_quantised_at_once(void **state)
{
    (void)state;
    static float x[ROWS * COLS];
    struct ops ops;
    ops_select(&ops, cpu_features());
    struct rand rand;
    rand_init(&rand, 3);
    for (size_t i = 0; i < ROWS * COLS; i++)
        x[i] = draw(&rand);
    size_t size = matmul_acts_size(ROWS * COLS);
    void *areas[2] = {mem_map(size), mem_map(size)};
    struct matmul_acts acts[2];
    for (int i = 0; i < 2; i++) {
        assert_non_null(areas[i]);
        matmul_acts_init(&acts[i], ROWS * COLS, areas[i]);
        matmul_acts_set(&acts[i], x, ROWS, COLS);
    }
    ops.quantise(&acts[0].acts, 0, ROWS, 0, COLS / 32);
    for (size_t row = 0; row < ROWS; row += 7) {
        for (size_t begin = 0; begin < COLS; begin += 96) {
            struct matmul_range piece = {row, row + 7, begin,
                                         begin + 96 < COLS ? begin + 96 : COLS};
            matmul_acts_quantise(&acts[1], &ops, &piece);
        }
    }
    assert_memory_equal(areas[0], areas[1], size);
    mem_unmap(areas[0], size);
    mem_unmap(areas[1], size);
}

static void a_packed_row_is_the_row_that_was_packed(void **state)
{
    (void)state;
    for (size_t t = 0; t < 2 * TYPES; t++) {
        enum float_gemm float_gemm = t < TYPES ? FLOAT_GEMM_EXACT : FLOAT_GEMM_BLAS;
        struct scene *scene = given(types[t % TYPES], float_gemm);
        for (size_t row = 0; row < OUTPUTS; row++) {
            float out[COLS];
            packed_row(&scene->packed, row, out);
            assert_memory_equal(out, scene->dense + row * COLS, sizeof out);
        }
        done(scene);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_product_is_near_the_true_one_for_every_type),
        cmocka_unit_test(blas_computes_the_same_product),
        cmocka_unit_test(an_output_does_not_depend_on_rows_threads_or_rung),
        cmocka_unit_test(products_of_one_job_are_the_products_alone),
        cmocka_unit_test(activations_quantised_by_pieces_are_those_quantised_at_once),
        cmocka_unit_test(a_packed_row_is_the_row_that_was_packed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

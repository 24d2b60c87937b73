/* The kernels over one row of floats: every length around a vector, every recipe of values. */
#include "tests/kernels/check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const size_t lengths[] = {1,  2,  3,  4,  5,  7,  8,  9,  12, 15, 16,  17,
                                 23, 24, 25, 31, 32, 33, 47, 48, 49, 64, 100, 1025};

enum {
    LENGTHS = sizeof lengths / sizeof *lengths
};

static float *copy(struct check *check, const float *from, size_t n)
{
    float *out = check_memory(check, n * sizeof *out, sizeof *out);
    memcpy(out, from, n * sizeof *out);
    return out;
}

/* Runs `body(check, n, recipe)` over all lengths and recipes. */
static void each(struct check *check,
                 void (*body)(struct check *check, size_t n, enum check_recipe recipe))
{
    for (size_t i = 0; i < LENGTHS; i++) {
        for (int recipe = 0; recipe < CHECK_RECIPES; recipe++) {
            body(check, lengths[i], (enum check_recipe)recipe);
            check_release(check);
        }
    }
}

static void one_rms_norm(struct check *check, size_t n, enum check_recipe recipe)
{
    float *x = check_floats(check, n, recipe);
    float *weight = check_floats(check, n, CHECK_PLAIN);
    float *want = check_memory(check, n * sizeof *want, sizeof *want);
    float *got = copy(check, x, n);
    check->want->rms_norm(want, x, weight, n, 1e-6f);
    check->got->rms_norm(got, got, weight, n, 1e-6f);
    check_same_floats(check, want, got, n, "n %zu %s, in place", n, check_recipe_name(recipe));
    memset(got, 0, n * sizeof *got);
    check->got->rms_norm(got, x, weight, n, 1e-6f);
    check_same_floats(check, want, got, n, "n %zu %s", n, check_recipe_name(recipe));
}

static void check_rms_norm(struct check *check)
{
    each(check, one_rms_norm);
    // A sum that rounds otherwise hides behind the root half of the time: many long rows.
    for (int i = 0; i < 60; i++) {
        one_rms_norm(check, 1 + check_below(check, 2000), CHECK_PLAIN);
        check_release(check);
    }
}

static void one_dot(struct check *check, size_t n, enum check_recipe recipe)
{
    float *x = check_floats(check, n, recipe);
    float *y = check_floats(check, n, recipe);
    float want = check->want->dot(x, y, n);
    float got = check->got->dot(x, y, n);
    check_same_floats(check, &want, &got, 1, "n %zu %s", n, check_recipe_name(recipe));
}

static void check_dot(struct check *check)
{
    each(check, one_dot);
}

static void one_add(struct check *check, size_t n, enum check_recipe recipe)
{
    float *want = check_floats(check, n, recipe);
    float *got = copy(check, want, n);
    float *y = check_floats(check, n, recipe);
    check->want->add(want, y, n);
    check->got->add(got, y, n);
    check_same_floats(check, want, got, n, "n %zu %s", n, check_recipe_name(recipe));
}

static void check_add(struct check *check)
{
    each(check, one_add);
}

static void one_scale(struct check *check, size_t n, enum check_recipe recipe)
{
    float *want = check_floats(check, n, recipe);
    float *got = copy(check, want, n);
    float factor = check_float(check, CHECK_PLAIN);
    check->want->scale(want, factor, n);
    check->got->scale(got, factor, n);
    check_same_floats(check, want, got, n, "n %zu %s", n, check_recipe_name(recipe));
}

static void check_scale(struct check *check)
{
    each(check, one_scale);
}

static void one_silu_mul(struct check *check, size_t n, enum check_recipe recipe)
{
    float *want = check_floats(check, n, recipe);
    float *got = copy(check, want, n);
    float *up = check_floats(check, n, CHECK_PLAIN);
    check->want->silu_mul(want, up, n);
    check->got->silu_mul(got, up, n);
    check_same_floats(check, want, got, n, "n %zu %s", n, check_recipe_name(recipe));
}

static void check_silu_mul(struct check *check)
{
    each(check, one_silu_mul);
}

static void one_max(struct check *check, size_t n, enum check_recipe recipe)
{
    float *x = check_floats(check, n, recipe);
    float want = check->want->max(x, n);
    float got = check->got->max(x, n);
    check_same_floats(check, &want, &got, 1, "n %zu %s", n, check_recipe_name(recipe));
}

static void check_max(struct check *check)
{
    each(check, one_max);
    float want = check->want->max(NULL, 0);
    float got = check->got->max(NULL, 0);
    check_same_floats(check, &want, &got, 1, "nothing");
}

static void one_exp_sum(struct check *check, size_t n, enum check_recipe recipe)
{
    float *x = check_floats(check, n, recipe);
    float top = check->want->max(x, n);
    float *want = check_memory(check, n * sizeof *want, sizeof *want);
    float *got = copy(check, x, n);
    float want_sum = check->want->exp_sum(want, x, top, n);
    float got_sum = check->got->exp_sum(got, got, top, n);
    check_same_floats(check, want, got, n, "n %zu %s", n, check_recipe_name(recipe));
    check_same_floats(check, &want_sum, &got_sum, 1, "sum, n %zu %s", n, check_recipe_name(recipe));
}

/* exp itself, all over its range: into the denormals, over the top, and at every scale near 0. */
static void check_exp_range(struct check *check)
{
    enum {
        POINTS = 1 << 16
    };

    float *x = check_floats(check, POINTS, CHECK_WIDE);
    for (size_t i = 0; i < POINTS / 2; i++)
        x[i] = -110.0f + 210.0f * (float)i / (POINTS / 2);
    float *want = check_memory(check, POINTS * sizeof *want, sizeof *want);
    float *got = check_memory(check, POINTS * sizeof *got, sizeof *got);
    check->want->exp_sum(want, x, 0.0f, POINTS);
    check->got->exp_sum(got, x, 0.0f, POINTS);
    check_same_floats(check, want, got, POINTS, "exp over its range");
    check_release(check);
}

static void one_layer_norm(struct check *check, size_t n, enum check_recipe recipe)
{
    float *x = check_floats(check, n, recipe);
    float *weight = check_floats(check, n, CHECK_PLAIN);
    float *bias = check_floats(check, n, CHECK_PLAIN);
    float *want = check_memory(check, n * sizeof *want, sizeof *want);
    float *got = copy(check, x, n);
    check->want->layer_norm(want, x, weight, bias, n, 1e-12f);
    check->got->layer_norm(got, got, weight, bias, n, 1e-12f);
    check_same_floats(check, want, got, n, "n %zu %s", n, check_recipe_name(recipe));
}

static void check_layer_norm(struct check *check)
{
    each(check, one_layer_norm);
}

static void one_gelu(struct check *check, size_t n, enum check_recipe recipe)
{
    float *want = check_floats(check, n, recipe);
    float *got = copy(check, want, n);
    check->want->gelu(want, n);
    check->got->gelu(got, n);
    check_same_floats(check, want, got, n, "n %zu %s", n, check_recipe_name(recipe));
}

/* Where erf bends, and at every scale near 0. */
static void check_gelu_range(struct check *check)
{
    enum {
        POINTS = 1 << 16
    };

    float *want = check_floats(check, POINTS, CHECK_WIDE);
    for (size_t i = 0; i < POINTS / 2; i++)
        want[i] = -8.0f + 16.0f * (float)i / (POINTS / 2);
    float *got = copy(check, want, POINTS);
    check->want->gelu(want, POINTS);
    check->got->gelu(got, POINTS);
    check_same_floats(check, want, got, POINTS, "gelu over its range");
    check_release(check);
}

static void check_gelu(struct check *check)
{
    each(check, one_gelu);
    check_gelu_range(check);
}

static void check_exp_sum(struct check *check)
{
    each(check, one_exp_sum);
    check_exp_range(check);
}

static void one_peaks(struct check *check, size_t n, enum check_recipe recipe)
{
    float *x = check_floats(check, n, recipe);
    size_t blocks = (n + OPS_PEAK - 1) / OPS_PEAK;
    float *want = check_memory(check, blocks * sizeof *want, sizeof *want);
    float *got = check_memory(check, blocks * sizeof *got, sizeof *got);
    size_t want_strange = check->want->peaks(want, x, n);
    size_t got_strange = check->got->peaks(got, x, n);
    check_same_bytes(check, &want_strange, &got_strange, sizeof want_strange, "strange, n %zu %s",
                     n, check_recipe_name(recipe));
    if (want_strange == 0)
        check_same_floats(check, want, got, blocks, "n %zu %s", n, check_recipe_name(recipe));
}

static void check_peaks(struct check *check)
{
    each(check, one_peaks);
}

/* Any quotient that the contract allows: every exponent of the temperature and of the distance from the top. */
static void one_weigh(struct check *check, size_t n, enum check_recipe recipe)
{
    if (recipe == CHECK_BROKEN) return;
    float *x = check_floats(check, n, recipe);
    float top = check->want->max(x, n);
    float temperature = 0;
    while (!(temperature > 0) || !isfinite(temperature))
        temperature = fabsf(check_float(check, check_below(check, 2) ? CHECK_WIDE : CHECK_PLAIN));
    if (check_below(check, 2)) temperature = 0.1f + (float)check_below(check, 1000) / 100;
    uint64_t *want = check_memory(check, n * sizeof *want, sizeof *want);
    uint64_t *got = check_memory(check, n * sizeof *got, sizeof *got);
    uint64_t want_total = check->want->weigh(want, x, top, temperature, n);
    uint64_t got_total = check->got->weigh(got, x, top, temperature, n);
    check_same_bytes(check, want, got, n * sizeof *want, "n %zu %s, temperature %a", n,
                     check_recipe_name(recipe), (double)temperature);
    check_same_bytes(check, &want_total, &got_total, sizeof want_total,
                     "total, n %zu %s, temperature %a", n, check_recipe_name(recipe),
                     (double)temperature);
}

/* Many temperatures against a row that covers the whole range of exp(): the division must be the exact one. */
static void check_weigh_range(struct check *check)
{
    enum {
        POINTS = 1 << 14,
        TEMPERATURES = 64
    };

    uint64_t *want = check_memory(check, POINTS * sizeof *want, sizeof *want);
    uint64_t *got = check_memory(check, POINTS * sizeof *got, sizeof *got);
    float *x = check_memory(check, POINTS * sizeof *x, sizeof *x);
    for (size_t t = 0; t < TEMPERATURES; t++) {
        float temperature = fabsf(check_float(check, CHECK_PLAIN)) + 1e-3f;
        if (t % 4 == 0) temperature *= 40;
        for (size_t i = 0; i < POINTS; i++)
            x[i] = -fabsf(check_float(check, CHECK_PLAIN)) * 15 * temperature;
        check->want->weigh(want, x, 0, temperature, POINTS);
        check->got->weigh(got, x, 0, temperature, POINTS);
        check_same_bytes(check, want, got, POINTS * sizeof *want, "temperature %a",
                         (double)temperature);
    }
    check_release(check);
}

static void check_weigh(struct check *check)
{
    each(check, one_weigh);
    check_weigh_range(check);
}

struct rope_shape {
    size_t heads, head_dim, pairs;
};

static void one_rope(struct check *check, struct rope_shape shape, enum check_recipe recipe,
                     bool halves)
{
    size_t n = shape.heads * shape.head_dim;
    float *want = check_floats(check, n, recipe);
    float *got = copy(check, want, n);
    float *cosines = check_floats(check, shape.pairs, CHECK_PLAIN);
    float *sines = check_floats(check, shape.pairs, CHECK_PLAIN);
    const struct ops *a = check->want;
    const struct ops *b = check->got;
    (halves ? a->rope_halves : a->rope_interleaved)(want, shape.heads, shape.head_dim, cosines,
                                                    sines, shape.pairs);
    (halves ? b->rope_halves : b->rope_interleaved)(got, shape.heads, shape.head_dim, cosines,
                                                    sines, shape.pairs);
    check_same_floats(check, want, got, n, "%zu heads of %zu, %zu pairs, %s", shape.heads,
                      shape.head_dim, shape.pairs, check_recipe_name(recipe));
    check_release(check);
}

static void check_rope(struct check *check, bool halves)
{
    static const size_t dims[] = {2, 8, 16, 24, 34, 64, 80, 96, 128, 256};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
        for (size_t heads = 1; heads <= 3; heads++) {
            for (int recipe = 0; recipe < CHECK_RECIPES; recipe++) {
                size_t whole = dims[i] / 2;
                enum check_recipe drawn = (enum check_recipe)recipe;
                one_rope(check, (struct rope_shape){heads, dims[i], whole}, drawn, halves);
                size_t some = 1 + check_below(check, whole);
                one_rope(check, (struct rope_shape){heads, dims[i], some}, drawn, halves);
            }
        }
    }
}

static void check_rope_interleaved(struct check *check)
{
    check_rope(check, false);
}

static void check_rope_halves(struct check *check)
{
    check_rope(check, true);
}

/* ---- timing ---- */

enum {
    BENCH_N = 4096
};

struct row_call {
    const struct ops *ops;
    float *out;
    float *x;
    float *y;
};

static struct row_call row_call(struct check_bench *bench)
{
    struct check *check = &bench->check;
    struct row_call call = {.ops = check->got};
    call.out = check_memory(check, BENCH_N * sizeof(float), 64);
    call.x = check_floats(check, BENCH_N, CHECK_PLAIN);
    call.y = check_floats(check, BENCH_N, CHECK_PLAIN);
    return call;
}

static void call_rms_norm(void *argument)
{
    struct row_call *call = argument;
    call->ops->rms_norm(call->out, call->x, call->y, BENCH_N, 1e-6f);
}

static void bench_rms_norm(struct check_bench *bench)
{
    struct row_call call = row_call(bench);
    check_time(bench, "4096", call_rms_norm, &call, 12.0 * BENCH_N, 0);
}

static void call_dot(void *argument)
{
    struct row_call *call = argument;
    call->out[0] = call->ops->dot(call->x, call->y, BENCH_N);
}

static void bench_dot(struct check_bench *bench)
{
    struct row_call call = row_call(bench);
    check_time(bench, "4096", call_dot, &call, 8.0 * BENCH_N, 2.0 * BENCH_N);
}

static void call_silu_mul(void *argument)
{
    struct row_call *call = argument;
    memcpy(call->out, call->x, BENCH_N * sizeof *call->x);
    call->ops->silu_mul(call->out, call->y, BENCH_N);
}

static void bench_silu_mul(struct check_bench *bench)
{
    struct row_call call = row_call(bench);
    check_time(bench, "4096, and a copy", call_silu_mul, &call, 12.0 * BENCH_N, 0);
}

static void call_layer_norm(void *argument)
{
    struct row_call *call = argument;
    call->ops->layer_norm(call->out, call->x, call->y, call->y, BENCH_N, 1e-12f);
}

static void bench_layer_norm(struct check_bench *bench)
{
    struct row_call call = row_call(bench);
    check_time(bench, "4096", call_layer_norm, &call, 12.0 * BENCH_N, 0);
}

static void call_gelu(void *argument)
{
    struct row_call *call = argument;
    memcpy(call->out, call->x, BENCH_N * sizeof *call->x);
    call->ops->gelu(call->out, BENCH_N);
}

static void bench_gelu(struct check_bench *bench)
{
    struct row_call call = row_call(bench);
    check_time(bench, "4096, and a copy", call_gelu, &call, 8.0 * BENCH_N, 0);
}

static void call_exp_sum(void *argument)
{
    struct row_call *call = argument;
    call->ops->exp_sum(call->out, call->x, 2.0f, BENCH_N);
}

static void bench_exp_sum(struct check_bench *bench)
{
    struct row_call call = row_call(bench);
    check_time(bench, "4096", call_exp_sum, &call, 8.0 * BENCH_N, 0);
}

static void call_peaks(void *argument)
{
    struct row_call *call = argument;
    call->ops->peaks(call->out, call->x, BENCH_N);
}

static void bench_peaks(struct check_bench *bench)
{
    struct row_call call = row_call(bench);
    check_time(bench, "4096", call_peaks, &call, 4.0 * BENCH_N, 0);
}

static void call_weigh(void *argument)
{
    struct row_call *call = argument;
    static uint64_t masses[BENCH_N];
    call->ops->weigh(masses, call->x, 2.0f, 0.7f, BENCH_N);
}

static void bench_weigh(struct check_bench *bench)
{
    struct row_call call = row_call(bench);
    check_time(bench, "4096", call_weigh, &call, 4.0 * BENCH_N, 0);
}

const struct check_entry check_rows[] = {
    {"rms_norm", check_rms_norm, bench_rms_norm},
    {"layer_norm", check_layer_norm, bench_layer_norm},
    {"dot", check_dot, bench_dot},
    {"add", check_add, NULL},
    {"scale", check_scale, NULL},
    {"rope_interleaved", check_rope_interleaved, NULL},
    {"rope_halves", check_rope_halves, NULL},
    {"silu_mul", check_silu_mul, bench_silu_mul},
    {"gelu", check_gelu, bench_gelu},
    {"max", check_max, NULL},
    {"exp_sum", check_exp_sum, bench_exp_sum},
    {"peaks", check_peaks, bench_peaks},
    {"weigh", check_weigh, bench_weigh},
    {NULL, NULL, NULL},
};

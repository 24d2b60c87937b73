/* The products: quantised and float weights, every tail of rows, outputs and columns, and the worst sums. */
#include "tests/kernels/check.h"

#include "kernels/matmul.h"
#include "kernels/pack.h"
#include "kernels/quant.h"
#include "kernels/team.h"

#include "base/gguf.h"
#include "base/must.h"

#include <stdio.h>
#include <string.h>

static void draw_acts(struct check *check, struct acts *acts, const float *x, size_t rows,
                      size_t cols)
{
    size_t blocks = rows * (cols / QUANT_BLOCK);
    *acts = (struct acts){.x = x, .rows = rows, .cols = cols};
    acts->q = check_memory(check, rows * cols, 1);
    acts->d = check_memory(check, blocks * sizeof(float), sizeof(float));
    acts->sum = check_memory(check, blocks * sizeof(int32_t), sizeof(int32_t));
    acts->half = check_memory(check, blocks * sizeof(int32_t), sizeof(int32_t));
    acts->dsum = check_memory(check, blocks * sizeof(float), sizeof(float));
    acts->bf = check_memory(check, rows * cols * sizeof(uint16_t), sizeof(uint32_t));
}

/* Halves between whole numbers are where rounding can go wrong: amax 127 makes d = 1. */
static void put_ties(struct check *check, float *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        x[i] = i % QUANT_BLOCK == 0 ? 127.0f : (float)check_below(check, 253) - 126.5f;
}

/* A few units of the smallest denormal: d is one or two units, and values beyond 127 d must be held. */
static void put_units(struct check *check, float *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        x[i] = ((float)check_below(check, 381) - 190.0f) * 0x1p-149f;
}

static void quantise_case(struct check *check, size_t rows, size_t cols, int recipe)
{
    enum check_recipe drawn = recipe < CHECK_RECIPES ? (enum check_recipe)recipe : CHECK_PLAIN;
    float *x = check_floats(check, rows * cols, drawn);
    if (recipe == CHECK_RECIPES) put_ties(check, x, rows * cols);
    if (recipe == CHECK_RECIPES + 1) put_units(check, x, rows * cols);
    struct acts want;
    struct acts got;
    draw_acts(check, &want, x, rows, cols);
    draw_acts(check, &got, x, rows, cols);
    size_t begin = check_below(check, rows);
    size_t first = check_below(check, cols / QUANT_BLOCK);
    check->want->quantise(&want, begin, rows, first, cols / QUANT_BLOCK);
    check->got->quantise(&got, begin, rows, first, cols / QUANT_BLOCK);
    size_t blocks = rows * (cols / QUANT_BLOCK);
    const char *what = recipe < CHECK_RECIPES ? check_recipe_name(drawn) : "ties or units";
    check_same_bytes(check, want.q, got.q, rows * cols, "q %zu x %zu %s", rows, cols, what);
    check_same_floats(check, want.d, got.d, blocks, "d %zu x %zu %s", rows, cols, what);
    check_same_bytes(check, want.sum, got.sum, blocks * sizeof(int32_t), "sum %zu x %zu %s", rows,
                     cols, what);
    check_same_bytes(check, want.half, got.half, blocks * sizeof(int32_t), "half %zu x %zu %s",
                     rows, cols, what);
    check_same_floats(check, want.dsum, got.dsum, blocks, "dsum %zu x %zu %s", rows, cols, what);
    check_release(check);
}

static void check_quantise(struct check *check)
{
    static const size_t widths[] = {32, 64, 96, 320, 800};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        for (size_t rows = 1; rows <= 19; rows += 3)
            for (int recipe = 0; recipe <= CHECK_RECIPES + 1; recipe++)
                quantise_case(check, rows, widths[i], recipe);
}

static void check_round_bf16(struct check *check)
{
    for (size_t rows = 1; rows <= 19; rows += 3) {
        for (int recipe = 0; recipe < CHECK_RECIPES; recipe++) {
            size_t cols = 2 * (1 + check_below(check, 50));
            float *x = check_floats(check, rows * cols, (enum check_recipe)recipe);
            struct acts want;
            struct acts got;
            draw_acts(check, &want, x, rows, cols);
            draw_acts(check, &got, x, rows, cols);
            check->want->round_bf16(&want, 0, rows);
            check->got->round_bf16(&got, 0, rows);
            check_same_bytes(check, want.bf, got.bf, rows * cols * sizeof(uint16_t), "%zu x %zu %s",
                             rows, cols, check_recipe_name((enum check_recipe)recipe));
            check_release(check);
        }
    }
}

struct shape {
    size_t rows, outputs, cols;
};

/* Outputs that were not asked for must stay as they were: both start with the same marks. */
static void gemm_case(struct check *check, uint32_t type, struct shape shape,
                      enum check_recipe recipe, bool part)
{
    bool peak = recipe == CHECK_PEAK;
    struct packed *weights = check_packed(check, type, shape.outputs, shape.cols, peak);
    struct acts acts;
    draw_acts(check, &acts, check_floats(check, shape.rows * shape.cols, recipe), shape.rows,
              shape.cols);
    if (packed_quantised(weights->kind))
        check->want->quantise(&acts, 0, shape.rows, 0, shape.cols / QUANT_BLOCK);
    if (weights->kind == PACKED_BF16) check->want->round_bf16(&acts, 0, shape.rows);
    size_t count = shape.rows * shape.outputs;
    float *want = check_floats(check, count, CHECK_PLAIN);
    float *got = check_memory(check, count * sizeof *got, sizeof *got);
    memcpy(got, want, count * sizeof *got);

    struct gemm gemm = {.weights = weights, .acts = &acts, .out = want};
    gemm.tile_end = packed_tiles(weights);
    gemm.row_end = shape.rows;
    if (part) {
        gemm.tile_begin = check_below(check, gemm.tile_end);
        gemm.tile_end = gemm.tile_begin + 1 + check_below(check, gemm.tile_end - gemm.tile_begin);
        gemm.row_begin =
            check_below(check, (shape.rows + ACTS_PANEL - 1) / ACTS_PANEL) * ACTS_PANEL;
        size_t panels = 1 + check_below(check, (shape.rows - gemm.row_begin) / ACTS_PANEL + 1);
        gemm.row_end = gemm.row_begin + panels * ACTS_PANEL;
        if (gemm.row_end > shape.rows) gemm.row_end = shape.rows;
    }
    check->want->gemm[weights->kind](&gemm);
    gemm.out = got;
    check->got->gemm[weights->kind](&gemm);
    check_same_floats(check, want, got, count, "%zu rows, %zu outputs, %zu columns, %s%s",
                      shape.rows, shape.outputs, shape.cols, check_recipe_name(recipe),
                      part ? ", a part" : "");
    check_release(check);
}

/* Widths to try: of one block, of a few, of many, and of more than a kernel unpacks at once (the AMX column: 1024
 * columns), so that its sums stop and go on. */
static const size_t *widths_of(uint32_t type)
{
    static const size_t super[] = {256, 512, 1024, 2304};
    static const size_t blocks[] = {32, 64, 320, 2080};
    static const size_t pairs[] = {2, 14, 64, 1026};
    static const size_t floats[] = {1, 7, 64, 1025};
    if (type == GGUF_TENSOR_F32 || type == GGUF_TENSOR_F16) return floats;
    if (type == GGUF_TENSOR_BF16) return pairs;
    return quant_check(type, QUANT_BLOCK) == ERR_OK ? blocks : super;
}

static void check_gemm(struct check *check, uint32_t type)
{
    static const size_t outputs[] = {1, 15, 16, 17, 63, 81, 150};
    const size_t *cols = widths_of(type);
    for (size_t rows = 1; rows <= 18; rows++)
        for (size_t n = 0; n < sizeof outputs / sizeof *outputs; n++)
            for (size_t k = 0; k < 2; k++)
                gemm_case(check, type, (struct shape){rows, outputs[n], cols[k]}, CHECK_PLAIN,
                          false);
    for (int i = 0; i < 40; i++)
        gemm_case(check, type, (struct shape){1 + check_below(check, 80), 200, cols[1]},
                  CHECK_PLAIN, true);
    for (size_t rows = 1; rows <= 67; rows += 6)
        gemm_case(check, type, (struct shape){rows, 40, cols[2]}, CHECK_PLAIN, false);
    for (size_t rows = 1; rows <= 49; rows += 12)
        gemm_case(check, type, (struct shape){rows, 40, cols[3]}, CHECK_PLAIN, false);
    for (int recipe = 0; recipe < CHECK_RECIPES; recipe++)
        gemm_case(check, type, (struct shape){33, 40, cols[2]}, (enum check_recipe)recipe, false);
}

#define KIND(name, kind)                               \
    static void check_gemm_##name(struct check *check) \
    {                                                  \
        check_gemm(check, GGUF_TENSOR_##kind);         \
    }
#include "kernels/quantised.def"
#undef KIND

static void check_gemm_bf16(struct check *check)
{
    check_gemm(check, GGUF_TENSOR_BF16);
}

static void check_gemm_f32(struct check *check)
{
    check_gemm(check, GGUF_TENSOR_F32);
}

/* Every f16 there is, widened: one column, times one. */
static void check_every_half(struct check *check)
{
    enum {
        HALVES = 65536
    };

    uint16_t *source = check_memory(check, HALVES * sizeof *source, sizeof *source);
    for (size_t i = 0; i < HALVES; i++)
        source[i] = (uint16_t)i;
    struct packed packed;
    void *area = check_memory(check, packed_size(PACKED_F16, HALVES, 1), PACK_ALIGN);
    packed_init(&packed, PACKED_F16, HALVES, 1, area);
    pack_rows(&packed, GGUF_TENSOR_F16, source, 0, packed_tiles(&packed));
    float one = 1.0f;
    struct acts acts = {.x = &one, .rows = 1, .cols = 1};
    float *want = check_memory(check, HALVES * sizeof *want, sizeof *want);
    float *got = check_memory(check, HALVES * sizeof *got, sizeof *got);
    struct gemm gemm = {.weights = &packed, .acts = &acts, .out = want};
    gemm.tile_end = packed_tiles(&packed);
    gemm.row_end = 1;
    check->want->gemm[PACKED_F16](&gemm);
    gemm.out = got;
    check->got->gemm[PACKED_F16](&gemm);
    check_same_floats(check, want, got, HALVES, "every f16");
    check_release(check);
}

static void check_gemm_f16(struct check *check)
{
    check_gemm(check, GGUF_TENSOR_F16);
    check_every_half(check);
}

/* ---- timing ---- */

struct product {
    struct team *team;
    const struct ops *ops;
    const struct packed *weights;
    struct matmul_acts acts;
    float *out;
};

static void call_product(void *argument)
{
    struct product *product = argument;
    // Set again, so that quantising the activations is part of the time, as it is of a step.
    matmul_acts_set(&product->acts, product->acts.acts.x, product->acts.acts.rows,
                    product->acts.acts.cols);
    matmul(product->team, product->ops, product->weights, &product->acts, NULL, product->out);
}

static void bench_shape(struct check_bench *bench, struct product *product, size_t rows)
{
    size_t cols = product->weights->cols;
    size_t outputs = product->weights->rows;
    matmul_acts_set(&product->acts, product->acts.acts.x, rows, cols);
    char text[64];
    snprintf(text, sizeof text, "%zu x %zu x %zu, %zu threads", rows, outputs, cols,
             bench->threads);
    double bytes = (double)packed_size(product->weights->kind, outputs, cols);
    check_time(bench, text, call_product, product, bytes,
               2.0 * (double)rows * (double)outputs * (double)cols);
}

/* One product over the team, through matmul(). Weights far beyond the second cache: what is read at one row
 * comes from memory (or a last-level cache of a server's size). */
static void bench_packed(struct check_bench *bench, const struct packed *weights)
{
    static const size_t rows[] = {1, 2, 4, 8, 16, 32, 64, 256};

    enum {
        ROWS_MAX = 256
    };
    struct check *check = &bench->check;
    struct product product = {.ops = check->got};
    must(team_new(&product.team, (uint32_t)bench->threads) == ERR_OK);
    product.weights = weights;
    size_t acts_max = ROWS_MAX * weights->cols;
    matmul_acts_init(&product.acts, acts_max,
                     check_memory(check, matmul_acts_size(acts_max), PACK_ALIGN));
    product.out = check_memory(check, ROWS_MAX * weights->rows * sizeof(float), 64);
    product.acts.acts.x = check_floats(check, acts_max, CHECK_PLAIN);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        bench_shape(bench, &product, rows[i]);
    team_free(product.team);
}

static void bench_type(struct check_bench *bench, uint32_t type, size_t outputs)
{
    bench_packed(bench, check_packed(&bench->check, type, outputs, 2048, false));
}

#define KIND(name, kind)                                     \
    static void bench_gemm_##name(struct check_bench *bench) \
    {                                                        \
        bench_type(bench, GGUF_TENSOR_##kind, 32768);        \
    }
#include "kernels/quantised.def"
#undef KIND

static void bench_gemm_f32(struct check_bench *bench)
{
    bench_type(bench, GGUF_TENSOR_F32, 8192);
}

static void bench_gemm_f16(struct check_bench *bench)
{
    bench_type(bench, GGUF_TENSOR_F16, 16384);
}

static void bench_gemm_bf16(struct check_bench *bench)
{
    bench_type(bench, GGUF_TENSOR_BF16, 16384);
}

/* The baseline of the float kernels: the same product through OpenBLAS. */
static void bench_gemm_blas(struct check_bench *bench)
{
    struct check *check = &bench->check;
    size_t outputs = 8192;
    size_t cols = 2048;
    struct packed packed;
    packed_init(&packed, PACKED_ROWS, outputs, cols,
                check_memory(check, packed_size(PACKED_ROWS, outputs, cols), PACK_ALIGN));
    const float *source = check_floats(check, outputs * cols, CHECK_PLAIN);
    pack_rows(&packed, GGUF_TENSOR_F32, source, 0, packed_tiles(&packed));
    bench_packed(bench, &packed);
}

struct quantised {
    const struct ops *ops;
    struct acts acts;
};

static void call_quantise(void *argument)
{
    struct quantised *job = argument;
    job->ops->quantise(&job->acts, 0, job->acts.rows, 0, job->acts.cols / QUANT_BLOCK);
}

static void bench_quantise(struct check_bench *bench)
{
    struct quantised job = {.ops = bench->check.got};
    draw_acts(&bench->check, &job.acts, check_floats(&bench->check, 2048, CHECK_PLAIN), 1, 2048);
    check_time(bench, "1 x 2048", call_quantise, &job, 2048.0 * 5.25, 0);
}

const struct check_entry check_gemms[] = {
    {"quantise", check_quantise, bench_quantise},
    {"round_bf16", check_round_bf16, NULL},
#define KIND(name, kind) {"gemm_" #name, check_gemm_##name, bench_gemm_##name},
#include "kernels/quantised.def"
#undef KIND
    {"gemm_f32", check_gemm_f32, bench_gemm_f32},
    {"gemm_f16", check_gemm_f16, bench_gemm_f16},
    {"gemm_bf16", check_gemm_bf16, bench_gemm_bf16},
    {"openblas_sgemm", NULL, bench_gemm_blas},
    {NULL, NULL, NULL},
};

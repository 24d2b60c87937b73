#include "kernels/matmul.h"

#include "kernels/pack.h"
#include "kernels/quant.h"
#include "kernels/team.h"

#include "base/must.h"

#include <cblas.h>

enum {
    PART_BYTES = 256 << 10, // weights of one part: they stay in the second cache over all rows
    PART_ROWS = 256,      // most rows of one part: a kernel may unpack a tile once for all of them
    PARTS_PER_THREAD = 4, // enough for the threads to finish together
    QUANTISE_ROWS = 8,
    QUANTISE_ALONE = 8192 // values below which waking the team costs more than it brings
};

static size_t ceil_div(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

static size_t align_up(size_t size)
{
    return ceil_div(size, PACK_ALIGN) * PACK_ALIGN;
}

size_t matmul_acts_size(size_t values_max)
{
    size_t blocks = values_max / QUANT_BLOCK;
    return align_up(values_max) + 4 * align_up(blocks * sizeof(float)) +
           align_up(values_max * sizeof(uint16_t));
}

void matmul_acts_init(struct matmul_acts *acts, size_t values_max, void *area)
{
    must((uintptr_t)area % PACK_ALIGN == 0);
    unsigned char *bytes = area;
    size_t blocks = values_max / QUANT_BLOCK;
    *acts = (struct matmul_acts){.values_max = values_max};
    acts->acts.q = (int8_t *)area;
    bytes += align_up(values_max);
    acts->acts.d = (float *)(void *)bytes;
    bytes += align_up(blocks * sizeof(float));
    acts->acts.sum = (int32_t *)(void *)bytes;
    bytes += align_up(blocks * sizeof(int32_t));
    acts->acts.half = (int32_t *)(void *)bytes;
    bytes += align_up(blocks * sizeof(int32_t));
    acts->acts.dsum = (float *)(void *)bytes;
    bytes += align_up(blocks * sizeof(float));
    acts->acts.bf = (uint16_t *)(void *)bytes;
}

void matmul_acts_set(struct matmul_acts *acts, const float *x, size_t rows, size_t cols)
{
    must(rows * cols <= acts->values_max);
    acts->acts.x = x;
    acts->acts.rows = rows;
    acts->acts.cols = cols;
    acts->quantised = false;
    acts->rounded = false;
}

struct quantise_job {
    const struct ops *ops;
    struct acts *acts;
    bool rounds; // to bf16
};

static void quantise_part(void *argument, size_t part, size_t lane)
{
    (void)lane;
    struct quantise_job *job = argument;
    size_t begin = part * QUANTISE_ROWS;
    size_t end = begin + QUANTISE_ROWS;
    if (end > job->acts->rows) end = job->acts->rows;
    if (job->rounds)
        job->ops->round_bf16(job->acts, begin, end);
    else
        job->ops->quantise(job->acts, begin, end, 0, job->acts->cols / QUANT_BLOCK);
}

/* The form of the activations that `kind` asks for, made once after each set. */
static void prepare(struct team *team, const struct ops *ops, struct matmul_acts *acts,
                    enum packed_kind kind)
{
    bool rounds = kind == PACKED_BF16;
    bool *made = rounds ? &acts->rounded : &acts->quantised;
    if (*made || !(rounds || packed_quantised(kind))) return;
    struct quantise_job job = {.ops = ops, .acts = &acts->acts, .rounds = rounds};
    size_t parts = ceil_div(job.acts->rows, QUANTISE_ROWS);
    if (job.acts->rows * job.acts->cols < QUANTISE_ALONE) {
        for (size_t part = 0; part < parts; part++)
            quantise_part(&job, part, 0);
    } else {
        team_run(team, parts, quantise_part, &job);
    }
    *made = true;
}

bool matmul_quantises(const struct packed *weights)
{
    return packed_quantised(weights->kind);
}

void matmul_acts_quantise(struct matmul_acts *acts, const struct ops *ops,
                          const struct matmul_range *piece)
{
    must(piece->begin % QUANT_BLOCK == 0 && piece->end % QUANT_BLOCK == 0);
    ops->quantise(&acts->acts, piece->row_begin, piece->row_end, piece->begin / QUANT_BLOCK,
                  piece->end / QUANT_BLOCK);
}

void matmul_acts_ready(struct matmul_acts *acts)
{
    acts->quantised = true;
}

/* How one product is cut: parts of `tiles` tiles x `rows` rows, the rows of a group of tiles in a run so that its
 * weights are read from memory once. */
struct matmul_cut {
    size_t tiles;
    size_t rows;
    size_t row_parts;
    size_t parts;
};

struct matmul_job {
    const struct ops *ops;
    const struct acts *acts;
    const struct matmul_item *items;
    size_t count;
    struct matmul_cut cuts[MATMUL_ITEMS_MAX];
};

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The same part through OpenBLAS: out[rows][n0..n1) = x[rows][K] . w[n0..n1)[K]^T. */
static void run_blas(const struct gemm *gemm, size_t n0, size_t n1)
{
    size_t k = gemm->weights->cols;
    size_t outputs = gemm->weights->rows;
    const float *w = gemm->weights->weights;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)(gemm->row_end - gemm->row_begin),
                (int)(n1 - n0), (int)k, 1.0f, gemm->acts->x + gemm->row_begin * k, (int)k,
                w + n0 * k, (int)k, 0.0f, gemm->out + gemm->row_begin * outputs + n0, (int)outputs);
}

static void run_gemm(const struct ops *ops, const struct gemm *gemm,
                     const struct matmul_range *range)
{
    if (gemm->weights->kind == PACKED_ROWS)
        run_blas(gemm, range->begin, range->end);
    else
        ops->gemm[gemm->weights->kind](gemm);
}

static void run_item(const struct matmul_job *job, const struct matmul_item *item,
                     const struct matmul_cut *cut, size_t part)
{
    size_t outputs = item->weights->rows;
    struct gemm gemm = {.weights = item->weights, .acts = job->acts, .out = item->out};
    gemm.tile_begin = part / cut->row_parts * cut->tiles;
    gemm.tile_end = smaller(gemm.tile_begin + cut->tiles, packed_tiles(item->weights));
    gemm.row_begin = part % cut->row_parts * cut->rows;
    gemm.row_end = smaller(gemm.row_begin + cut->rows, job->acts->rows);
    struct matmul_range range = {
        .row_begin = gemm.row_begin,
        .row_end = gemm.row_end,
        .begin = gemm.tile_begin * PACK_TILE,
        .end = smaller(gemm.tile_end * PACK_TILE, outputs),
    };
    run_gemm(job->ops, &gemm, &range);
    for (size_t row = range.row_begin; item->bias && row < range.row_end; row++) {
        job->ops->add(item->out + row * outputs + range.begin, item->bias + range.begin,
                      range.end - range.begin);
    }
    if (item->twin) {
        gemm.weights = item->twin;
        gemm.out = item->twin_out;
        run_gemm(job->ops, &gemm, &range);
    }
    if (item->finish) item->finish(item->argument, &range);
}

static void matmul_part(void *argument, size_t part, size_t lane)
{
    (void)lane;
    const struct matmul_job *job = argument;
    size_t i = 0;
    while (part >= job->cuts[i].parts)
        part -= job->cuts[i++].parts;
    run_item(job, &job->items[i], &job->cuts[i], part);
}

static size_t item_bytes(const struct matmul_item *item)
{
    size_t bytes = packed_tile_size(item->weights);
    if (item->twin) bytes += packed_tile_size(item->twin);
    return bytes;
}

/* Parts of about `bytes` of weights, in pairs of tiles. */
static struct matmul_cut cut_item(const struct matmul_item *item, size_t rows, size_t bytes)
{
    size_t tiles = packed_tiles(item->weights);
    size_t pairs = bytes / 2 / item_bytes(item);
    struct matmul_cut cut = {.tiles = pairs > 0 ? 2 * pairs : 2, .rows = PART_ROWS};
    if (cut.tiles > tiles) cut.tiles = tiles;
    if (item->weights->kind == PACKED_ROWS)
        cut.rows = rows; // OpenBLAS blocks for the caches itself
    cut.row_parts = ceil_div(rows, cut.rows);
    cut.parts = ceil_div(tiles, cut.tiles) * cut.row_parts;
    return cut;
}

void matmul_items(struct team *team, const struct ops *ops, struct matmul_acts *acts,
                  const struct matmul_item *items, size_t count)
{
    must(count <= MATMUL_ITEMS_MAX);
    size_t rows = acts->acts.rows;
    if (rows == 0) return;
    struct matmul_job job = {.ops = ops, .acts = &acts->acts, .items = items, .count = count};
    bool blas = false;
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        const struct packed *weights = items[i].weights;
        const struct packed *twin = items[i].twin;
        must(weights->cols == acts->acts.cols);
        must(!twin || (twin->cols == weights->cols && twin->rows == weights->rows));
        prepare(team, ops, acts, weights->kind);
        if (twin) prepare(team, ops, acts, twin->kind);
        blas |= weights->kind == PACKED_ROWS || (twin && twin->kind == PACKED_ROWS);
        total += item_bytes(&items[i]) * packed_tiles(weights);
    }
    size_t threads = team_size(team);
    if (blas) openblas_set_num_threads(1);
    size_t bytes = ceil_div(total, threads * (blas ? 1 : PARTS_PER_THREAD));
    if (!blas) bytes = smaller(bytes, PART_BYTES);
    size_t parts = 0;
    for (size_t i = 0; i < count; i++) {
        job.cuts[i] = cut_item(&items[i], rows, bytes);
        parts += job.cuts[i].parts;
    }
    team_run(team, parts, matmul_part, &job);
}

void matmul(struct team *team, const struct ops *ops, const struct packed *weights,
            struct matmul_acts *acts, const float *bias, float *out)
{
    struct matmul_item item = {.weights = weights, .out = out, .bias = bias};
    matmul_items(team, ops, acts, &item, 1);
}

#include "kernels/matmul.h"

#include "kernels/pack.h"
#include "kernels/quant.h"
#include "kernels/team.h"

#include "base/must.h"

#include <cblas.h>

enum {
    PART_BYTES = 256 << 10, // weights of one part: they stay in the second cache over all rows
    PART_ROWS = 64,         // rows of one part, when there are many
    PARTS_PER_THREAD = 4,   // enough for the threads to finish together
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

/* How one product is cut: parts of `tiles` tiles x `rows` rows, the rows of a group of tiles in a run so that its
 * weights are read from memory once. */
struct matmul_job {
    const struct ops *ops;
    const struct packed *weights;
    const struct acts *acts;
    const float *bias;
    float *out;
    size_t tiles;
    size_t rows;
    size_t row_parts;
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

static void matmul_part(void *argument, size_t part, size_t lane)
{
    (void)lane;
    const struct matmul_job *job = argument;
    size_t outputs = job->weights->rows;
    struct gemm gemm = {.weights = job->weights, .acts = job->acts, .out = job->out};
    gemm.tile_begin = part / job->row_parts * job->tiles;
    gemm.tile_end = smaller(gemm.tile_begin + job->tiles, packed_tiles(job->weights));
    gemm.row_begin = part % job->row_parts * job->rows;
    gemm.row_end = smaller(gemm.row_begin + job->rows, job->acts->rows);
    size_t n0 = gemm.tile_begin * PACK_TILE;
    size_t n1 = smaller(gemm.tile_end * PACK_TILE, outputs);

    if (job->weights->kind == PACKED_ROWS)
        run_blas(&gemm, n0, n1);
    else
        job->ops->gemm[gemm.weights->kind](&gemm);
    if (!job->bias) return;
    for (size_t row = gemm.row_begin; row < gemm.row_end; row++)
        job->ops->add(job->out + row * outputs + n0, job->bias + n0, n1 - n0);
}

void matmul(struct team *team, const struct ops *ops, const struct packed *weights,
            struct matmul_acts *acts, const float *bias, float *out)
{
    must(acts->acts.cols == weights->cols);
    if (acts->acts.rows == 0) return;
    prepare(team, ops, acts, weights->kind);

    struct matmul_job job = {.ops = ops, .weights = weights, .acts = &acts->acts, .bias = bias};
    job.out = out;
    size_t tiles = packed_tiles(weights);
    size_t threads = team_size(team);
    if (weights->kind == PACKED_ROWS) {
        // One panel a thread: OpenBLAS blocks for the caches itself.
        openblas_set_num_threads(1);
        job.tiles = ceil_div(tiles, threads);
        job.rows = acts->acts.rows;
    } else {
        size_t cached = PART_BYTES / packed_tile_size(weights);
        size_t shared = ceil_div(tiles, threads * PARTS_PER_THREAD);
        job.tiles = smaller(shared, cached > 0 ? cached : 1);
        job.rows = PART_ROWS;
    }
    job.row_parts = ceil_div(acts->acts.rows, job.rows);
    team_run(team, ceil_div(tiles, job.tiles) * job.row_parts, matmul_part, &job);
}

struct pack_job {
    struct packed *packed;
    const void *source;
    uint32_t type;
};

static void pack_part(void *argument, size_t part, size_t lane)
{
    (void)lane;
    const struct pack_job *job = argument;
    pack_rows(job->packed, job->type, job->source, part, part + 1);
}

void matmul_pack(struct team *team, struct packed *packed, uint32_t type, const void *source)
{
    struct pack_job job = {.packed = packed, .source = source, .type = type};
    team_run(team, packed_tiles(packed), pack_part, &job);
}

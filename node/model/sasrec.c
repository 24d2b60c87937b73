/* The forward pass: histories in bundles, a bundle a part of one job. Every sum is one output's own chain or a row's
 * 16-lane sum, so how histories are bundled changes no bit. */
#include "node/model/sasrec.h"

#include "node/model/sasrec_weights.h"

#include "kernels/ops.h"
#include "kernels/team.h"

#include "base/mem.h"
#include "base/must.h"

#include <math.h>
#include <string.h>

enum {
    BUNDLE_ROWS = 128 // or one history
};

/* Ids of which a vector is to be made. */
struct history {
    const int32_t *ids;
    uint32_t count;   // at most context_length
    uint32_t without; // the index of one that is not there; `count`: none
    float *vector;    // [dim], the result
};

/* What one thread works on. R = rows_max. */
struct work {
    const struct sasrec *model;
    float *x;         // [R, dim]
    float *q;         // [R, dim]; then what is added to x
    float *k;         // [R, dim]
    float *v;         // [R, dim]
    float *mixed;     // [R, dim]
    float *up;        // [R, ffn_dim]
    float *scores;    // [context_length]
    uint32_t *starts; // [R + 1]: the first row of each history, then the end
    size_t histories;
    size_t rows;
};

struct bundle {
    size_t first;
    size_t count;
};

struct sasrec_runner {
    const struct sasrec *model;
    struct team *team;
    struct sasrec_limits limits;
    struct ranking *ranking;
    size_t rows_max;                 // of a bundle
    size_t histories_max;            // of one job
    struct work *works;              // [lanes]
    struct history *histories;       // [histories_max]
    struct bundle *bundles;          // [histories_max]
    float *vectors;                  // [requests_max, dim]
    float *variants;                 // [histories_max, dim]: of histories that lack an id
    float *target;                   // [dim]
    float *weights;                  // [requests_max, ids_max]
    struct catalogue_query *queries; // [requests_max]
    struct sasrec_answer *answers;   // [requests_max]
    size_t count;
    void *memory;
    size_t memory_size;
};

/* out[rows] = x[rows] . weight^T + bias */
static void linear(const struct work *work, const struct sasrec_linear *linear, const float *x,
                   size_t rows, float *out)
{
    const struct ops *ops = work->model->ops;
    const struct packed *weight = &linear->weight;
    struct acts acts = {.x = x, .rows = rows, .cols = weight->cols};
    struct gemm gemm = {.weights = weight,
                        .acts = &acts,
                        .out = out,
                        .tile_end = packed_tiles(weight),
                        .row_end = rows};
    ops->gemm[PACKED_F32](&gemm);
    for (size_t row = 0; row < rows; row++)
        ops->add(out + row * weight->rows, linear->bias, weight->rows);
}

/* x = norm(x + more), row by row. */
static void add_norm(const struct work *work, const struct sasrec_norm *norm, const float *more,
                     size_t rows)
{
    const struct sasrec_shape *shape = &work->model->shape;
    const struct ops *ops = work->model->ops;
    ops->add(work->x, more, rows * shape->dim);
    for (size_t row = 0; row < rows; row++) {
        float *x = work->x + row * shape->dim;
        ops->layer_norm(x, x, norm->weight, norm->bias, shape->dim, shape->norm_epsilon);
    }
}

/* Items and positions of one history; the newest id takes the last position. */
static void embed(struct work *work, const struct history *history)
{
    const struct sasrec *model = work->model;
    size_t dim = model->shape.dim;
    uint32_t length = history->count - (history->without < history->count);
    uint32_t position = model->shape.context_length - length;
    work->starts[work->histories++] = (uint32_t)work->rows;
    for (uint32_t i = 0; i < history->count; i++) {
        if (i == history->without) continue;
        float *x = work->x + work->rows++ * dim;
        memcpy(x, catalogue_row(model->items, (size_t)history->ids[i]), dim * sizeof *x);
        model->ops->add(x, model->positions + position++ * dim, dim);
        model->ops->layer_norm(x, x, model->embedding_norm.weight, model->embedding_norm.bias, dim,
                               model->shape.norm_epsilon);
    }
    work->starts[work->histories] = (uint32_t)work->rows;
}

/* out[dim] = the values of `count` rows from `start` on, mixed for one query. */
static void attend(const struct work *work, const float *q, size_t start, size_t count, float *out)
{
    const struct sasrec_shape *shape = &work->model->shape;
    const struct ops *ops = work->model->ops;
    size_t dim = shape->dim;
    size_t head_dim = dim / shape->head_count;
    float scale = 1.0f / sqrtf((float)head_dim);
    float *scores = work->scores;
    for (size_t at = 0; at < dim; at += head_dim) {
        const float *k = work->k + start * dim + at;
        const float *v = work->v + start * dim + at;
        for (size_t i = 0; i < count; i++)
            scores[i] = ops->dot(q + at, k + i * dim, head_dim) * scale;
        float sum = ops->exp_sum(scores, scores, ops->max(scores, count), count);
        for (size_t d = 0; d < head_dim; d++)
            out[at + d] = 0;
        for (size_t i = 0; i < count; i++)
            for (size_t d = 0; d < head_dim; d++)
                out[at + d] = out[at + d] + scores[i] * v[i * dim + d];
        for (size_t d = 0; d < head_dim; d++)
            out[at + d] = out[at + d] / sum;
    }
}

static void attend_all(const struct work *work)
{
    size_t dim = work->model->shape.dim;
    for (size_t h = 0; h < work->histories; h++) {
        size_t start = work->starts[h];
        for (size_t row = start; row < work->starts[h + 1]; row++)
            attend(work, work->q + row * dim, start, row + 1 - start, work->mixed + row * dim);
    }
}

static void attend_newest(const struct work *work)
{
    size_t dim = work->model->shape.dim;
    for (size_t h = 0; h < work->histories; h++) {
        size_t start = work->starts[h];
        attend(work, work->q + h * dim, start, work->starts[h + 1] - start, work->mixed + h * dim);
    }
}

/* Only the newest row of each history goes on. */
static void keep_newest(struct work *work)
{
    size_t dim = work->model->shape.dim;
    for (size_t h = 0; h < work->histories; h++)
        memmove(work->x + h * dim, work->x + (work->starts[h + 1] - 1) * dim,
                dim * sizeof *work->x);
    work->rows = work->histories;
}

static void run_block(struct work *work, const struct sasrec_block *block, bool last)
{
    linear(work, &block->k, work->x, work->rows, work->k);
    linear(work, &block->v, work->x, work->rows, work->v);
    if (last) keep_newest(work);
    linear(work, &block->q, work->x, work->rows, work->q);
    if (last)
        attend_newest(work);
    else
        attend_all(work);
    linear(work, &block->output, work->mixed, work->rows, work->q);
    add_norm(work, &block->attention_norm, work->q, work->rows);
    linear(work, &block->up, work->x, work->rows, work->up);
    work->model->ops->gelu(work->up, work->rows * work->model->shape.ffn_dim);
    linear(work, &block->down, work->up, work->rows, work->q);
    add_norm(work, &block->output_norm, work->q, work->rows);
}

static void run_bundle(void *argument, size_t part, size_t lane)
{
    struct sasrec_runner *runner = argument;
    const struct sasrec *model = runner->model;
    const struct bundle *bundle = &runner->bundles[part];
    struct work *work = &runner->works[lane];
    work->rows = 0;
    work->histories = 0;
    for (size_t i = 0; i < bundle->count; i++)
        embed(work, &runner->histories[bundle->first + i]);
    for (uint32_t i = 0; i < model->shape.block_count; i++)
        run_block(work, &model->blocks[i], i + 1 == model->shape.block_count);
    size_t dim = model->shape.dim;
    for (size_t i = 0; i < bundle->count; i++)
        memcpy(runner->histories[bundle->first + i].vector, work->x + i * dim,
               dim * sizeof *work->x);
}

/* The vectors of runner->histories. */
static void run_histories(struct sasrec_runner *runner, size_t count)
{
    size_t bundles = 0;
    size_t rows = 0;
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || rows + runner->histories[i].count > runner->rows_max) {
            runner->bundles[bundles++] = (struct bundle){.first = i};
            rows = 0;
        }
        runner->bundles[bundles - 1].count++;
        rows += runner->histories[i].count;
    }
    team_run(runner->team, bundles, run_bundle, runner);
}

/* The newest ids of a request that count. */
static struct history history_of(const struct sasrec_runner *runner,
                                 const struct sasrec_request *request)
{
    uint32_t most = runner->model->shape.context_length;
    uint32_t count = request->id_count < most ? request->id_count : most;
    return (struct history){
        .ids = request->ids + request->id_count - count, .count = count, .without = count};
}

static bool all_finite(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

/* Vectors of all requests, and answers without hits. */
static void make_vectors(struct sasrec_runner *runner, const struct sasrec_request *requests)
{
    size_t dim = runner->model->shape.dim;
    for (size_t i = 0; i < runner->count; i++) {
        must(requests[i].id_count > 0 && requests[i].id_count <= runner->limits.ids_max);
        runner->histories[i] = history_of(runner, &requests[i]);
        runner->histories[i].vector = runner->vectors + i * dim;
    }
    run_histories(runner, runner->count);
    for (size_t i = 0; i < runner->count; i++) {
        const float *vector = runner->vectors + i * dim;
        runner->answers[i] =
            (struct sasrec_answer){.vector = vector, .broken = !all_finite(vector, dim)};
    }
}

static bool is_ranked(const struct sasrec_runner *runner, const struct sasrec_request *requests,
                      size_t index)
{
    return !runner->answers[index].broken && requests[index].query.top_count > 0;
}

static void rank(struct sasrec_runner *runner, const struct sasrec_request *requests)
{
    size_t queries = 0;
    for (size_t i = 0; i < runner->count; i++) {
        if (!is_ranked(runner, requests, i)) continue;
        runner->queries[queries] = requests[i].query;
        runner->queries[queries++].vector = runner->answers[i].vector;
    }
    ranking_run(runner->ranking, runner->queries, queries);
    size_t next = 0;
    for (size_t i = 0; i < runner->count; i++) {
        struct sasrec_answer *answer = &runner->answers[i];
        if (is_ranked(runner, requests, i))
            answer->hits = ranking_hits(runner->ranking, next++, &answer->hit_count);
    }
}

/* The mean of the hits' rows: its dot product with a vector is the mean of their scores. */
static void aim(struct sasrec_runner *runner, const struct sasrec_answer *answer)
{
    const struct sasrec *model = runner->model;
    size_t dim = model->shape.dim;
    memset(runner->target, 0, dim * sizeof *runner->target);
    for (uint32_t i = 0; i < answer->hit_count; i++)
        model->ops->add(runner->target, catalogue_row(model->items, (size_t)answer->hits[i].row),
                        dim);
    if (answer->hit_count > 0)
        model->ops->scale(runner->target, 1.0f / (float)answer->hit_count, dim);
}

static void explain(struct sasrec_runner *runner, const struct sasrec_request *request,
                    size_t index)
{
    const struct sasrec *model = runner->model;
    size_t dim = model->shape.dim;
    struct sasrec_answer *answer = &runner->answers[index];
    float *weights = runner->weights + index * runner->limits.ids_max;
    memset(weights, 0, request->id_count * sizeof *weights);
    answer->weights = weights;
    if (answer->broken) return;
    aim(runner, answer);
    float mean = model->ops->dot(answer->vector, runner->target, dim);
    struct history whole = history_of(runner, request);
    weights += request->id_count - whole.count;
    if (whole.count == 1) {
        weights[0] = mean;
        return;
    }
    for (uint32_t first = 0; first < whole.count; first += (uint32_t)runner->histories_max) {
        size_t count = whole.count - first;
        if (count > runner->histories_max) count = runner->histories_max;
        for (size_t i = 0; i < count; i++) {
            runner->histories[i] = whole;
            runner->histories[i].without = first + (uint32_t)i;
            runner->histories[i].vector = runner->variants + i * dim;
        }
        run_histories(runner, count);
        for (size_t i = 0; i < count; i++)
            weights[first + i] =
                mean - model->ops->dot(runner->variants + i * dim, runner->target, dim);
    }
}

void sasrec_run(struct sasrec_runner *runner, const struct sasrec_request *requests, size_t count)
{
    must(count <= runner->limits.requests_max);
    runner->count = count;
    make_vectors(runner, requests);
    rank(runner, requests);
    for (size_t i = 0; i < count; i++)
        if (requests[i].explain) explain(runner, &requests[i], i);
}

const struct sasrec_answer *sasrec_answer(const struct sasrec_runner *runner, size_t index)
{
    must(index < runner->count);
    return &runner->answers[index];
}

uint64_t sasrec_scored(const struct sasrec_runner *runner)
{
    return ranking_scored(runner->ranking);
}

/* Hands out areas of one mapping; without memory it only counts. */
struct areas {
    unsigned char *memory;
    size_t used;
};

static void *take(struct areas *areas, size_t count, size_t size)
{
    void *area = areas->memory ? areas->memory + areas->used : NULL;
    areas->used += (count * size + PACK_ALIGN - 1) / PACK_ALIGN * PACK_ALIGN;
    return area;
}

static void lay_out(struct sasrec_runner *runner, struct areas *areas)
{
    const struct sasrec_shape *shape = &runner->model->shape;
    size_t row = shape->dim * sizeof(float);
    for (size_t lane = 0; lane < team_size(runner->team); lane++) {
        struct work *work = &runner->works[lane];
        work->model = runner->model;
        work->x = take(areas, runner->rows_max, row);
        work->q = take(areas, runner->rows_max, row);
        work->k = take(areas, runner->rows_max, row);
        work->v = take(areas, runner->rows_max, row);
        work->mixed = take(areas, runner->rows_max, row);
        work->up = take(areas, runner->rows_max, shape->ffn_dim * sizeof(float));
        work->scores = take(areas, shape->context_length, sizeof(float));
        work->starts = take(areas, runner->rows_max + 1, sizeof(uint32_t));
    }
    size_t requests = runner->limits.requests_max;
    runner->histories = take(areas, runner->histories_max, sizeof *runner->histories);
    runner->bundles = take(areas, runner->histories_max, sizeof *runner->bundles);
    runner->vectors = take(areas, requests, row);
    runner->variants = take(areas, runner->histories_max, row);
    runner->target = take(areas, 1, row);
    runner->weights = take(areas, requests, runner->limits.ids_max * sizeof(float));
    runner->queries = take(areas, requests, sizeof *runner->queries);
    runner->answers = take(areas, requests, sizeof *runner->answers);
}

enum err sasrec_runner_new(struct sasrec_runner **out, const struct sasrec *model,
                           struct team *team, const struct sasrec_limits *limits)
{
    struct sasrec_runner *runner = mem_new(1, sizeof *runner);
    runner->model = model;
    runner->team = team;
    runner->limits = *limits;
    uint32_t context = model->shape.context_length;
    runner->rows_max = context > BUNDLE_ROWS ? context : BUNDLE_ROWS;
    runner->histories_max = limits->requests_max > context ? limits->requests_max : context;
    runner->works = mem_new(team_size(team), sizeof *runner->works);
    struct areas areas = {0};
    lay_out(runner, &areas);
    runner->memory_size = areas.used;
    runner->memory = mem_map(areas.used);
    enum err err = ERR_OK;
    if (!runner->memory)
        err =
            err_note(ERR_NO_MEMORY, "sasrec: the system refused %zu bytes to work on", areas.used);
    if (!err)
        err = ranking_new(&runner->ranking, model->items, team, limits->requests_max,
                          limits->top_max);
    if (err) {
        sasrec_runner_free(runner);
        return err;
    }
    areas = (struct areas){.memory = runner->memory};
    lay_out(runner, &areas);
    *out = runner;
    return ERR_OK;
}

void sasrec_runner_free(struct sasrec_runner *runner)
{
    if (!runner) return;
    ranking_free(runner->ranking);
    if (runner->memory) mem_unmap(runner->memory, runner->memory_size);
    mem_free(runner->works);
    mem_free(runner);
}

#include "node/model/forward.h"

#include "node/engine/kv.h"
#include "node/model/scratch.h"
#include "node/model/weights.h"

#include "kernels/attention.h"
#include "kernels/mathf.h"
#include "kernels/matmul.h"
#include "kernels/ops.h"
#include "kernels/quant.h"
#include "kernels/team.h"

#include "base/must.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

enum {
    PART_ROWS = 8,            // rows that a thread takes at once
    PART_VALUES_LEAST = 8192, // fewer values than this are not worth waking the team
    SPAN_QUERIES = 96, // rows x heads of one kv head that a thread takes at once of attention,
    SPANS_LEAST = 4    // or fewer, that each thread may have so many of them
};

static_assert((int)KV_BLOCK_TOKENS == (int)ATTENTION_BLOCK,
              "a KV block is the attention kernels' block");

/* Call fn(argument, part, lane) for every part of a job that is about `values` values of work. */
static void run_parts(struct forward *f, size_t parts, size_t values, team_fn fn, void *argument)
{
    if (values >= PART_VALUES_LEAST) {
        team_run(f->team, parts, fn, argument);
        return;
    }
    for (size_t part = 0; part < parts; part++)
        fn(argument, part, 0);
}

/* Parts of PART_ROWS rows of `width` values each. */
static void run_rows(struct forward *f, size_t rows, size_t width, team_fn fn, void *argument)
{
    run_parts(f, (rows + PART_ROWS - 1) / PART_ROWS, rows * width, fn, argument);
}

static size_t part_end(size_t part, size_t rows)
{
    size_t end = (part + 1) * PART_ROWS;
    return end < rows ? end : rows;
}

/* Arguments of the verbs below; each uses what it needs. */
struct rows_job {
    struct forward *f;
    const float *weight;
    const struct layer *layer;
    size_t layer_offset; // bytes from a block's start to its areas of this layer
    bool quantises;      // what is made is read in its quantised form
};

/* One row's norm into s.norm and, where its readers want that, its quantised form into f->acts. */
static void norm_part(void *argument, size_t part, size_t lane)
{
    (void)lane;
    const struct rows_job *job = argument;
    struct forward *f = job->f;
    size_t dim = f->model->shape.dim;
    struct matmul_range rows = {
        .row_begin = part * PART_ROWS, .row_end = part_end(part, f->row_count), .end = dim};
    for (size_t row = rows.row_begin; row < rows.row_end; row++) {
        f->ops->rms_norm(f->s.norm + row * dim, f->s.x + row * dim, job->weight, dim,
                         f->model->shape.norm_epsilon);
    }
    if (job->quantises) matmul_acts_quantise(&f->acts, f->ops, &rows);
}

/* The residual stream, normed, becomes the input of `reader` and its like. */
static void norm_rows(struct forward *f, const float *weight, const struct packed *reader)
{
    size_t dim = f->model->shape.dim;
    struct rows_job job = {.f = f, .weight = weight, .quantises = matmul_quantises(reader)};
    matmul_acts_set(&f->acts, f->s.norm, f->row_count, dim);
    run_rows(f, f->row_count, dim, norm_part, &job);
    if (job.quantises) matmul_acts_ready(&f->acts);
}

/* Finishes a projection into s.norm: x = x + projection. */
static void add_to_stream(void *argument, const struct matmul_range *part)
{
    struct forward *f = argument;
    size_t dim = f->model->shape.dim;
    for (size_t row = part->row_begin; row < part->row_end; row++) {
        size_t at = row * dim + part->begin;
        f->ops->add(f->s.x + at, f->s.norm + at, part->end - part->begin);
    }
}

static void project_to_stream(struct forward *f, const struct packed *weights,
                              struct matmul_acts *acts)
{
    struct matmul_item item = {
        .weights = weights, .out = f->s.norm, .finish = add_to_stream, .argument = f};
    matmul_items(f->team, f->ops, acts, &item, 1);
}

static void project_heads(struct forward *f, const struct layer *w)
{
    const struct matmul_item items[] = {
        {.weights = &w->q, .out = f->s.q, .bias = w->q_bias},
        {.weights = &w->k, .out = f->s.k, .bias = w->k_bias},
        {.weights = &w->v, .out = f->s.v, .bias = w->v_bias},
    };
    matmul_items(f->team, f->ops, &f->acts, items, sizeof items / sizeof *items);
}

/* Finishes gate and up: gate = silu(gate) * up, and its quantised form where down reads that. */
static void close_gate(void *argument, const struct matmul_range *part)
{
    const struct rows_job *job = argument;
    struct forward *f = job->f;
    for (size_t row = part->row_begin; row < part->row_end; row++) {
        size_t at = row * f->model->shape.ffn_dim + part->begin;
        f->ops->silu_mul(f->s.gate + at, f->s.up + at, part->end - part->begin);
    }
    if (job->quantises) matmul_acts_quantise(&f->gated, f->ops, part);
}

static void gate_rows(struct forward *f, const struct layer *w)
{
    struct rows_job job = {.f = f, .quantises = matmul_quantises(&w->down)};
    struct matmul_item item = {
        .weights = &w->gate,
        .out = f->s.gate,
        .twin = &w->up,
        .twin_out = f->s.up,
        .finish = close_gate,
        .argument = &job,
    };
    matmul_acts_set(&f->gated, f->s.gate, f->row_count, f->model->shape.ffn_dim);
    matmul_items(f->team, f->ops, &f->acts, &item, 1);
    if (job.quantises) matmul_acts_ready(&f->gated);
}

/* Norm each head where the architecture does (before the rotation), then rotate by the row's position. */
static void turn_heads(const struct forward *f, float *heads, size_t count, const float *norm,
                       size_t row)
{
    const struct model_shape *shape = &f->model->shape;
    size_t pairs = shape->rope_dim / 2;
    const float *cosines = f->s.cosines + row * pairs;
    const float *sines = f->s.sines + row * pairs;
    for (size_t head = 0; norm && head < count; head++) {
        float *at = heads + head * shape->head_dim;
        f->ops->rms_norm(at, at, norm, shape->head_dim, shape->norm_epsilon);
    }
    if (shape->rope_interleaved)
        f->ops->rope_interleaved(heads, count, shape->head_dim, cosines, sines, pairs);
    else
        f->ops->rope_halves(heads, count, shape->head_dim, cosines, sines, pairs);
}

static void place_part(void *argument, size_t part, size_t lane)
{
    (void)lane;
    const struct rows_job *job = argument;
    const struct forward *f = job->f;
    const struct model_shape *shape = &f->model->shape;
    enum kv_kind kind = f->model->kv;
    size_t area_size = attention_area_size(kind, shape->head_dim);
    for (size_t i = part * PART_ROWS; i < part_end(part, f->row_count); i++) {
        const struct row *row = &f->s.rows[i];
        float *k = f->s.k + i * f->kv_dim;
        const float *v = f->s.v + i * f->kv_dim;
        turn_heads(f, f->s.q + i * f->q_dim, shape->head_count, job->layer->q_norm, i);
        turn_heads(f, k, shape->kv_head_count, job->layer->k_norm, i);
        char *area = (char *)row->block + job->layer_offset;
        for (size_t head = 0; head < shape->kv_head_count; head++, area += area_size) {
            f->ops->kv_write[kind](area, row->position % KV_BLOCK_TOKENS,
                                   k + head * shape->head_dim, v + head * shape->head_dim,
                                   shape->head_dim);
        }
    }
}

static size_t layer_offset(const struct forward *f, uint32_t index)
{
    const char *first = kv_block_at(f->pool, 0, 0, 0);
    const char *layer = kv_block_at(f->pool, 0, index, 0);
    return (size_t)(layer - first);
}

/* Turn queries and keys to their positions; write keys and values to the pool. */
static void place_rows(struct forward *f, uint32_t index)
{
    struct rows_job job = {
        .f = f, .layer = &f->model->layers[index], .layer_offset = layer_offset(f, index)};
    run_rows(f, f->row_count, f->q_dim + 2 * f->kv_dim, place_part, &job);
}

/* What attention has made of some heads of its rows, while it is in this thread's cache. */
static void quantise_mixed(struct forward *f, const struct span *span, size_t begin, size_t width)
{
    struct matmul_range piece = {.row_begin = span->row,
                                 .row_end = span->row + span->count,
                                 .begin = begin,
                                 .end = begin + width};
    matmul_acts_quantise(&f->acts, f->ops, &piece);
}

/* One part is one span and one kv head. */
static void attend_part(void *argument, size_t part, size_t lane)
{
    (void)lane;
    const struct rows_job *job = argument;
    struct forward *f = job->f;
    const struct model_shape *shape = &f->model->shape;
    const struct span *span = &f->s.spans[part / shape->kv_head_count];
    size_t kv_head = part % shape->kv_head_count;
    size_t group = shape->head_count / shape->kv_head_count;
    size_t width = group * shape->head_dim;
    size_t at = span->row * f->q_dim + kv_head * width;
    struct attention attention = {
        .q = f->s.q + at,
        .out = f->s.mixed + at,
        .blocks = f->s.rows[span->row].blocks,
        .offset = job->layer_offset + kv_head * attention_area_size(f->model->kv, shape->head_dim),
        .rows = span->count,
        .row_stride = f->q_dim,
        .heads = group,
        .head_dim = shape->head_dim,
        .positions = (size_t)f->s.rows[span->row].position + 1,
        .scale = 1 / sqrtf((float)shape->head_dim),
    };
    f->ops->attention[f->model->kv](&attention);
    if (job->quantises) quantise_mixed(f, span, kv_head * width, width);
}

/* Queries times positions, nearly. */
static size_t span_work(const struct forward *f, const struct span *span)
{
    return span->count * ((size_t)f->s.rows[span->row].position + span->count);
}

/* Cut the step into spans: wide enough for the kernel, but some for each thread. The longest comes first, so that
 * no thread is left with one at the end. */
static void cut_spans(struct forward *f)
{
    const struct model_shape *shape = &f->model->shape;
    size_t share = f->row_count * shape->kv_head_count / (SPANS_LEAST * team_size(f->team));
    size_t most = SPAN_QUERIES / (shape->head_count / shape->kv_head_count);
    if (most > share) most = share;
    f->span_count = 0;
    for (size_t row = 0; row < f->row_count;) {
        const struct row *first = &f->s.rows[row];
        struct span span = {.row = (uint32_t)row, .count = 1};
        while (++row < f->row_count && span.count < most &&
               first[span.count].blocks == first->blocks)
            span.count++;
        size_t i = f->span_count++;
        for (; i > 0 && span_work(f, &f->s.spans[i - 1]) <= span_work(f, &span); i--)
            f->s.spans[i] = f->s.spans[i - 1];
        f->s.spans[i] = span;
    }
}

static void attend(struct forward *f, uint32_t index)
{
    const struct model_shape *shape = &f->model->shape;
    size_t width = shape->head_count / shape->kv_head_count * shape->head_dim;
    struct rows_job job = {
        .f = f,
        .layer_offset = layer_offset(f, index),
        .quantises = matmul_quantises(&f->model->layers[index].output) && width % QUANT_BLOCK == 0,
    };
    matmul_acts_set(&f->acts, f->s.mixed, f->row_count, f->q_dim);
    size_t parts = f->span_count * shape->kv_head_count;
    size_t values = 0;
    for (size_t i = 0; i < f->span_count; i++)
        values += span_work(f, &f->s.spans[i]) * f->q_dim;
    run_parts(f, parts, values, attend_part, &job);
    if (job.quantises) matmul_acts_ready(&f->acts);
}

/* Once the last layer's keys and values are written, a row that was not asked for has done its work. */
static void keep_asked(struct forward *f)
{
    size_t dim = f->model->shape.dim;
    size_t kept = 0;
    for (size_t row = 0; row < f->row_count; row++) {
        if (!f->s.rows[row].asked) continue;
        if (kept != row) {
            f->s.rows[kept] = f->s.rows[row];
            memcpy(f->s.x + kept * dim, f->s.x + row * dim, dim * sizeof *f->s.x);
            memcpy(f->s.q + kept * f->q_dim, f->s.q + row * f->q_dim, f->q_dim * sizeof *f->s.q);
        }
        kept++;
    }
    f->row_count = kept;
    cut_spans(f);
}

static void forward_layer(struct forward *f, uint32_t index)
{
    const struct layer *w = &f->model->layers[index];

    norm_rows(f, w->attention_norm, &w->q);
    project_heads(f, w);
    place_rows(f, index);
    if (index + 1 == f->model->shape.layer_count) keep_asked(f);
    if (f->row_count == 0) return;
    attend(f, index);
    project_to_stream(f, &w->output, &f->acts);

    norm_rows(f, w->ffn_norm, &w->gate);
    gate_rows(f, w);
    project_to_stream(f, &w->down, &f->gated);
}

/* The rows of one slice, from `row` on; `blocks` has room for its block list. Returns the list's length. */
static size_t take_slice(struct forward *f, const struct forward_slice *slice, struct row *row,
                         const void **blocks)
{
    const struct kv_table *table = slice->table;
    uint32_t end = slice->position + slice->count;
    must(slice->count > 0 && slice->logit_count <= slice->count);
    must(end <= f->limits.context_max && end <= table->token_count);
    size_t block_count = kv_blocks_for(end);
    for (size_t i = 0; i < block_count; i++)
        blocks[i] = kv_block_at(f->pool, table->blocks[i], 0, 0);
    for (uint32_t i = 0; i < slice->count; i++) {
        uint32_t position = slice->position + i;
        must(slice->ids[i] >= 0 && (uint32_t)slice->ids[i] < f->model->shape.vocab_size);
        row[i] = (struct row){
            .id = slice->ids[i],
            .position = position,
            .blocks = blocks,
            .block = kv_block_at(f->pool, table->blocks[position / KV_BLOCK_TOKENS], 0, 0),
            .asked = i >= slice->count - slice->logit_count,
        };
    }
    return block_count;
}

static void take_rows(struct forward *f, const struct forward_slice *slices, size_t slice_count)
{
    const void **blocks = f->s.blocks;
    f->row_count = 0;
    f->logit_count = 0;
    f->wants_logits = false;
    for (size_t i = 0; i < slice_count; i++) {
        must(slices[i].count <= f->limits.rows_max - f->row_count);
        blocks += take_slice(f, &slices[i], f->s.rows + f->row_count, blocks);
        f->row_count += slices[i].count;
        f->logit_count += slices[i].logit_count;
        f->wants_logits |= slices[i].logit_count > 0 && !slices[i].hidden;
    }
    must(f->logit_count <= f->limits.logits_max);
    cut_spans(f);
}

/* A row's embedding, and the turn of its position: the angle in double, rounded once. */
static void embed_part(void *argument, size_t part, size_t lane)
{
    (void)lane;
    const struct rows_job *job = argument;
    const struct forward *f = job->f;
    size_t dim = f->model->shape.dim;
    size_t pairs = f->model->shape.rope_dim / 2;
    for (size_t row = part * PART_ROWS; row < part_end(part, f->row_count); row++) {
        packed_row(&f->model->embedding, (size_t)f->s.rows[row].id, f->s.x + row * dim);
        double position = (double)f->s.rows[row].position;
        for (size_t i = 0; i < pairs; i++) {
            double sine;
            double cosine;
            mathd_sincos(position * f->rope_frequencies[i], &sine, &cosine);
            f->s.cosines[row * pairs + i] = (float)cosine;
            f->s.sines[row * pairs + i] = (float)sine;
        }
    }
}

static void embed_rows(struct forward *f)
{
    struct rows_job job = {.f = f};
    run_rows(f, f->row_count, f->model->shape.dim, embed_part, &job);
}

void forward_step(struct forward *forward, const struct forward_slice *slices, size_t slice_count)
{
    const struct model *model = forward->model;
    take_rows(forward, slices, slice_count);
    if (forward->row_count == 0) return;
    embed_rows(forward);
    for (uint32_t layer = 0; layer < model->shape.layer_count; layer++)
        forward_layer(forward, layer);
    if (forward->row_count == 0) return;
    must(forward->row_count == forward->logit_count);
    norm_rows(forward, model->output_norm, &model->head);
    if (!forward->wants_logits) return;
    matmul(forward->team, forward->ops, &model->head, &forward->acts, NULL, forward->s.logits);
}

float *forward_logits(struct forward *forward, size_t index)
{
    must(index < forward->logit_count);
    return forward->s.logits + index * forward->model->shape.vocab_size;
}

const float *forward_hidden(const struct forward *forward, size_t index)
{
    must(index < forward->logit_count);
    return forward->s.norm + index * forward->model->shape.dim;
}

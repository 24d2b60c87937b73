#include "node/model/forward.h"

#include "node/engine/kv.h"
#include "node/model/weights.h"

#include "kernels/attention.h"
#include "kernels/mathf.h"
#include "kernels/matmul.h"
#include "kernels/ops.h"
#include "kernels/team.h"

#include "base/mem.h"
#include "base/must.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

enum {
    PART_ROWS = 8,            // rows that a thread takes at once
    PART_VALUES_LEAST = 8192, // fewer values than this are not worth waking the team
    SPAN_QUERIES = 96, // rows x heads of one kv head that a thread takes at once of attention,
    SPANS_LEAST = 4,   // or fewer, that each thread may have so many of them
    SCRATCH_ALIGN = 64
};

static_assert((int)KV_BLOCK_TOKENS == (int)ATTENTION_BLOCK,
              "a KV block is the attention kernels' block");

/* One token of the step. */
struct row {
    int32_t id;
    uint32_t position;
    const void *const *blocks; // of its sequence, [ceil((position + 1) / 32)] and more
    void *block;               // the one that its own keys and values go to
    bool asked;                // for logits
};

/* Rows of one sequence that follow one another: what a thread takes at once of attention. */
struct span {
    uint32_t row; // the first
    uint32_t count;
};

/* What one step works on; R = rows_max, L = logits_max, C = context_max of the limits. */
struct scratch {
    struct row *rows;    // [R]
    struct span *spans;  // [R]
    const void **blocks; // [R * ceil(C / 32)]: the block lists of the slices, one behind the other
    float *x;            // [R, dim] the residual stream
    float *norm;         // [R, dim] its normed form; what a projection adds back to it
    float *q;            // [R, q_dim]
    float *k;            // [R, kv_dim]
    float *v;            // [R, kv_dim]
    float *mixed;        // [R, q_dim]
    float *gate;         // [R, ffn_dim]
    float *up;           // [R, ffn_dim]
    float *logits;       // [L, vocab_size]
    float *cosines;      // [C, rope_dim / 2]
    float *sines;        // [C, rope_dim / 2]
    void *acts;          // matmul_acts_size(R * the widest input)
};

struct forward {
    const struct model *model;
    const struct ops *ops;
    struct kv_pool *pool;
    struct team *team;
    struct forward_limits limits;
    size_t q_dim, kv_dim;
    double rope_frequencies[ATTENTION_DIM_MAX / 2]; // radians a position, [rope_dim / 2]
    size_t row_count; // of the step; from the last layer's attention on, of the rows asked for
    size_t span_count;
    size_t logit_count;
    struct matmul_acts acts;
    struct scratch s;
    void *memory;
    size_t memory_size;
};

/* Call fn(argument, part, lane) over parts of PART_ROWS rows of `width` values each. */
static void run_rows(struct forward *f, size_t rows, size_t width, team_fn fn, void *argument)
{
    size_t parts = (rows + PART_ROWS - 1) / PART_ROWS;
    if (rows * width >= PART_VALUES_LEAST) {
        team_run(f->team, parts, fn, argument);
        return;
    }
    for (size_t part = 0; part < parts; part++)
        fn(argument, part, 0);
}

static size_t part_end(size_t part, size_t rows)
{
    size_t end = (part + 1) * PART_ROWS;
    return end < rows ? end : rows;
}

/* Arguments of the row-wise verbs; each uses what it needs. */
struct rows_job {
    struct forward *f;
    float *out;
    const float *in;
    const float *weight;
    const struct layer *layer;
    size_t width;
    size_t layer_offset; // bytes from a block's start to its areas of this layer
};

static void norm_part(void *argument, size_t part, size_t lane)
{
    (void)lane;
    const struct rows_job *job = argument;
    const struct forward *f = job->f;
    for (size_t row = part * PART_ROWS; row < part_end(part, f->row_count); row++) {
        f->ops->rms_norm(job->out + row * job->width, job->in + row * job->width, job->weight,
                         job->width, f->model->shape.norm_epsilon);
    }
}

static void norm_rows(struct forward *f, float *out, const float *in, const float *weight)
{
    size_t dim = f->model->shape.dim;
    struct rows_job job = {.f = f, .out = out, .in = in, .weight = weight, .width = dim};
    run_rows(f, f->row_count, dim, norm_part, &job);
}

static void add_part(void *argument, size_t part, size_t lane)
{
    (void)lane;
    const struct rows_job *job = argument;
    size_t begin = part * PART_ROWS;
    size_t end = part_end(part, job->f->row_count);
    job->f->ops->add(job->out + begin * job->width, job->in + begin * job->width,
                     (end - begin) * job->width);
}

static void add_rows(struct forward *f, float *x, const float *y)
{
    size_t dim = f->model->shape.dim;
    struct rows_job job = {.f = f, .out = x, .in = y, .width = dim};
    run_rows(f, f->row_count, dim, add_part, &job);
}

static void silu_part(void *argument, size_t part, size_t lane)
{
    (void)lane;
    const struct rows_job *job = argument;
    size_t begin = part * PART_ROWS;
    size_t end = part_end(part, job->f->row_count);
    job->f->ops->silu_mul(job->out + begin * job->width, job->in + begin * job->width,
                          (end - begin) * job->width);
}

static void gated_silu(struct forward *f, float *gate, const float *up)
{
    size_t width = f->model->shape.ffn_dim;
    struct rows_job job = {.f = f, .out = gate, .in = up, .width = width};
    run_rows(f, f->row_count, width, silu_part, &job);
}

static void set_input(struct forward *f, const float *x, size_t width)
{
    matmul_acts_set(&f->acts, x, f->row_count, width);
}

static void project(struct forward *f, float *out, const struct packed *weights, const float *bias)
{
    matmul(f->team, f->ops, weights, &f->acts, bias, out);
}

/* Norm each head where the architecture does (before the rotation), then rotate by the position. */
static void turn_heads(const struct forward *f, float *heads, size_t count, const float *norm,
                       uint32_t position)
{
    const struct model_shape *shape = &f->model->shape;
    size_t pairs = shape->rope_dim / 2;
    const float *cosines = f->s.cosines + position * pairs;
    const float *sines = f->s.sines + position * pairs;
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
        turn_heads(f, f->s.q + i * f->q_dim, shape->head_count, job->layer->q_norm, row->position);
        turn_heads(f, k, shape->kv_head_count, job->layer->k_norm, row->position);
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

/* One part is one span and one kv head. */
static void attend_part(void *argument, size_t part, size_t lane)
{
    (void)lane;
    const struct rows_job *job = argument;
    const struct forward *f = job->f;
    const struct model_shape *shape = &f->model->shape;
    const struct span *span = &f->s.spans[part / shape->kv_head_count];
    size_t kv_head = part % shape->kv_head_count;
    size_t group = shape->head_count / shape->kv_head_count;
    size_t at = span->row * f->q_dim + kv_head * group * shape->head_dim;
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
    struct rows_job job = {.f = f, .layer_offset = layer_offset(f, index)};
    size_t parts = f->span_count * f->model->shape.kv_head_count;
    size_t values = 0;
    for (size_t i = 0; i < f->span_count; i++)
        values += span_work(f, &f->s.spans[i]) * f->q_dim;
    if (values >= PART_VALUES_LEAST) {
        team_run(f->team, parts, attend_part, &job);
        return;
    }
    for (size_t part = 0; part < parts; part++)
        attend_part(&job, part, 0);
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
    struct scratch *s = &f->s;

    norm_rows(f, s->norm, s->x, w->attention_norm);
    set_input(f, s->norm, f->model->shape.dim);
    project(f, s->q, &w->q, w->q_bias);
    project(f, s->k, &w->k, w->k_bias);
    project(f, s->v, &w->v, w->v_bias);
    place_rows(f, index);
    if (index + 1 == f->model->shape.layer_count) keep_asked(f);
    if (f->row_count == 0) return;
    attend(f, index);
    set_input(f, s->mixed, f->q_dim);
    project(f, s->norm, &w->output, NULL);
    add_rows(f, s->x, s->norm);

    norm_rows(f, s->norm, s->x, w->ffn_norm);
    set_input(f, s->norm, f->model->shape.dim);
    project(f, s->gate, &w->gate, NULL);
    project(f, s->up, &w->up, NULL);
    gated_silu(f, s->gate, s->up);
    set_input(f, s->gate, f->model->shape.ffn_dim);
    project(f, s->norm, &w->down, NULL);
    add_rows(f, s->x, s->norm);
}

/* The rows of one slice, from `row` on; `blocks` has room for its block list. Returns the list's length. */
static size_t take_slice(struct forward *f, const struct forward_slice *slice, struct row *row,
                         const void **blocks)
{
    const struct kv_table *table = slice->table;
    uint32_t end = slice->position + slice->count;
    must(slice->count > 0 && slice->logit_count <= slice->count);
    must(end <= f->limits.context_max && end <= table->token_count);
    size_t block_count = (end + KV_BLOCK_TOKENS - 1) / KV_BLOCK_TOKENS;
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
    for (size_t i = 0; i < slice_count; i++) {
        must(slices[i].count <= f->limits.rows_max - f->row_count);
        blocks += take_slice(f, &slices[i], f->s.rows + f->row_count, blocks);
        f->row_count += slices[i].count;
        f->logit_count += slices[i].logit_count;
    }
    must(f->logit_count <= f->limits.logits_max);
    cut_spans(f);
}

static void embed_part(void *argument, size_t part, size_t lane)
{
    (void)lane;
    const struct rows_job *job = argument;
    for (size_t row = part * PART_ROWS; row < part_end(part, job->f->row_count); row++) {
        packed_row(&job->f->model->embedding, (size_t)job->f->s.rows[row].id,
                   job->out + row * job->width);
    }
}

static void embed_rows(struct forward *f)
{
    struct rows_job job = {.f = f, .out = f->s.x, .width = f->model->shape.dim};
    run_rows(f, f->row_count, job.width, embed_part, &job);
}

void forward_step(struct forward *forward, const struct forward_slice *slices, size_t slice_count)
{
    take_rows(forward, slices, slice_count);
    if (forward->row_count == 0) return;
    embed_rows(forward);
    for (uint32_t layer = 0; layer < forward->model->shape.layer_count; layer++)
        forward_layer(forward, layer);
    if (forward->row_count == 0) return;
    must(forward->row_count == forward->logit_count);
    norm_rows(forward, forward->s.norm, forward->s.x, forward->model->output_norm);
    set_input(forward, forward->s.norm, forward->model->shape.dim);
    project(forward, forward->s.logits, &forward->model->head, NULL);
}

float *forward_logits(struct forward *forward, size_t index)
{
    must(index < forward->logit_count);
    return forward->s.logits + index * forward->model->shape.vocab_size;
}

/* Memory is laid out twice by the same lines: over nothing, to learn its size, then for good. */
struct carver {
    unsigned char *base; // NULL the first time
    size_t used;
};

static void *carve(struct carver *carver, size_t count, size_t size)
{
    void *at = carver->base ? carver->base + carver->used : NULL;
    carver->used += (count * size + SCRATCH_ALIGN - 1) / SCRATCH_ALIGN * SCRATCH_ALIGN;
    return at;
}

static size_t widest_input(const struct forward *f)
{
    const struct model_shape *shape = &f->model->shape;
    size_t widest = shape->dim > f->q_dim ? shape->dim : f->q_dim;
    return widest > shape->ffn_dim ? widest : shape->ffn_dim;
}

/* Every product stays below 2^50: the model's bounds are those of weights.h, the limits' are checked by
 * forward_new(). Returns the size. */
static size_t lay_out(struct forward *f, unsigned char *base)
{
    const struct model_shape *shape = &f->model->shape;
    size_t rows = f->limits.rows_max;
    size_t context = f->limits.context_max;
    size_t blocks = (context + KV_BLOCK_TOKENS - 1) / KV_BLOCK_TOKENS;
    size_t pairs = shape->rope_dim / 2;
    struct carver carver = {.base = base};
    f->s = (struct scratch){
        .rows = carve(&carver, rows, sizeof(struct row)),
        .spans = carve(&carver, rows, sizeof(struct span)),
        .blocks = carve(&carver, rows * blocks, sizeof(void *)),
        .x = carve(&carver, rows * shape->dim, sizeof(float)),
        .norm = carve(&carver, rows * shape->dim, sizeof(float)),
        .q = carve(&carver, rows * f->q_dim, sizeof(float)),
        .k = carve(&carver, rows * f->kv_dim, sizeof(float)),
        .v = carve(&carver, rows * f->kv_dim, sizeof(float)),
        .mixed = carve(&carver, rows * f->q_dim, sizeof(float)),
        .gate = carve(&carver, rows * shape->ffn_dim, sizeof(float)),
        .up = carve(&carver, rows * shape->ffn_dim, sizeof(float)),
        .logits = carve(&carver, (size_t)f->limits.logits_max * shape->vocab_size, sizeof(float)),
        .cosines = carve(&carver, context * pairs, sizeof(float)),
        .sines = carve(&carver, context * pairs, sizeof(float)),
        .acts = carve(&carver, matmul_acts_size(rows * widest_input(f)), 1),
    };
    return carver.used;
}

/* One part is one position: angle = position * base^(-2i / rope_dim) / factor, in double, rounded once. */
static void rope_part(void *argument, size_t part, size_t lane)
{
    (void)lane;
    const struct forward *f = argument;
    const double *frequencies = f->rope_frequencies;
    size_t pairs = f->model->shape.rope_dim / 2;
    for (size_t i = 0; i < pairs; i++) {
        double sine;
        double cosine;
        mathd_sincos((double)part * frequencies[i], &sine, &cosine);
        f->s.cosines[part * pairs + i] = (float)cosine;
        f->s.sines[part * pairs + i] = (float)sine;
    }
}

static void fill_rope(struct forward *f)
{
    const struct model *model = f->model;
    for (uint32_t i = 0; i < model->shape.rope_dim / 2; i++) {
        double exponent = -2.0 * i / model->shape.rope_dim;
        double factor = model->rope_factors ? (double)model->rope_factors[i] : 1;
        f->rope_frequencies[i] = mathd_pow((double)model->shape.rope_base, exponent) / factor;
    }
    team_run(f->team, f->limits.context_max, rope_part, f);
}

enum err forward_new(struct forward **out, const struct model *model, struct kv_pool *pool,
                     struct team *team, const struct forward_limits *limits)
{
    must(kv_kind(pool) == model->kv); // what the numerics digest says
    must(limits->rows_max > 0 && limits->logits_max <= MODEL_VOCAB_MAX);
    must(limits->context_max > 0 && limits->context_max <= MODEL_CONTEXT_MAX);
    if (limits->rows_max > FORWARD_ROWS_MAX) {
        return err_note(ERR_INVALID, "forward: steps of %u tokens, at most %d", limits->rows_max,
                        FORWARD_ROWS_MAX);
    }
    struct forward *f = mem_new(1, sizeof *f);
    f->model = model;
    f->ops = model->ops;
    f->pool = pool;
    f->team = team;
    f->limits = *limits;
    f->q_dim = (size_t)model->shape.head_count * model->shape.head_dim;
    f->kv_dim = (size_t)model->shape.kv_head_count * model->shape.head_dim;
    f->memory_size = lay_out(f, NULL);
    f->memory = mem_map(f->memory_size);
    if (!f->memory) {
        size_t size = f->memory_size;
        forward_free(f);
        return err_note(ERR_NO_MEMORY,
                        "forward: the system refused %zu bytes for %u rows and %u positions", size,
                        limits->rows_max, limits->context_max);
    }
    lay_out(f, f->memory);
    matmul_acts_init(&f->acts, limits->rows_max * widest_input(f), f->s.acts);
    fill_rope(f);
    *out = f;
    return ERR_OK;
}

void forward_free(struct forward *forward)
{
    if (!forward) return;
    mem_unmap(forward->memory, forward->memory_size);
    mem_free(forward);
}

#include "node/model/bert.h"

#include "node/model/bert_run.h"
#include "node/model/bert_weights.h"

#include "kernels/mathf.h"
#include "kernels/matmul.h"
#include "kernels/ops.h"
#include "kernels/team.h"

#include "base/mem.h"
#include "base/must.h"

#include <math.h>
#include <string.h>

enum {
    PART_ROWS = 16, // rows that a thread takes at once
    ALIGN = 64
};

/* Memory is laid out twice by the same lines: over nothing, to learn its size, then for good. */
struct carver {
    unsigned char *base; // NULL the first time
    size_t used;
};

static void *carve(struct carver *carver, size_t count, size_t size)
{
    void *at = carver->base ? carver->base + carver->used : NULL;
    carver->used += (count * size + ALIGN - 1) / ALIGN * ALIGN;
    return at;
}

static size_t widest(const struct bert_shape *shape)
{
    return shape->dim > shape->ffn_dim ? shape->dim : shape->ffn_dim;
}

static void lay_out_lane(struct carver *carver, struct bert_lane *lane,
                         const struct bert_shape *shape)
{
    size_t count = (shape->context_length + PACK_TILE - 1) / PACK_TILE * PACK_TILE;
    size_t dim = (shape->head_dim + PACK_TILE - 1) / PACK_TILE * PACK_TILE;
    lane->keys = carve(carver, count * dim, sizeof(float));
    lane->values = carve(carver, count * dim, sizeof(float));
    lane->q = carve(carver, BERT_QUERIES * dim, sizeof(float));
    lane->scores = carve(carver, BERT_QUERIES * count, sizeof(float));
    lane->sums = carve(carver, BERT_QUERIES, sizeof(float));
    lane->mix = carve(carver, BERT_QUERIES * dim, sizeof(float));
    lane->row = carve(carver, shape->dim, sizeof(float));
}

static size_t lay_out(struct bert_run *run, unsigned char *base)
{
    const struct bert_shape *shape = &run->bert->shape;
    struct carver carver = {.base = base};
    size_t rows = run->limits.rows_max, texts = run->limits.texts_max, dim = shape->dim;
    run->places = carve(&carver, texts, sizeof *run->places);
    run->spans = carve(&carver, rows / BERT_QUERIES + texts, sizeof *run->spans);
    run->x = carve(&carver, rows * dim, sizeof(float));
    run->y = carve(&carver, rows * dim, sizeof(float));
    run->q = carve(&carver, rows * dim, sizeof(float));
    run->k = carve(&carver, rows * dim, sizeof(float));
    run->v = carve(&carver, rows * dim, sizeof(float));
    run->mixed = carve(&carver, rows * dim, sizeof(float));
    run->up = carve(&carver, rows * shape->ffn_dim, sizeof(float));
    run->answers = carve(&carver, texts * dim, sizeof(float));
    for (size_t i = 0; i < team_size(run->team); i++)
        lay_out_lane(&carver, &run->lanes[i], shape);
    size_t values = rows * widest(shape);
    void *area = carve(&carver, matmul_acts_size(values), 1);
    if (base) matmul_acts_init(&run->acts, values, area);
    return carver.used;
}

enum err bert_run_new(struct bert_run **out, const struct bert *bert, struct team *team,
                      const struct bert_limits *limits)
{
    must(limits->rows_max > 0 && limits->texts_max > 0);
    struct bert_run *run = mem_new(1, sizeof *run);
    run->bert = bert;
    run->ops = bert->ops;
    run->team = team;
    run->limits = *limits;
    run->lanes = mem_new(team_size(team), sizeof *run->lanes);
    run->memory_size = lay_out(run, NULL);
    run->memory = mem_map(run->memory_size);
    if (!run->memory) {
        size_t size = run->memory_size;
        bert_run_free(run);
        return err_note(ERR_NO_MEMORY, "encoder: the system refused %zu bytes for %u rows", size,
                        limits->rows_max);
    }
    lay_out(run, run->memory);
    *out = run;
    return ERR_OK;
}

void bert_run_free(struct bert_run *run)
{
    if (!run) return;
    mem_unmap(run->memory, run->memory_size);
    mem_free(run->lanes);
    mem_free(run);
}

/* Parts of PART_ROWS rows. */
static void run_rows(struct bert_run *run, team_fn fn, void *argument)
{
    team_run(run->team, (run->row_count + PART_ROWS - 1) / PART_ROWS, fn, argument);
}

static size_t part_end(const struct bert_run *run, size_t part)
{
    size_t end = (part + 1) * PART_ROWS;
    return end < run->row_count ? end : run->row_count;
}

/* A token of a text becomes a row: its own embedding, its type's, its position's, and the norm over them. */
static void embed_token(struct bert_run *run, const struct bert_place *place, uint32_t at,
                        float *other)
{
    const struct bert *bert = run->bert;
    size_t dim = bert->shape.dim;
    float *x = run->x + (place->row + at) * dim;
    uint32_t segment = place->text.segment;
    size_t type = segment > 0 && at >= segment && bert->shape.type_count > 1;
    packed_row(&bert->embedding, (size_t)place->text.ids[at], x);
    if (bert->shape.type_count > 0) {
        packed_row(&bert->types, type, other);
        run->ops->add(x, other, dim);
    }
    packed_row(&bert->positions, at, other);
    run->ops->add(x, other, dim);
    run->ops->layer_norm(x, x, bert->norm, bert->norm_bias, dim, bert->shape.norm_epsilon);
}

static void embed_part(void *argument, size_t part, size_t lane)
{
    struct bert_run *run = argument;
    const struct bert_place *place = &run->places[part];
    for (uint32_t at = 0; at < place->text.count; at++)
        embed_token(run, place, at, run->lanes[lane].row);
}

struct norm_job {
    struct bert_run *run;
    const float *weight;
    const float *bias;
};

static void norm_part(void *argument, size_t part, size_t lane)
{
    (void)lane;
    const struct norm_job *job = argument;
    struct bert_run *run = job->run;
    size_t dim = run->bert->shape.dim;
    for (size_t row = part * PART_ROWS; row < part_end(run, part); row++) {
        float *x = run->x + row * dim;
        run->ops->add(x, run->y + row * dim, dim);
        run->ops->layer_norm(x, x, job->weight, job->bias, dim, run->bert->shape.norm_epsilon);
    }
}

/* x = norm(x + y) */
static void add_and_norm(struct bert_run *run, const float *weight, const float *bias)
{
    struct norm_job job = {.run = run, .weight = weight, .bias = bias};
    run_rows(run, norm_part, &job);
}

static void project_heads(struct bert_run *run, const struct bert_layer *w)
{
    const struct matmul_item items[] = {
        {.weights = &w->q, .out = run->q, .bias = w->q_bias},
        {.weights = &w->k, .out = run->k, .bias = w->k_bias},
        {.weights = &w->v, .out = run->v, .bias = w->v_bias},
    };
    matmul_acts_set(&run->acts, run->x, run->row_count, run->bert->shape.dim);
    matmul_items(run->team, run->ops, &run->acts, items, sizeof items / sizeof *items);
}

static void project(struct bert_run *run, const struct packed *weights, const float *bias,
                    const float *x, float *out)
{
    matmul_acts_set(&run->acts, x, run->row_count, weights->cols);
    matmul(run->team, run->ops, weights, &run->acts, bias, out);
}

static void bend(void *argument, const struct matmul_range *part)
{
    struct bert_run *run = argument;
    for (size_t row = part->row_begin; row < part->row_end; row++) {
        float *at = run->up + row * run->bert->shape.ffn_dim + part->begin;
        run->ops->gelu(at, part->end - part->begin);
    }
}

static void project_up(struct bert_run *run, const struct bert_layer *w)
{
    struct matmul_item item = {
        .weights = &w->up, .out = run->up, .bias = w->up_bias, .finish = bend, .argument = run};
    matmul_acts_set(&run->acts, run->x, run->row_count, run->bert->shape.dim);
    matmul_items(run->team, run->ops, &run->acts, &item, 1);
}

static void run_layer(struct bert_run *run, const struct bert_layer *w)
{
    project_heads(run, w);
    bert_attend(run);
    project(run, &w->output, w->output_bias, run->mixed, run->y);
    add_and_norm(run, w->mixed_norm, w->mixed_norm_bias);

    project_up(run, w);
    project(run, &w->down, w->down_bias, run->up, run->y);
    add_and_norm(run, w->out_norm, w->out_norm_bias);
}

/* out[i] = in[i] / its length. One chain in double. */
static void to_unit_length(float *out, const float *in, size_t n)
{
    double squares = 0;
    for (size_t i = 0; i < n; i++)
        squares += (double)in[i] * (double)in[i];
    double factor = squares > 0 ? 1 / sqrt(squares) : 0;
    for (size_t i = 0; i < n; i++)
        out[i] = (float)((double)in[i] * factor);
}

static void pool(const struct bert_run *run, const struct bert_place *place, float *out)
{
    size_t dim = run->bert->shape.dim;
    const float *x = run->x + place->row * dim;
    memcpy(out, x, dim * sizeof *out);
    for (uint32_t at = 1; run->bert->shape.pooling == BERT_POOL_MEAN && at < place->text.count;
         at++)
        run->ops->add(out, x + at * dim, dim);
    to_unit_length(out, out, dim); // the length takes the count with it
}

/* One chain for each output, as the products'; a matrix of one row is not worth more. */
static float product(const struct packed *weights, size_t row, const float *x, float *scratch)
{
    float sum = 0;
    packed_row(weights, row, scratch);
    for (size_t i = 0; i < weights->cols; i++)
        sum = fmaf(x[i], scratch[i], sum);
    return sum;
}

static float score(const struct bert_run *run, const struct bert_place *place,
                   struct bert_lane *lane, float *dense)
{
    const struct bert *bert = run->bert;
    const float *x = run->x + place->row * bert->shape.dim;
    for (size_t i = 0; bert->cls_bias && i < bert->shape.dim; i++)
        dense[i] = mathf_tanh(product(&bert->cls, i, x, lane->row) + bert->cls_bias[i]);
    float sum = product(&bert->cls_output, 0, bert->cls_bias ? dense : x, lane->row);
    return bert->cls_output_bias ? sum + bert->cls_output_bias[0] : sum;
}

static void answer_part(void *argument, size_t part, size_t lane)
{
    struct bert_run *run = argument;
    const struct bert_place *place = &run->places[part];
    float *out = run->answers + part * run->bert->shape.dim;
    if (place->text.scores)
        out[0] = score(run, place, &run->lanes[lane], out);
    else
        pool(run, place, out);
}

static void take_texts(struct bert_run *run, const struct bert_text *texts, size_t count)
{
    must(count <= run->limits.texts_max);
    run->text_count = count;
    run->row_count = 0;
    for (size_t i = 0; i < count; i++) {
        must(texts[i].count > 0 && texts[i].count <= run->bert->shape.context_length);
        must(texts[i].count <= run->limits.rows_max - run->row_count);
        run->places[i] = (struct bert_place){.text = texts[i], .row = (uint32_t)run->row_count};
        run->row_count += texts[i].count;
    }
    bert_cut_spans(run);
}

void bert_step(struct bert_run *run, const struct bert_text *texts, size_t count)
{
    take_texts(run, texts, count);
    team_run(run->team, count, embed_part, run);
    for (uint32_t layer = 0; layer < run->bert->shape.layer_count; layer++)
        run_layer(run, &run->bert->layers[layer]);
    team_run(run->team, count, answer_part, run);
}

const float *bert_answer(const struct bert_run *run, size_t index)
{
    must(index < run->text_count);
    return run->answers + index * run->bert->shape.dim;
}

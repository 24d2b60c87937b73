/* Attention over a whole text, head by head, through the products of float matrices: keys and values of a head are packed
 * as a matrix's weights are, so that both products are the exact kernels' (docs/numerics.md, "Encoders"). */
#include "node/model/bert_run.h"
#include "node/model/bert_weights.h"

#include "kernels/team.h"

#include <math.h>
#include <string.h>

/* One head of one span. `stride` is between rows of q, k, v and mixed. */
struct head {
    struct bert_run *run;
    struct bert_lane *lane;
    size_t stride, dim;
    size_t at;    // offset of the text's first row and the head in q, k, v and mixed
    size_t count; // tokens of the text
    size_t first, queries;
};

void bert_cut_spans(struct bert_run *run)
{
    run->span_count = 0;
    for (size_t i = 0; i < run->text_count; i++) {
        uint32_t count = run->places[i].text.count;
        for (uint32_t first = 0; first < count; first += BERT_QUERIES) {
            uint32_t left = count - first;
            run->spans[run->span_count++] =
                (struct bert_span){.place = (uint32_t)i,
                                   .first = first,
                                   .count = left < BERT_QUERIES ? left : BERT_QUERIES};
        }
    }
}

static size_t tiles_of(size_t count)
{
    return (count + PACK_TILE - 1) / PACK_TILE;
}

/* keys[tile][d][position in the tile], zeros behind the last. */
static void pack_keys(const struct head *head)
{
    const float *k = head->run->k + head->at;
    for (size_t tile = 0; tile < tiles_of(head->count); tile++) {
        float *out = head->lane->keys + tile * head->dim * PACK_TILE;
        size_t left = head->count - tile * PACK_TILE;
        size_t lanes = left < PACK_TILE ? left : PACK_TILE;
        if (lanes < PACK_TILE) memset(out, 0, head->dim * PACK_TILE * sizeof *out);
        for (size_t i = 0; i < lanes; i++) {
            const float *row = k + (tile * PACK_TILE + i) * head->stride;
            for (size_t d = 0; d < head->dim; d++)
                out[d * PACK_TILE + i] = row[d];
        }
    }
}

/* values[tile of dimensions][position][dimension in the tile]. */
static void pack_values(const struct head *head)
{
    const float *v = head->run->v + head->at;
    for (size_t tile = 0; tile < tiles_of(head->dim); tile++) {
        float *out = head->lane->values + tile * head->count * PACK_TILE;
        size_t left = head->dim - tile * PACK_TILE;
        size_t size = (left < PACK_TILE ? left : PACK_TILE) * sizeof *out;
        if (left < PACK_TILE) memset(out, 0, head->count * PACK_TILE * sizeof *out);
        for (size_t i = 0; i < head->count; i++)
            memcpy(out + i * PACK_TILE, v + i * head->stride + tile * PACK_TILE, size);
    }
}

static void scale_queries(const struct head *head)
{
    const float *q = head->run->q + head->at + head->first * head->stride;
    float scale = 1 / sqrtf((float)head->dim);
    for (size_t i = 0; i < head->queries; i++)
        memcpy(head->lane->q + i * head->dim, q + i * head->stride, head->dim * sizeof *q);
    head->run->ops->scale(head->lane->q, scale, head->queries * head->dim);
}

/* out [queries][rows] = x [queries][cols] times a packed float matrix. */
static void multiply(const struct head *head, const float *x, void *weights, size_t rows,
                     size_t cols, float *out)
{
    struct packed packed = {.kind = PACKED_F32, .rows = rows, .cols = cols, .weights = weights};
    struct acts acts = {.x = x, .rows = head->queries, .cols = cols};
    struct gemm gemm = {.weights = &packed,
                        .acts = &acts,
                        .out = out,
                        .tile_end = packed_tiles(&packed),
                        .row_end = head->queries};
    head->run->ops->gemm[PACKED_F32](&gemm);
}

static void mix_values(const struct head *head)
{
    const struct ops *ops = head->run->ops;
    struct bert_lane *lane = head->lane;
    float *out = head->run->mixed + head->at + head->first * head->stride;
    multiply(head, lane->q, lane->keys, head->count, head->dim, lane->scores);
    for (size_t i = 0; i < head->queries; i++) {
        float *row = lane->scores + i * head->count;
        float sum = ops->exp_sum(row, row, ops->max(row, head->count), head->count);
        lane->sums[i] = 1 / sum;
    }
    multiply(head, lane->scores, lane->values, head->dim, head->count, lane->mix);
    for (size_t i = 0; i < head->queries; i++) {
        float *row = lane->mix + i * head->dim;
        ops->scale(row, lane->sums[i], head->dim);
        memcpy(out + i * head->stride, row, head->dim * sizeof *row);
    }
}

static void attend_part(void *argument, size_t part, size_t lane)
{
    struct bert_run *run = argument;
    const struct bert_shape *shape = &run->bert->shape;
    const struct bert_span *span = &run->spans[part / shape->head_count];
    const struct bert_place *place = &run->places[span->place];
    struct head head = {
        .run = run,
        .lane = &run->lanes[lane],
        .stride = shape->dim,
        .dim = shape->head_dim,
        .at = (size_t)place->row * shape->dim + part % shape->head_count * shape->head_dim,
        .count = place->text.count,
        .first = span->first,
        .queries = span->count,
    };
    pack_keys(&head);
    pack_values(&head);
    scale_queries(&head);
    mix_values(&head);
}

void bert_attend(struct bert_run *run)
{
    team_run(run->team, run->span_count * run->bert->shape.head_count, attend_part, run);
}

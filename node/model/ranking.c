/* The walk over the rows (node/model/catalogue.h says what it promises). A part is one chunk for all queries; each
 * thread keeps a list of its own for each query, and the leader merges them. */
#include "node/best.h"
#include "node/model/catalogue_rows.h"

#include "kernels/matmul.h"
#include "kernels/ops.h"
#include "kernels/quant.h"
#include "kernels/team.h"

#include "base/mem.h"
#include "base/must.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum {
    CHUNK_GROUPS = CATALOGUE_CHUNK / CATALOGUE_GROUP
};

/* What rounding a query can have cost. */
struct query_bound {
    double error;   // |x - x'|
    double rounded; // |x'|
    double norm;    // |x|
};

struct ranking {
    const struct catalogue *catalogue;
    struct team *team;
    uint32_t queries_max;
    uint32_t top_max;

    const struct catalogue_query *queries; // of the run
    size_t count;
    size_t
        *walks; // [walk_count] the queries that walk over the rows: all but those with candidates
    size_t walk_count;
    size_t first_chunk;
    struct matmul_acts acts;
    float *vectors;             // [queries_max][width], of those that walk
    struct query_bound *bounds; // [queries_max], of those that walk
    struct best *lists;         // [lanes][queries_max]
    struct best_hit *hits;      // [lanes][queries_max][top_max]
    float *firsts;              // [lanes][queries_max][CATALOGUE_CHUNK]: the first product
    uint64_t *scored;           // [lanes][8]: a cache line each
    void *memory;
    size_t memory_size;
};

/* The rows of a group that the query may have, bit i the row at + i. */
static uint64_t wanted(const struct catalogue_query *query, size_t at)
{
    uint64_t mask = UINT64_MAX;
    if (query->allowed) {
        mask = 0;
        for (size_t i = 0; i < 8 && at / 8 + i < query->allowed_size; i++)
            mask |= (uint64_t)query->allowed[at / 8 + i] << (8 * i);
    }
    if (query->row_end == 0) return mask;
    if (query->row_end <= at || query->row_begin >= at + CATALOGUE_GROUP) return 0;
    if (query->row_begin > at) mask &= UINT64_MAX << (query->row_begin - at);
    if (query->row_end < at + CATALOGUE_GROUP) mask &= (UINT64_C(1) << (query->row_end - at)) - 1;
    return mask;
}

/* How far a score of this group can lie above its first product. The rounding of the 16-lane sum, of the kernel's
 * chain, and of the sum of product and slack is a part of it. */
static float slack_of(const struct catalogue *catalogue, const struct query_bound *query,
                      const struct group_bound *group)
{
    const double unit = 0x1p-24 * 1.01;
    double lanes = (double)catalogue->dim / 16 + 6;
    double chain = (double)catalogue->width / QUANT_BLOCK + 6;
    double norm = (double)group->norm;
    double error = (double)group->error;
    double slack = query->error * norm + query->rounded * error;
    slack += unit * (lanes * query->norm * norm + chain * query->rounded * (norm + error));
    return (float)(slack * (1 + 1e-6)) + 1e-35f;
}

/* One group for one query. `first` are its first products, `rows` of them. */
static uint64_t rank_group(const struct ranking *ranking, const struct catalogue_query *query,
                           struct best *list, size_t at, const float *first, float slack)
{
    const struct catalogue *catalogue = ranking->catalogue;
    uint64_t scored = 0;
    for (uint64_t left = wanted(query, at); left; left &= left - 1) {
        size_t i = (size_t)__builtin_ctzll(left);
        if (at + i >= catalogue->rows) break;
        if (first[i] + slack < best_floor(list)) continue; // a NaN is looked at
        int32_t row = (int32_t)(at + i);
        if (best_is_among(query->excluded, query->excluded_count, row)) continue;
        float score =
            catalogue->ops->dot(query->vector, catalogue_row(catalogue, at + i), catalogue->dim);
        scored++;
        if (!isnan(score)) best_offer(list, (struct best_hit){score, row});
    }
    return scored;
}

static uint64_t rank_chunk(const struct ranking *ranking, size_t chunk, size_t walk,
                           struct best *list, const float *firsts)
{
    const struct catalogue *catalogue = ranking->catalogue;
    const struct catalogue_query *query = &ranking->queries[ranking->walks[walk]];
    size_t rows = catalogue->chunks[chunk].rows;
    float peaks[CHUNK_GROUPS];
    bool strange = catalogue->ops->peaks(peaks, firsts, rows) > 0;
    uint64_t scored = 0;
    for (size_t i = 0; i * CATALOGUE_GROUP < rows; i++) {
        size_t at = chunk * CATALOGUE_CHUNK + i * CATALOGUE_GROUP;
        const struct group_bound *group = &catalogue->bounds[at / CATALOGUE_GROUP];
        float slack = slack_of(catalogue, &ranking->bounds[walk], group);
        if (!strange && peaks[i] + slack < best_floor(list)) continue;
        scored += rank_group(ranking, query, list, at, firsts + i * CATALOGUE_GROUP, slack);
    }
    return scored;
}

static void rank_part(void *argument, size_t part, size_t lane)
{
    struct ranking *ranking = argument;
    const struct catalogue *catalogue = ranking->catalogue;
    size_t chunk = ranking->first_chunk + part;
    const struct packed *weights = &catalogue->chunks[chunk];
    float *firsts = ranking->firsts + lane * ranking->queries_max * CATALOGUE_CHUNK;
    struct gemm gemm = {
        .weights = weights,
        .acts = &ranking->acts.acts,
        .out = firsts,
        .tile_end = packed_tiles(weights),
        .row_end = ranking->walk_count,
    };
    catalogue->ops->gemm[PACKED_Q8_0](&gemm);
    struct best *lists = ranking->lists + lane * ranking->queries_max;
    for (size_t i = 0; i < ranking->walk_count; i++)
        ranking->scored[lane * 8] +=
            rank_chunk(ranking, chunk, i, &lists[ranking->walks[i]], firsts + i * weights->rows);
}

/* The few rows that a query names: each is scored, without a walk. */
static void rank_candidates(struct ranking *ranking, size_t index)
{
    const struct catalogue *catalogue = ranking->catalogue;
    const struct catalogue_query *query = &ranking->queries[index];
    for (size_t i = 0; i < query->candidate_count; i++) {
        int32_t row = query->candidates[i];
        must(row >= 0 && (size_t)row < catalogue->rows);
        if (i > 0 && row == query->candidates[i - 1]) continue;
        size_t group = (size_t)row / CATALOGUE_GROUP * CATALOGUE_GROUP;
        if (!(wanted(query, group) >> ((size_t)row - group) & 1) ||
            best_is_among(query->excluded, query->excluded_count, row))
            continue;
        float score = catalogue->ops->dot(query->vector, catalogue_row(catalogue, (size_t)row),
                                          catalogue->dim);
        ranking->scored[0]++;
        if (!isnan(score)) best_offer(&ranking->lists[index], (struct best_hit){score, row});
    }
}

/* A query in the form that the integer kernels take, and its bounds. */
static void round_query(struct ranking *ranking, size_t walk)
{
    const struct catalogue *catalogue = ranking->catalogue;
    const struct acts *acts = &ranking->acts.acts;
    size_t blocks = catalogue->width / QUANT_BLOCK;
    const float *x = ranking->vectors + walk * catalogue->width;
    double norm = 0;
    double rounded = 0;
    double error = 0;
    for (size_t b = 0; b < blocks; b++) {
        size_t entry = acts_entry(walk, blocks) + b * acts_panel_rows(acts, walk);
        for (size_t i = 0; i < QUANT_BLOCK; i++) {
            double value = (double)x[b * QUANT_BLOCK + i];
            double kept = (double)acts->d[entry] * acts->q[entry * QUANT_BLOCK + i];
            norm += value * value;
            rounded += kept * kept;
            error += (value - kept) * (value - kept);
        }
    }
    ranking->bounds[walk] = (struct query_bound){sqrt(error), sqrt(rounded), sqrt(norm)};
}

static void take_queries(struct ranking *ranking, const struct catalogue_query *queries,
                         size_t count)
{
    const struct catalogue *catalogue = ranking->catalogue;
    size_t width = catalogue->width;
    ranking->queries = queries;
    ranking->count = count;
    ranking->walk_count = 0;
    for (size_t i = 0; i < count; i++) {
        must(queries[i].top_count > 0 && queries[i].top_count <= ranking->top_max);
        if (queries[i].candidate_count == 0) {
            float *row = ranking->vectors + ranking->walk_count * width; // its tail is zero
            memcpy(row, queries[i].vector, catalogue->dim * sizeof *row);
            ranking->walks[ranking->walk_count++] = i;
        }
        for (size_t lane = 0; lane < team_size(ranking->team); lane++) {
            struct best *list = &ranking->lists[lane * ranking->queries_max + i];
            list->count = 0;
            list->most = queries[i].top_count;
        }
    }
    if (ranking->walk_count == 0) return;
    matmul_acts_set(&ranking->acts, ranking->vectors, ranking->walk_count, width);
    catalogue->ops->quantise(&ranking->acts.acts, 0, ranking->walk_count, 0, width / QUANT_BLOCK);
    for (size_t i = 0; i < ranking->walk_count; i++)
        round_query(ranking, i);
}

/* The chunks that any query wants a row of. */
static void walk(struct ranking *ranking)
{
    size_t rows = ranking->catalogue->rows;
    size_t begin = rows;
    size_t end = 0;
    for (size_t i = 0; i < ranking->walk_count; i++) {
        const struct catalogue_query *query = &ranking->queries[ranking->walks[i]];
        size_t last = query->row_end > 0 && query->row_end < rows ? query->row_end : rows;
        if (query->row_begin < begin) begin = query->row_begin;
        if (last > end) end = last;
    }
    if (begin >= end) return;
    ranking->first_chunk = begin / CATALOGUE_CHUNK;
    size_t chunks = (end - 1) / CATALOGUE_CHUNK + 1 - ranking->first_chunk;
    team_run(ranking->team, chunks, rank_part, ranking);
}

void ranking_run(struct ranking *ranking, const struct catalogue_query *queries, size_t count)
{
    must(count <= ranking->queries_max);
    if (count == 0) return;
    take_queries(ranking, queries, count);
    walk(ranking);
    for (size_t i = 0; i < count; i++) {
        struct best *list = &ranking->lists[i];
        if (queries[i].candidate_count > 0) rank_candidates(ranking, i);
        for (size_t lane = 1; lane < team_size(ranking->team); lane++) {
            const struct best *other = &ranking->lists[lane * ranking->queries_max + i];
            for (uint32_t hit = 0; hit < other->count; hit++)
                best_offer(list, other->hits[hit]);
        }
        best_sort(list);
    }
}

const struct best_hit *ranking_hits(const struct ranking *ranking, size_t index, uint32_t *count)
{
    must(index < ranking->count);
    *count = ranking->lists[index].count;
    return ranking->lists[index].hits;
}

uint64_t ranking_scored(const struct ranking *ranking)
{
    uint64_t scored = 0;
    for (size_t lane = 0; lane < team_size(ranking->team); lane++)
        scored += ranking->scored[lane * 8];
    return scored;
}

static void *take(unsigned char **memory, size_t size)
{
    void *area = *memory;
    *memory += (size + PACK_ALIGN - 1) / PACK_ALIGN * PACK_ALIGN;
    return area;
}

enum err ranking_new(struct ranking **out, const struct catalogue *catalogue, struct team *team,
                     uint32_t queries_max, uint32_t top_max)
{
    must(queries_max > 0 && queries_max <= CATALOGUE_QUERIES_MAX);
    must(top_max > 0 && top_max <= CATALOGUE_TOP_MAX);
    size_t lanes = team_size(team);
    size_t values = queries_max * catalogue->width;
    size_t hits_size = lanes * queries_max * top_max * sizeof(struct best_hit);
    size_t firsts_size = lanes * queries_max * CATALOGUE_CHUNK * sizeof(float);
    size_t acts_size = matmul_acts_size(values);
    size_t size = hits_size + firsts_size + acts_size + values * sizeof(float) + 4 * PACK_ALIGN;
    unsigned char *memory = mem_map(size);
    if (!memory)
        return err_note(ERR_NO_MEMORY, "ranking: the system refused %zu bytes for %u lists of %u",
                        size, queries_max, top_max);
    struct ranking *ranking = mem_new(1, sizeof *ranking);
    *ranking = (struct ranking){.catalogue = catalogue,
                                .team = team,
                                .queries_max = queries_max,
                                .top_max = top_max,
                                .memory = memory,
                                .memory_size = size};
    matmul_acts_init(&ranking->acts, values, take(&memory, acts_size));
    ranking->vectors = take(&memory, values * sizeof(float));
    ranking->hits = take(&memory, hits_size);
    ranking->firsts = take(&memory, firsts_size);
    ranking->walks = mem_new(queries_max, sizeof *ranking->walks);
    ranking->bounds = mem_new(queries_max, sizeof *ranking->bounds);
    ranking->lists = mem_new(lanes * queries_max, sizeof *ranking->lists);
    ranking->scored = mem_new(lanes * 8, sizeof *ranking->scored);
    for (size_t i = 0; i < lanes * queries_max; i++)
        ranking->lists[i].hits = ranking->hits + i * top_max;
    *out = ranking;
    return ERR_OK;
}

void ranking_free(struct ranking *ranking)
{
    if (!ranking) return;
    mem_unmap(ranking->memory, ranking->memory_size);
    mem_free(ranking->walks);
    mem_free(ranking->bounds);
    mem_free(ranking->lists);
    mem_free(ranking->scored);
    mem_free(ranking);
}

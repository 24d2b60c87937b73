#include "node/shelf/walk.h"

#include "node/shelf/shelf.h"

#include "kernels/ops.h"
#include "kernels/team.h"

#include "base/mem.h"
#include "base/must.h"

#include <math.h>
#include <string.h>

enum {
    STRETCHES_MAX = WALK_QUERIES_MAX * WALK_SHARDS_MAX,
    GROUPS = SHELF_BLOCK / OPS_PEAK
};

_Static_assert(OPS_PEAK == 64, "a group of scores has one word of present rows");

/* A shard and who wants it: bit i is query i. */
struct stretch {
    const struct shelf_shard *shard;
    uint32_t wanted;
};

struct walk {
    const struct ops *ops;
    struct team *team;
    size_t lanes;
    struct walk_query queries[WALK_QUERIES_MAX];
    size_t count;
    float scales[WALK_QUERIES_MAX];
    int8_t *bytes; // [WALK_QUERIES_MAX][SCAN_WIDTH_MAX], zeros behind each query
    struct stretch stretches[STRETCHES_MAX];
    size_t stretch_count;
    size_t next;        // part of the walk, a block of a stretch
    size_t first;       // part of the run
    struct best *lists; // [lanes][WALK_QUERIES_MAX]
    float *scores;      // [lanes][WALK_QUERIES_MAX][SHELF_BLOCK]
    unsigned char *memory;
    size_t memory_size;
};

enum err walk_new(struct walk **out, const struct ops *ops, struct team *team)
{
    size_t lanes = team ? team_size(team) : 1;
    size_t lists = lanes * WALK_QUERIES_MAX;
    size_t bytes_size = (size_t)WALK_QUERIES_MAX * SCAN_WIDTH_MAX;
    size_t scores_size = lists * SHELF_BLOCK * sizeof(float);
    size_t hits_size = lists * WALK_TOP_MAX * sizeof(struct best_hit);
    size_t size = bytes_size + scores_size + hits_size;
    unsigned char *memory = mem_map(size);
    if (!memory) return err_note(ERR_NO_MEMORY, "shelf: the system refused %zu bytes", size);
    struct walk *walk = mem_new(1, sizeof *walk);
    *walk = (struct walk){
        .ops = ops,
        .team = team,
        .lanes = lanes,
        .bytes = (int8_t *)memory,
        .scores = (void *)(memory + bytes_size),
        .lists = mem_new(lists, sizeof *walk->lists),
        .memory = memory,
        .memory_size = size,
    };
    struct best_hit *hits = (void *)(memory + bytes_size + scores_size);
    for (size_t i = 0; i < lists; i++)
        walk->lists[i].hits = hits + i * WALK_TOP_MAX;
    *out = walk;
    return ERR_OK;
}

void walk_free(struct walk *walk)
{
    if (!walk) return;
    mem_unmap(walk->memory, walk->memory_size);
    mem_free(walk->lists);
    mem_free(walk);
}

/* The beginning. */

static void want(struct walk *walk, const struct shelf_shard *shard, size_t index)
{
    size_t at = 0;
    while (at < walk->stretch_count && walk->stretches[at].shard != shard)
        at++;
    if (at == walk->stretch_count)
        walk->stretches[walk->stretch_count++] = (struct stretch){.shard = shard};
    walk->stretches[at].wanted |= UINT32_C(1) << index;
}

static void round_query(struct walk *walk, size_t index)
{
    const struct walk_query *query = &walk->queries[index];
    int8_t *bytes = walk->bytes + index * SCAN_WIDTH_MAX;
    must(query->size > 0 && query->size <= SCAN_WIDTH_MAX);
    memset(bytes, 0, scan_width(query->size));
    scan_round(query->vector, query->size, bytes, &walk->scales[index]);
}

void walk_begin(struct walk *walk, const struct walk_query *queries, size_t count)
{
    must(count <= WALK_QUERIES_MAX);
    walk->count = count;
    walk->stretch_count = 0;
    walk->next = 0;
    for (size_t i = 0; i < count; i++) {
        const struct walk_query *query = &queries[i];
        must(query->top_count > 0 && query->top_count <= WALK_TOP_MAX);
        must(query->shard_count <= WALK_SHARDS_MAX);
        walk->queries[i] = *query;
        round_query(walk, i);
        for (size_t s = 0; s < query->shard_count; s++) {
            must(query->shards[s]->dims == query->size);
            want(walk, query->shards[s], i);
        }
        for (size_t lane = 0; lane < walk->lanes; lane++) {
            struct best *list = &walk->lists[lane * WALK_QUERIES_MAX + i];
            list->count = 0;
            list->most = query->top_count;
        }
    }
}

void walk_leave(struct walk *walk, size_t index)
{
    must(index < walk->count);
    for (size_t i = 0; i < walk->stretch_count; i++)
        walk->stretches[i].wanted &= ~(UINT32_C(1) << index);
}

/* The walk. */

/* The rows of a group that the query may have, bit i the number at + i. */
static uint64_t allowed_rows(const struct walk_query *query, size_t at)
{
    if (!query->allowed) return UINT64_MAX;
    uint64_t mask = 0;
    for (size_t i = 0; i < 8 && at / 8 + i < query->allowed_size; i++)
        mask |= (uint64_t)query->allowed[at / 8 + i] << (8 * i);
    return mask;
}

/* The scores of one block for one query. */
static void offer_block(const struct walk *walk, const struct walk_query *query, struct best *list,
                        const struct shelf_block *block, size_t number, const float *scores)
{
    float peaks[GROUPS];
    (void)walk->ops->peaks(peaks, scores, SHELF_BLOCK);
    for (size_t group = 0; group < GROUPS; group++) {
        if (peaks[group] < best_floor(list)) continue;
        size_t at = number + group * OPS_PEAK;
        uint64_t left = block->present[group] & allowed_rows(query, at);
        for (; left; left &= left - 1) {
            size_t i = (size_t)__builtin_ctzll(left);
            float score = scores[group * OPS_PEAK + i];
            int32_t row = (int32_t)(at + i);
            if (score < best_floor(list)) continue;
            if (best_is_among(query->excluded, query->excluded_count, row)) continue;
            best_offer(list, (struct best_hit){score, row});
        }
    }
}

static void walk_part(void *argument, size_t part, size_t lane)
{
    struct walk *walk = argument;
    const struct stretch *stretch = &walk->stretches[(walk->first + part) / SHELF_BLOCKS];
    if (!stretch->wanted) return;
    size_t index = (walk->first + part) % SHELF_BLOCKS;
    const struct shelf_shard *shard = stretch->shard;
    const struct shelf_block *block = shard->blocks[index];
    if (!block) return;
    size_t lists = lane * WALK_QUERIES_MAX;
    size_t who[WALK_QUERIES_MAX];
    struct scan scan = {
        .rows = block->rows,
        .row_scales = block->scales,
        .row_count = SHELF_BLOCK,
        .width = shard->width,
        .out = walk->scores + lists * SHELF_BLOCK,
    };
    for (size_t i = 0; i < walk->count; i++) {
        if (!(stretch->wanted >> i & 1)) continue;
        who[scan.query_count] = i;
        scan.queries[scan.query_count] = walk->bytes + i * SCAN_WIDTH_MAX;
        scan.query_scales[scan.query_count++] = walk->scales[i];
    }
    walk->ops->scan(&scan);
    size_t number = (size_t)shard->first + index * SHELF_BLOCK;
    for (size_t i = 0; i < scan.query_count; i++)
        offer_block(walk, &walk->queries[who[i]], &walk->lists[lists + who[i]], block, number,
                    scan.out + i * SHELF_BLOCK);
}

/* The end of the parts that have `bytes` of rows. */
static size_t end_of(const struct walk *walk, uint64_t bytes)
{
    size_t end = walk->next;
    uint64_t done = 0;
    for (; end < walk->stretch_count * SHELF_BLOCKS && done < bytes; end++) {
        const struct stretch *stretch = &walk->stretches[end / SHELF_BLOCKS];
        if (stretch->wanted && stretch->shard->blocks[end % SHELF_BLOCKS])
            done += (uint64_t)SHELF_BLOCK * stretch->shard->width;
    }
    return end;
}

static void merge(struct walk *walk)
{
    for (size_t i = 0; i < walk->count; i++) {
        struct best *list = &walk->lists[i];
        for (size_t lane = 1; lane < walk->lanes; lane++) {
            const struct best *other = &walk->lists[lane * WALK_QUERIES_MAX + i];
            for (uint32_t hit = 0; hit < other->count; hit++)
                best_offer(list, other->hits[hit]);
        }
        best_sort(list);
    }
}

bool walk_on(struct walk *walk, uint64_t bytes)
{
    size_t end = end_of(walk, bytes);
    walk->first = walk->next;
    if (walk->team && end > walk->next) {
        team_run(walk->team, end - walk->next, walk_part, walk);
    } else {
        for (size_t part = 0; part < end - walk->next; part++)
            walk_part(walk, part, 0);
    }
    walk->next = end;
    if (end < walk->stretch_count * SHELF_BLOCKS) return false;
    merge(walk);
    return true;
}

const struct best_hit *walk_hits(const struct walk *walk, size_t index, uint32_t *count)
{
    must(index < walk->count);
    *count = walk->lists[index].count;
    return walk->lists[index].hits;
}

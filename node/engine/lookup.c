#include "node/engine/lookup.h"

#include "base/mem.h"
#include "base/must.h"

#include <stdbool.h>
#include <string.h>

static const uint32_t level_ids[LOOKUP_LEVELS] = {LOOKUP_LONG, LOOKUP_SHORT};

#define RATE_FIRST 0.5f
#define RATE_STEP  0.125f

void lookup_init(struct lookup *lookup)
{
    *lookup = (struct lookup){0};
    for (uint32_t level = 0; level < LOOKUP_LEVELS; level++)
        lookup->slots[level] = mem_new(LOOKUP_SLOTS, sizeof *lookup->slots[level]);
    lookup_reset(lookup);
}

void lookup_fini(struct lookup *lookup)
{
    for (uint32_t level = 0; level < LOOKUP_LEVELS; level++)
        mem_free(lookup->slots[level]);
    *lookup = (struct lookup){0};
}

void lookup_reset(struct lookup *lookup)
{
    lookup->indexed = 0;
    for (uint32_t level = 0; level < LOOKUP_LEVELS; level++) {
        memset(lookup->slots[level], 0, LOOKUP_SLOTS * sizeof *lookup->slots[level]);
        lookup->rate[level] = RATE_FIRST;
    }
}

/* The slot of the `count` ids that end before `end`. */
static uint32_t slot_of(const int32_t *end, uint32_t count)
{
    uint64_t hash = 0;
    for (uint32_t i = 1; i <= count; i++)
        hash = (hash ^ (uint32_t)end[-(ptrdiff_t)i]) * UINT64_C(0x9E3779B97F4A7C15);
    return (uint32_t)(hash >> 40) % LOOKUP_SLOTS;
}

/* Every occurrence that ends before `end` ids and has an id behind it. */
static void index_until(struct lookup *lookup, const int32_t *ids, uint32_t end)
{
    for (; lookup->indexed < end; lookup->indexed++) {
        for (uint32_t level = 0; level < LOOKUP_LEVELS; level++) {
            uint32_t count = level_ids[level];
            if (lookup->indexed < count) continue;
            uint32_t slot = slot_of(ids + lookup->indexed, count);
            lookup->slots[level][slot] = lookup->indexed;
        }
    }
}

static bool same_ids(const int32_t *a_end, const int32_t *b_end, uint32_t count)
{
    return memcmp(a_end - count, b_end - count, count * sizeof *a_end) == 0;
}

void lookup_propose(struct lookup *lookup, const int32_t *ids, uint32_t id_count, uint32_t count,
                    struct lookup_draft *out)
{
    must(count <= LOOKUP_DRAFTS_MAX && lookup->indexed <= id_count);
    out->count = 0;
    out->level = 0;
    index_until(lookup, ids, id_count); // the last ids themselves are not in yet
    for (uint32_t level = 0; level < LOOKUP_LEVELS; level++) {
        if (id_count < level_ids[level]) continue;
        uint32_t at = lookup->slots[level][slot_of(ids + id_count, level_ids[level])];
        if (at == 0 || !same_ids(ids + at, ids + id_count, level_ids[level])) continue;
        out->level = level;
        for (; out->count < count; out->count++) {
            uint32_t from = at + out->count;
            out->ids[out->count] = from < id_count ? ids[from] : out->ids[from - id_count];
        }
        return;
    }
}

void lookup_judge(struct lookup *lookup, uint32_t level, uint32_t right, uint32_t tried)
{
    must(level < LOOKUP_LEVELS && right <= tried);
    float *rate = &lookup->rate[level];
    for (uint32_t i = 0; i < tried && i <= right; i++)
        *rate += ((i < right ? 1.0f : 0.0f) - *rate) * RATE_STEP;
}

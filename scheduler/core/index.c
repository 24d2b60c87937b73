#include "scheduler/core/index.h"

#include "base/mem.h"
#include "base/must.h"

#include <string.h>

#define NONE UINT32_MAX

enum {
    TICK_NS = 1000000,  // of an entry's expiry
    SWEEP = 4096,       // entries that one index_tick() looks at
    NOBODY = UINT16_MAX // the node of a free entry
};

/* Entries of one hash's bucket are chained; those of one node are a list, for index_reset(). */
struct entry {
    uint64_t hash;
    uint32_t chain;
    uint32_t before; // of its node's list
    uint32_t after;
    uint32_t expires; // in ticks, rounded up; 0: it is certain
    uint16_t node;
};

struct block_index {
    struct entry *entries; // [capacity]
    uint32_t *buckets;     // [mask + 1]
    uint64_t mask;
    uint32_t capacity;
    uint32_t free; // a list by `chain`
    uint32_t count;
    uint32_t sweep; // the entry that index_tick() looks at next
    uint64_t dropped;
    uint32_t first[INDEX_NODES_MAX]; // of each node's list
};

struct block_index *index_new(size_t capacity)
{
    must(capacity > 0 && capacity < NONE);
    struct block_index *index = mem_new(1, sizeof *index);
    uint64_t buckets = 16;
    while (buckets < capacity)
        buckets *= 2;
    index->entries = mem_new(capacity, sizeof *index->entries);
    index->buckets = mem_new(buckets, sizeof *index->buckets);
    index->mask = buckets - 1;
    index->capacity = (uint32_t)capacity;
    memset(index->buckets, 0xff, buckets * sizeof *index->buckets);
    memset(index->first, 0xff, sizeof index->first);
    for (uint32_t i = 0; i < index->capacity; i++)
        index->entries[i] =
            (struct entry){.chain = i + 1 < index->capacity ? i + 1 : NONE, .node = NOBODY};
    return index;
}

void index_free(struct block_index *index)
{
    if (!index) return;
    mem_free(index->entries);
    mem_free(index->buckets);
    mem_free(index);
}

static uint32_t *bucket_of(const struct block_index *index, uint64_t hash)
{
    return &index->buckets[hash & index->mask];
}

static struct entry *find(const struct block_index *index, uint16_t node, uint64_t hash)
{
    for (uint32_t at = *bucket_of(index, hash); at != NONE; at = index->entries[at].chain) {
        struct entry *entry = &index->entries[at];
        if (entry->hash == hash && entry->node == node) return entry;
    }
    return NULL;
}

static void put(struct block_index *index, uint16_t node, uint64_t hash, uint32_t expires)
{
    must(node < INDEX_NODES_MAX);
    if (index->free == NONE) {
        index->dropped++;
        return;
    }
    uint32_t at = index->free;
    struct entry *entry = &index->entries[at];
    uint32_t *bucket = bucket_of(index, hash);
    index->free = entry->chain;
    *entry = (struct entry){.hash = hash,
                            .node = node,
                            .expires = expires,
                            .chain = *bucket,
                            .before = NONE,
                            .after = index->first[node]};
    if (entry->after != NONE) index->entries[entry->after].before = at;
    *bucket = at;
    index->first[node] = at;
    index->count++;
}

static void take_out(struct block_index *index, struct entry *entry)
{
    uint32_t at = (uint32_t)(entry - index->entries);
    uint32_t *link = bucket_of(index, entry->hash);
    while (*link != at)
        link = &index->entries[*link].chain;
    *link = entry->chain;
    if (entry->before != NONE)
        index->entries[entry->before].after = entry->after;
    else
        index->first[entry->node] = entry->after;
    if (entry->after != NONE) index->entries[entry->after].before = entry->before;
    entry->node = NOBODY;
    entry->chain = index->free;
    index->free = at;
    index->count--;
}

void index_add(struct block_index *index, uint16_t node, uint64_t hash)
{
    struct entry *entry = find(index, node, hash);
    if (entry)
        entry->expires = 0;
    else
        put(index, node, hash, 0);
}

void index_remove(struct block_index *index, uint16_t node, uint64_t hash)
{
    struct entry *entry = find(index, node, hash);
    if (entry) take_out(index, entry);
}

static uint32_t ticks(uint64_t ns)
{
    return (uint32_t)(ns / TICK_NS);
}

/* Ticks wrap after seven weeks: only their difference counts. */
static bool is_over(const struct entry *entry, uint64_t now_ns)
{
    return entry->expires != 0 && (int32_t)(ticks(now_ns) - entry->expires) >= 0;
}

void index_expect(struct block_index *index, uint16_t node, const uint64_t *hashes, size_t count,
                  uint64_t now_ns)
{
    uint32_t expires = ticks(now_ns + INDEX_EXPECT_NS);
    if (expires == 0) expires = 1;
    for (size_t i = 0; i < count; i++) {
        struct entry *entry = find(index, node, hashes[i]);
        if (entry && entry->expires != 0)
            entry->expires = expires;
        else if (!entry)
            put(index, node, hashes[i], expires);
    }
}

void index_tick(struct block_index *index, uint64_t now_ns)
{
    for (uint32_t i = 0; i < SWEEP && i < index->capacity; i++) {
        struct entry *entry = &index->entries[index->sweep];
        if (entry->node != NOBODY && is_over(entry, now_ns)) take_out(index, entry);
        index->sweep = index->sweep + 1 < index->capacity ? index->sweep + 1 : 0;
    }
}

void index_reset(struct block_index *index, uint16_t node)
{
    must(node < INDEX_NODES_MAX);
    while (index->first[node] != NONE)
        take_out(index, &index->entries[index->first[node]]);
}

/* Each node that has block `i` and all before it is one deeper. True: there was one. */
static bool deepen(const struct block_index *index, uint64_t hash, uint32_t i, uint64_t now_ns,
                   uint32_t *depths)
{
    bool any = false;
    for (uint32_t at = *bucket_of(index, hash); at != NONE; at = index->entries[at].chain) {
        const struct entry *entry = &index->entries[at];
        if (entry->hash != hash || depths[entry->node] != i || is_over(entry, now_ns)) continue;
        depths[entry->node] = i + 1;
        any = true;
    }
    return any;
}

void index_depths(const struct block_index *index, const uint64_t *hashes, size_t count,
                  uint64_t now_ns, uint32_t *depths)
{
    memset(depths, 0, INDEX_NODES_MAX * sizeof *depths);
    for (size_t i = 0; i < count && i < UINT32_MAX; i++)
        if (!deepen(index, hashes[i], (uint32_t)i, now_ns, depths)) return;
}

struct index_stats index_stats(const struct block_index *index)
{
    return (struct index_stats){index->count, index->capacity, index->dropped};
}

#include "node/service/cached.h"

#include "base/mem.h"
#include "base/must.h"

/* Hashes are well mixed: their low bits choose the slot. A slot of 0 is empty; the hash 0 is kept as 1. */
struct cached {
    uint64_t *slots; // [mask + 1], at most half full
    uint64_t mask;
    size_t count;
    size_t most;
    uint64_t ring[CACHED_RING];
    uint64_t changes; // so far; the latest CACHED_RING of them are in the ring
    uint64_t added[WIRE_DELTA_MAX];
    uint64_t removed[WIRE_DELTA_MAX];
};

struct cached *cached_new(uint32_t block_count)
{
    struct cached *cached = mem_new(1, sizeof *cached);
    uint64_t size = 64;
    while (size < UINT64_C(2) * block_count)
        size *= 2;
    cached->slots = mem_new(size, sizeof *cached->slots);
    cached->mask = size - 1;
    cached->most = size / 2;
    return cached;
}

void cached_free(struct cached *cached)
{
    if (!cached) return;
    mem_free(cached->slots);
    mem_free(cached);
}

static uint64_t kept(uint64_t hash)
{
    return hash ? hash : 1;
}

/* Where the hash is, or would be. */
static uint64_t slot_of(const struct cached *cached, uint64_t hash)
{
    uint64_t slot = hash & cached->mask;
    while (cached->slots[slot] != 0 && cached->slots[slot] != hash)
        slot = (slot + 1) & cached->mask;
    return slot;
}

static void remember(struct cached *cached, uint64_t hash)
{
    cached->ring[cached->changes++ % CACHED_RING] = hash;
}

/* Empty a slot; those behind it that could not have their place move up. Whoever moves counts as changed: a link that is
 * being told the set may have passed its new slot. */
static void empty(struct cached *cached, uint64_t slot)
{
    uint64_t next = slot;
    for (;;) {
        cached->slots[slot] = 0;
        for (;;) {
            next = (next + 1) & cached->mask;
            if (cached->slots[next] == 0) return;
            uint64_t wish = cached->slots[next] & cached->mask;
            bool stays = slot <= next ? slot < wish && wish <= next : slot < wish || wish <= next;
            if (!stays) break;
        }
        cached->slots[slot] = cached->slots[next];
        remember(cached, cached->slots[slot]);
        slot = next;
    }
}

void cached_note(struct cached *cached, uint64_t hash, bool gone)
{
    hash = kept(hash);
    uint64_t slot = slot_of(cached, hash);
    bool is_there = cached->slots[slot] != 0;
    if (is_there != gone) return; // nothing new
    if (gone) {
        empty(cached, slot);
        cached->count--;
    } else {
        must(cached->count < cached->most);
        cached->slots[slot] = hash;
        cached->count++;
    }
    remember(cached, hash);
}

bool cached_has(const struct cached *cached, uint64_t hash)
{
    return cached->slots[slot_of(cached, kept(hash))] != 0;
}

size_t cached_count(const struct cached *cached)
{
    return cached->count;
}

static bool is_behind(const struct cached *cached, const struct cached_place *place)
{
    return !place->begun || cached->changes - place->change > CACHED_RING;
}

bool cached_is_told(const struct cached *cached, const struct cached_place *place)
{
    return place->whole && place->change == cached->changes;
}

/* A part of the set, as it is now: what changes meanwhile is told afterwards. */
static void tell_set(struct cached *cached, struct cached_place *place,
                     struct wire_cache_delta *out)
{
    while (place->slot <= cached->mask && out->added_count < WIRE_DELTA_MAX) {
        uint64_t hash = cached->slots[place->slot++];
        if (hash != 0) cached->added[out->added_count++] = hash;
    }
    place->whole = place->slot > cached->mask;
}

static void tell_changes(struct cached *cached, struct cached_place *place,
                         struct wire_cache_delta *out)
{
    while (place->change < cached->changes && out->added_count < WIRE_DELTA_MAX &&
           out->removed_count < WIRE_DELTA_MAX) {
        uint64_t hash = cached->ring[place->change++ % CACHED_RING];
        if (cached_has(cached, hash))
            cached->added[out->added_count++] = hash;
        else
            cached->removed[out->removed_count++] = hash;
    }
}

bool cached_next(struct cached *cached, struct cached_place *place, struct wire_cache_delta *out)
{
    if (!is_behind(cached, place) && cached_is_told(cached, place)) return false;
    *out = (struct wire_cache_delta){.added = cached->added, .removed = cached->removed};
    if (is_behind(cached, place)) {
        *place = (struct cached_place){
            .sequence = place->sequence, .begun = true, .change = cached->changes};
        out->reset = true;
    }
    if (!place->whole)
        tell_set(cached, place, out);
    else
        tell_changes(cached, place, out);
    out->sequence = place->sequence++;
    return true;
}

#include "node/engine/prefix.h"

#include "wire/block.h"

#include "base/mem.h"
#include "base/must.h"

#include <string.h>

enum entry_state {
    ABSENT,
    PENDING,
    READY
};

/* Of one block of the pool. */
struct entry {
    enum entry_state state;
    bool rests;
    uint32_t parent;
    uint32_t children; // listed blocks of which this is the parent
    uint32_t chain;    // the next in its bucket
    uint32_t older;    // neighbours in the LRU, while it rests
    uint32_t newer;
    uint64_t salt;
    uint64_t hash;
    int32_t ids[KV_BLOCK_TOKENS];
};

struct prefix {
    struct entry *entries; // [block_count]
    uint32_t block_count;
    uint32_t *buckets; // [bucket_mask + 1] the first block of each chain
    uint64_t bucket_mask;
    uint64_t root;
    uint64_t hash_mask;
    uint32_t oldest; // of those that rest
    uint32_t newest;
    uint32_t resting;
    struct prefix_change
        *changes; // [change_max], those that wait from `change_at` on; NULL: nobody watches
    size_t change_max;
    size_t change_at;
    size_t change_count;
};

_Static_assert((int)KV_BLOCK_TOKENS == (int)WIRE_BLOCK_TOKENS, "blocks are named as they are kept");

struct prefix *prefix_new(const struct prefix_options *options)
{
    must(options->block_count > 0 && options->block_count < PREFIX_NONE);
    must(options->hash_bits <= 64);
    uint64_t bucket_count = 1;
    while (bucket_count < UINT64_C(2) * options->block_count)
        bucket_count *= 2;
    uint32_t bits = options->hash_bits ? options->hash_bits : 64;
    struct prefix *prefix = mem_new(1, sizeof *prefix);
    *prefix = (struct prefix){
        .entries = mem_new(options->block_count, sizeof *prefix->entries),
        .block_count = options->block_count,
        .buckets = mem_new(bucket_count, sizeof *prefix->buckets),
        .bucket_mask = bucket_count - 1,
        .root = options->root,
        .hash_mask = UINT64_MAX >> (64 - bits),
        .oldest = PREFIX_NONE,
        .newest = PREFIX_NONE,
    };
    for (uint64_t i = 0; i < bucket_count; i++)
        prefix->buckets[i] = PREFIX_NONE;
    return prefix;
}

void prefix_free(struct prefix *prefix)
{
    if (!prefix) return;
    mem_free(prefix->entries);
    mem_free(prefix->buckets);
    mem_free(prefix->changes);
    mem_free(prefix);
}

static struct entry *entry_of(const struct prefix *prefix, uint32_t block)
{
    must(block < prefix->block_count);
    return &prefix->entries[block];
}

static struct entry *listed(const struct prefix *prefix, uint32_t block)
{
    struct entry *entry = entry_of(prefix, block);
    must(entry->state != ABSENT);
    return entry;
}

static uint64_t hash_of(const struct prefix *prefix, const struct prefix_key *key)
{
    uint64_t hash = key->parent == PREFIX_ROOT ? prefix->root : listed(prefix, key->parent)->hash;
    return block_hash(hash, key->salt, key->ids) & prefix->hash_mask;
}

static bool has_key(const struct entry *entry, const struct prefix_key *key)
{
    return entry->parent == key->parent && entry->salt == key->salt &&
           memcmp(entry->ids, key->ids, sizeof entry->ids) == 0;
}

static uint32_t find(const struct prefix *prefix, const struct prefix_key *key, uint64_t hash)
{
    uint32_t block = prefix->buckets[hash & prefix->bucket_mask];
    while (block != PREFIX_NONE) {
        const struct entry *entry = &prefix->entries[block];
        if (entry->hash == hash && has_key(entry, key)) return block;
        block = entry->chain;
    }
    return PREFIX_NONE;
}

uint32_t prefix_find(const struct prefix *prefix, const struct prefix_key *key)
{
    return find(prefix, key, hash_of(prefix, key));
}

void prefix_list(struct prefix *prefix, uint32_t block, const struct prefix_key *key)
{
    struct entry *entry = entry_of(prefix, block);
    uint64_t hash = hash_of(prefix, key);
    must(entry->state == ABSENT && find(prefix, key, hash) == PREFIX_NONE);
    uint32_t *bucket = &prefix->buckets[hash & prefix->bucket_mask];
    *entry = (struct entry){
        .state = PENDING,
        .parent = key->parent,
        .chain = *bucket,
        .salt = key->salt,
        .hash = hash,
    };
    memcpy(entry->ids, key->ids, sizeof entry->ids);
    *bucket = block;
    if (key->parent != PREFIX_ROOT) prefix->entries[key->parent].children++;
}

static void note_change(struct prefix *prefix, uint64_t hash, bool gone)
{
    if (!prefix->changes) return;
    must(prefix->change_count < prefix->change_max);
    prefix->changes[prefix->change_count++] = (struct prefix_change){hash, gone};
}

void prefix_watch(struct prefix *prefix)
{
    if (!prefix->changes) {
        prefix->change_max = (size_t)PREFIX_CHANGES_EACH * prefix->block_count;
        prefix->changes = mem_new(prefix->change_max, sizeof *prefix->changes);
    }
    prefix->change_at = prefix->change_count = 0;
    for (uint32_t i = 0; i < prefix->block_count; i++)
        if (prefix->entries[i].state == READY) note_change(prefix, prefix->entries[i].hash, false);
}

size_t prefix_changes(struct prefix *prefix, struct prefix_change *out, size_t max)
{
    size_t left = prefix->change_count - prefix->change_at;
    size_t count = left < max ? left : max;
    for (size_t i = 0; i < count; i++)
        out[i] = prefix->changes[prefix->change_at++];
    if (prefix->change_at == prefix->change_count) prefix->change_at = prefix->change_count = 0;
    return count;
}

void prefix_set_ready(struct prefix *prefix, uint32_t block)
{
    struct entry *entry = listed(prefix, block);
    must(entry->state == PENDING);
    must(entry->parent == PREFIX_ROOT || prefix->entries[entry->parent].state == READY);
    entry->state = READY;
    note_change(prefix, entry->hash, false);
}

bool prefix_is_listed(const struct prefix *prefix, uint32_t block)
{
    return entry_of(prefix, block)->state != ABSENT;
}

bool prefix_is_ready(const struct prefix *prefix, uint32_t block)
{
    return entry_of(prefix, block)->state == READY;
}

/* The LRU: a list from the oldest to the newest. */

static uint32_t *newer_than(struct prefix *prefix, uint32_t block)
{
    return block == PREFIX_NONE ? &prefix->oldest : &prefix->entries[block].newer;
}

static uint32_t *older_than(struct prefix *prefix, uint32_t block)
{
    return block == PREFIX_NONE ? &prefix->newest : &prefix->entries[block].older;
}

void prefix_rest(struct prefix *prefix, uint32_t block)
{
    struct entry *entry = listed(prefix, block);
    must(entry->state == READY && !entry->rests);
    entry->rests = true;
    entry->older = prefix->newest;
    entry->newer = PREFIX_NONE;
    *newer_than(prefix, entry->older) = block;
    prefix->newest = block;
    prefix->resting++;
}

void prefix_wake(struct prefix *prefix, uint32_t block)
{
    struct entry *entry = listed(prefix, block);
    must(entry->rests);
    entry->rests = false;
    *newer_than(prefix, entry->older) = entry->newer;
    *older_than(prefix, entry->newer) = entry->older;
    prefix->resting--;
}

uint32_t prefix_resting(const struct prefix *prefix)
{
    return prefix->resting;
}

/* The end of an entry. */

void prefix_forget(struct prefix *prefix, uint32_t block)
{
    struct entry *entry = listed(prefix, block);
    must(entry->children == 0);
    if (entry->rests) prefix_wake(prefix, block);
    uint32_t *at = &prefix->buckets[entry->hash & prefix->bucket_mask];
    while (*at != block)
        at = &prefix->entries[*at].chain;
    *at = entry->chain;
    if (entry->parent != PREFIX_ROOT) prefix->entries[entry->parent].children--;
    if (entry->state == READY) note_change(prefix, entry->hash, true);
    entry->state = ABSENT;
}

uint32_t prefix_evict(struct prefix *prefix)
{
    must(prefix->resting > 0);
    uint32_t block = prefix->oldest;
    prefix_forget(prefix, block);
    return block;
}

static bool is_under(const struct prefix *prefix, uint32_t block, const uint64_t *salt)
{
    while (block != PREFIX_ROOT) {
        const struct entry *entry = listed(prefix, block);
        if (!salt || entry->salt == *salt) return true;
        block = entry->parent;
    }
    return false;
}

uint32_t prefix_forget_salt(struct prefix *prefix, const uint64_t *salt, uint32_t *rested)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < prefix->block_count; i++) {
        // From each leaf up, as far as nothing else hangs there: every branch is taken away by its last leaf.
        uint32_t block = i;
        while (block != PREFIX_ROOT && prefix->entries[block].state != ABSENT &&
               prefix->entries[block].children == 0 && is_under(prefix, block, salt)) {
            uint32_t parent = prefix->entries[block].parent;
            if (prefix->entries[block].rests) rested[count++] = block;
            prefix_forget(prefix, block);
            block = parent;
        }
    }
    return count;
}

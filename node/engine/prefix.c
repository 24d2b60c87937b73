#include "node/engine/prefix.h"

#include "wire/block.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/wipe.h"

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
    uint32_t keep_ms; // 0: as long as there is room
    uint64_t due_ns;  // while it rests; UINT64_MAX: never
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
    uint64_t due_ns;   // no block that rests is due before
    uint64_t swept_ns; // when all were looked at last
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
        .due_ns = UINT64_MAX,
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
        .keep_ms = key->keep_ms,
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

void prefix_limit(struct prefix *prefix, uint32_t block, uint32_t keep_ms)
{
    struct entry *entry = listed(prefix, block);
    if (keep_ms > 0 && (entry->keep_ms == 0 || keep_ms < entry->keep_ms)) entry->keep_ms = keep_ms;
}

void prefix_rest(struct prefix *prefix, uint32_t block, uint64_t now_ns)
{
    struct entry *entry = listed(prefix, block);
    must(entry->state == READY && !entry->rests);
    entry->rests = true;
    entry->older = prefix->newest;
    entry->newer = PREFIX_NONE;
    entry->due_ns = entry->keep_ms ? now_ns + entry->keep_ms * CLOCK_MS : UINT64_MAX;
    if (entry->due_ns < prefix->due_ns) prefix->due_ns = entry->due_ns;
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
    wipe(entry->ids, sizeof entry->ids);
}

uint32_t prefix_evict(struct prefix *prefix)
{
    must(prefix->resting > 0);
    uint32_t block = prefix->oldest;
    prefix_forget(prefix, block);
    return block;
}

/* What goes, and all that stands below it. */
struct doom {
    const uint64_t *salt; // under this salt (NULL: any)…
    uint64_t now_ns;      // …or, where this is not 0, what is due by then
};

static bool is_doomed(const struct entry *entry, const struct doom *doom)
{
    if (doom->now_ns > 0) return entry->rests && entry->due_ns <= doom->now_ns;
    return !doom->salt || entry->salt == *doom->salt;
}

static bool is_under(const struct prefix *prefix, uint32_t block, const struct doom *doom)
{
    while (block != PREFIX_ROOT) {
        const struct entry *entry = listed(prefix, block);
        if (is_doomed(entry, doom)) return true;
        block = entry->parent;
    }
    return false;
}

/* From each leaf up, as far as nothing else hangs there: every branch is taken away by its last leaf. */
static uint32_t forget_doomed(struct prefix *prefix, const struct doom *doom, uint32_t *rested)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < prefix->block_count; i++) {
        uint32_t block = i;
        while (block != PREFIX_ROOT && prefix->entries[block].state != ABSENT &&
               prefix->entries[block].children == 0 && is_under(prefix, block, doom)) {
            uint32_t parent = prefix->entries[block].parent;
            if (prefix->entries[block].rests) rested[count++] = block;
            prefix_forget(prefix, block);
            block = parent;
        }
    }
    return count;
}

uint32_t prefix_forget_salt(struct prefix *prefix, const uint64_t *salt, uint32_t *rested)
{
    return forget_doomed(prefix, &(struct doom){.salt = salt}, rested);
}

uint64_t prefix_due_ns(const struct prefix *prefix)
{
    uint64_t next_ns = prefix->swept_ns ? prefix->swept_ns + PREFIX_SWEEP_MS * CLOCK_MS : 0;
    return prefix->due_ns > next_ns ? prefix->due_ns : next_ns;
}

/* Those that rest, oldest first, so that a leaf comes before its parent. True: one that is due has children that are not; they go too,
 * since nobody holds what stands below a block that rests. */
static bool forget_due(struct prefix *prefix, uint64_t now_ns, uint32_t *rested, uint32_t *count)
{
    bool more = false;
    prefix->due_ns = UINT64_MAX;
    for (uint32_t block = prefix->oldest, next; block != PREFIX_NONE; block = next) {
        const struct entry *entry = &prefix->entries[block];
        next = entry->newer;
        if (entry->due_ns > now_ns) {
            if (entry->due_ns < prefix->due_ns) prefix->due_ns = entry->due_ns;
            continue;
        }
        more |= entry->children > 0;
        if (entry->children > 0) continue;
        rested[(*count)++] = block;
        prefix_forget(prefix, block);
    }
    return more;
}

uint32_t prefix_expire(struct prefix *prefix, uint64_t now_ns, uint32_t *rested)
{
    uint32_t count = 0;
    if (now_ns < prefix_due_ns(prefix) || now_ns == 0) return 0;
    prefix->swept_ns = now_ns;
    if (forget_due(prefix, now_ns, rested, &count))
        count += forget_doomed(prefix, &(struct doom){.now_ns = now_ns}, rested + count);
    return count;
}

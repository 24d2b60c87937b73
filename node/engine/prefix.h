/* node/engine/prefix.h -- which block holds which ids: the index of the prefix cache.
 *
 * A listed block is a node of a tree. Its key is (salt, parent block, its KV_BLOCK_TOKENS ids); the hash by which it is
 * found (wire/block.h) covers the root (model and adapter), the salt, the parent's hash and the ids; and a find compares salt, parent
 * and every id, so that equal hashes never lend one's tokens to another.
 *
 *      PREFIX_ROOT -- [system prompt 1] -- [system prompt 2] -+- [question of A]
 *                                                             +- [question of B] -- [answer to B]
 *
 *      (absent) --list--> PENDING --ready--> READY --rest--> resting: in the LRU
 *                            |                 ^               |  |
 *                            +--forget         +----- wake ----+  +-- evict, forget
 *
 * PENDING: somebody is computing it; it may be found, so that nobody computes it again. READY: its keys and values are
 * there. Resting: READY, and no table holds it.
 *
 * Who holds a block holds its parents too, and lets go of the child first: so a child always rests for longer than its
 * parent, and the one that has rested for longest is a leaf. Everything is sized at birth; nothing is allocated after.
 *
 * Ids are what somebody has written. They are wiped when their block leaves the list, and a block whose key says so leaves it when it
 * has rested for long enough: prefix_expire(). Of two who asked with different times the shorter one counts.
 * Thread: the engine's. */
#ifndef NODE_ENGINE_PREFIX_H
#define NODE_ENGINE_PREFIX_H

#include "node/engine/kv.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PREFIX_ROOT UINT32_MAX // the parent of a first block
#define PREFIX_NONE UINT32_MAX // no such block

struct prefix;

struct prefix_options {
    uint32_t block_count;
    uint64_t root;      // of model and adapter
    uint32_t hash_bits; // of the hash that count, 1 to 64; 0: all. Few make collisions, for tests
};

struct prefix_key {
    uint64_t salt;
    uint32_t parent;    // a listed block, or PREFIX_ROOT
    const int32_t *ids; // [KV_BLOCK_TOKENS]
    uint32_t
        keep_ms; // how long it may rest at most; 0: as long as there is room. No part of what is compared
};

/* A block became READY, or one that was is off the list. */
struct prefix_change {
    uint64_t hash; // wire/block.h
    bool gone;
};

struct prefix *prefix_new(const struct prefix_options *options);
void prefix_free(struct prefix *prefix);

/* The block under this key, PENDING or READY; PREFIX_NONE: there is none. */
uint32_t prefix_find(const struct prefix *prefix, const struct prefix_key *key);
/* Under a key that nobody has yet, PENDING. The ids are copied. */
void prefix_list(struct prefix *prefix, uint32_t block, const struct prefix_key *key);
void prefix_set_ready(struct prefix *prefix, uint32_t block);
bool prefix_is_listed(const struct prefix *prefix, uint32_t block);
bool prefix_is_ready(const struct prefix *prefix, uint32_t block);

/* A block that is listed may rest no longer than this; 0 changes nothing. */
void prefix_limit(struct prefix *prefix, uint32_t block, uint32_t keep_ms);

/* A READY block has lost its last holder, or got one again. */
void prefix_rest(struct prefix *prefix, uint32_t block, uint64_t now_ns);
void prefix_wake(struct prefix *prefix, uint32_t block);
uint32_t prefix_resting(const struct prefix *prefix);

/* Take the block that has rested for longest off the list; there is one. */
uint32_t prefix_evict(struct prefix *prefix);
/* Take a leaf off the list, in any state. */
void prefix_forget(struct prefix *prefix, uint32_t block);
/* Take off the list what is listed under `salt` (NULL: any) and all that stands below it, in any state. Those that rested are
 * written to `rested`, which has room for every block; returns how many. */
uint32_t prefix_forget_salt(struct prefix *prefix, const uint64_t *salt, uint32_t *rested);

/* Likewise, what has rested for as long as it may, with all that stands below it. It looks at all that rest, at most once in
 * PREFIX_SWEEP_MS: by so much a block may be late. */
enum {
    PREFIX_SWEEP_MS = 50
};

uint32_t prefix_expire(struct prefix *prefix, uint64_t now_ns, uint32_t *rested);
/* When there is something to do for it, at the earliest; UINT64_MAX: never, as it is. */
uint64_t prefix_due_ns(const struct prefix *prefix);

/* From now on changes are kept until they are taken; in between two takings of all of them a block goes through at most
 * PREFIX_CHANGES_EACH. What is READY now counts as changed. */
enum {
    PREFIX_CHANGES_EACH = 4
};

void prefix_watch(struct prefix *prefix);
/* Take up to `max` changes, oldest first; how many. 0: there are no more. */
size_t prefix_changes(struct prefix *prefix, struct prefix_change *out, size_t max);

#endif

/* node/engine/kv.h -- the memory of every sequence on this node.
 *
 * Keys and values live in fixed blocks of KV_BLOCK_TOKENS tokens (all layers and heads of those tokens),
 * all taken from one mapping when the node starts; nothing is allocated after that. A table maps a
 * sequence's positions to blocks. A block may stand in several tables (a shared prefix); what is in it and counts
 * as computed never changes while it is held or cached.
 *
 *      table A  [ 7 | 2 | 9 ]            blocks   0 1 2 3 4 5 6 7 8 9
 *      table B  [ 7 | 2 | 4 ]            holders  . . 2 . 1 . . 2 . 1
 *                                        cached   . . r . . r . r . p     r: ready, p: pending
 *
 * At all times every block is one of: held (it stands in a table), cached (no table holds it, its tokens may be asked
 * for again), free. Cached blocks are taken, the one that has rested for longest first, when no free one is left: both
 * are available.
 *
 * The prefix cache. Full blocks can be found by what is in them (prefix.h): the ids, all ids before them, the model and
 * the salts under which the sequence may share. kv_enter() gives an empty table the blocks that are there by reference
 * and new ones for the rest, and lists the new full ones as pending: a twin that enters now shares them and need not
 * compute them. kv_settle() says how far a sequence has been computed and accepted: full blocks up to there are ready.
 * Nothing else becomes ready, so a position that was computed and then rejected is never found by anyone.
 *
 * Keys and values tell what was written. A block that becomes free is filled with zeros at once, and cached blocks are forgotten when
 * their time is over: kv_tick().
 *
 * The layout inside of a block is the attention kernels' (kernels/attention.h).
 * Thread: the engine's, alone. Nothing here locks. */
#ifndef NODE_ENGINE_KV_H
#define NODE_ENGINE_KV_H

#include "kernels/attention.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    KV_BLOCK_TOKENS = 32,
    KV_BLOCKS_MAX = 1 << 20 // of a pool; each takes some 200 bytes of index
};

struct kv_pool;
struct wire_salt;

struct kv_shape {
    uint32_t layer_count;
    uint32_t kv_head_count;
    uint32_t head_dim;
    uint32_t block_count; // the whole pool; at most KV_BLOCKS_MAX
    uint64_t root;        // of model and adapter: where cached prefixes begin
    enum kv_kind kind;    // of the values
};

/* A zeroed table is empty. Its array has room for `block_max` blocks, given at init. */
struct kv_table {
    uint32_t *blocks; // block of tokens [i * KV_BLOCK_TOKENS, (i + 1) * KV_BLOCK_TOKENS)
    uint32_t block_count;
    uint32_t block_max;
    uint32_t token_count; // for which there is room and that are, or are about to be, written
    uint32_t settled;     // leading blocks that are ready in the prefix cache
};

/* What a sequence knows and with whom it may share: ids, and the salts of its blocks (wire/message.h) in ascending
 * order. Without salts, or where the first of them is not for block 0, it shares nothing. */
struct kv_path {
    const int32_t *ids;
    uint32_t id_count;
    const struct wire_salt *salts;
    size_t salt_count;
    uint32_t keep_ms; // how long its blocks may stay cached after it; 0: as long as there is room
};

/* held + cached + free = total. */
struct kv_count {
    uint32_t total;
    uint32_t held;
    uint32_t cached;
    uint32_t free;
    uint64_t evicted; // cached blocks that were taken for something else, since the start
};

/* Blocks that hold so many tokens. */
static inline uint32_t kv_blocks_for(uint32_t token_count)
{
    return token_count / KV_BLOCK_TOKENS + (token_count % KV_BLOCK_TOKENS != 0);
}

/* Bytes of one block, for sizing a pool from --kv-bytes. */
size_t kv_block_size(const struct kv_shape *shape);

/* Map the pool. On success *out is the caller's, to give back with kv_pool_free(). ERR_NO_MEMORY. */
enum err kv_pool_new(struct kv_pool **out, const struct kv_shape *shape);
void kv_pool_free(struct kv_pool *pool);
struct kv_count kv_count_blocks(const struct kv_pool *pool);
/* Tables that the block stands in. */
uint32_t kv_holders(const struct kv_pool *pool, uint32_t block);
uint32_t kv_blocks_total(const struct kv_pool *pool);
/* Neither held nor cached. */
uint32_t kv_blocks_free(const struct kv_pool *pool);
/* Free or cached: what a table can get. */
uint32_t kv_blocks_available(const struct kv_pool *pool);
enum kv_kind kv_kind(const struct kv_pool *pool);

void kv_table_init(struct kv_table *table, uint32_t token_max);
/* Gives the blocks back and frees the array. */
void kv_table_fini(struct kv_pool *pool, struct kv_table *table);

/* Make room for `count` more tokens at the table's end. A partly filled last block that is shared is copied
 * first. ERR_NO_MEMORY: not enough is available and the table is as it was. */
enum err kv_extend(struct kv_pool *pool, struct kv_table *table, uint32_t count);
/* Let `target`, which is empty, hold the first `token_count` tokens of `source` as well. Copies no keys. */
void kv_share(struct kv_pool *pool, struct kv_table *target, const struct kv_table *source,
              uint32_t token_count);
/* Drop the tokens from `token_count` on (rejected speculation, a step undone). Settled tokens are never taken back,
 * but all at once. */
void kv_truncate(struct kv_pool *pool, struct kv_table *table, uint32_t token_count);
/* Let go of every block; the table is empty. */
void kv_release(struct kv_pool *pool, struct kv_table *table);

/* Available blocks that kv_enter() would take for this path. */
uint32_t kv_cost(const struct kv_pool *pool, const struct kv_path *path);
/* Let `table`, which is empty, hold room for all ids of the path: blocks that are known by reference, for the rest new
 * ones, which become known as pending. The block with the last id is always new: that id is to be computed, since
 * nobody keeps logits. ERR_NO_MEMORY: nothing has changed. */
enum err kv_enter(struct kv_pool *pool, struct kv_table *table, const struct kv_path *path);
/* How many of `id_count` ids are there, when `computed` were: further where blocks became ready meanwhile. Never the
 * last id. */
uint32_t kv_ready(const struct kv_pool *pool, const struct kv_table *table, uint32_t computed,
                  uint32_t id_count);
/* The first `computed` ids of the path have been computed and accepted: their full blocks can be found from now on. A
 * block of which the cache has an equal one already is exchanged for that one (they are equal bit for bit). */
void kv_settle(struct kv_pool *pool, struct kv_table *table, const struct kv_path *path,
               uint32_t computed);
/* Does another table hold the block of token `at` too, and nobody has computed it yet? */
bool kv_is_awaited(const struct kv_pool *pool, const struct kv_table *table, uint32_t at);
/* May the two, whose ids up to the block's end need not be equal, take the block of token `at` from one another as far
 * as their ids go together: the same block before it, the same salt for it? */
bool kv_is_twin(const struct kv_table *a, const struct kv_path *a_path, const struct kv_table *b,
                const struct kv_path *b_path, uint32_t at);
/* Copy the block of token `at` into the block of `target` at this place, which nobody else holds. */
void kv_copy(struct kv_pool *pool, struct kv_table *target, const struct kv_table *source,
             uint32_t at);
/* It is `now_ns`: forget what has been cached for as long as it may. Whoever never calls it has blocks that stay as long as there is
 * room. How many blocks became free. */
uint32_t kv_tick(struct kv_pool *pool, uint64_t now_ns);
/* When there is something to do for it; UINT64_MAX: never, as it is. */
uint64_t kv_due_ns(const struct kv_pool *pool);
/* Nothing that is cached under this salt (NULL: any), or behind it, is found any more. Tables keep what they hold. */
void kv_forget(struct kv_pool *pool, const uint64_t *salt);

/* Blocks that can be found from now on, and those that cannot any more: kept from kv_watch() on until they are taken, all
 * of them in between two steps. See prefix_watch(). */
struct prefix_change;
void kv_watch(struct kv_pool *pool);
size_t kv_changes(struct kv_pool *pool, struct prefix_change *out, size_t max);

/* Where the keys and values of (block, layer, kv head) begin. */
void *kv_block_at(const struct kv_pool *pool, uint32_t block, uint32_t layer, uint32_t kv_head);

#endif

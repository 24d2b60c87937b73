/* node/engine/kv.h -- the memory of every sequence on this node.
 *
 * Keys and values live in fixed blocks of KV_BLOCK_TOKENS tokens (all layers and heads of those tokens),
 * all taken from one mapping when the node starts; nothing is allocated after that. A table maps a
 * sequence's positions to blocks. A block may stand in several tables (a shared prefix): it is freed when its
 * last holder lets go, and it is written only while it has one holder.
 *
 *      table A  [ 7 | 2 | 9 ]            blocks   0 1 2 3 4 5 6 7 8 9
 *      table B  [ 7 | 2 | 4 ]            holders  . . 2 . 1 . . 2 . 1
 *
 * The layout inside of a block is the attention kernels' (kernels/attention.h).
 * Thread: the engine's, alone. Nothing here locks. */
#ifndef NODE_ENGINE_KV_H
#define NODE_ENGINE_KV_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum {
    KV_BLOCK_TOKENS = 32
};

struct kv_pool;

struct kv_shape {
    uint32_t layer_count;
    uint32_t kv_head_count;
    uint32_t head_dim;
    uint32_t block_count; // the whole pool
};

/* A zeroed table is empty. Its array has room for `block_max` blocks, given at init. */
struct kv_table {
    uint32_t *blocks; // block of tokens [i * KV_BLOCK_TOKENS, (i + 1) * KV_BLOCK_TOKENS)
    uint32_t block_count;
    uint32_t block_max;
    uint32_t
        token_count; // tokens for which there is room and that are, or are about to be, written
};

/* Bytes of one block, for sizing a pool from --kv-bytes. */
size_t kv_block_size(const struct kv_shape *shape);

/* Map the pool. On success *out is the caller's, to give back with kv_pool_free(). ERR_NO_MEMORY. */
enum err kv_pool_new(struct kv_pool **out, const struct kv_shape *shape);
void kv_pool_free(struct kv_pool *pool);
uint32_t kv_blocks_free(const struct kv_pool *pool);
uint32_t kv_blocks_total(const struct kv_pool *pool);

void kv_table_init(struct kv_table *table, uint32_t token_max);
/* Gives the blocks back and frees the array. */
void kv_table_fini(struct kv_pool *pool, struct kv_table *table);

/* Make room for `count` more tokens at the table's end. A partly filled last block that is shared is copied
 * first. ERR_NO_MEMORY: the pool is empty and the table is as it was. */
enum err kv_extend(struct kv_pool *pool, struct kv_table *table, uint32_t count);
/* Let `target`, which is empty, hold the first `token_count` tokens of `source` as well. Copies no keys. */
void kv_share(struct kv_pool *pool, struct kv_table *target, const struct kv_table *source,
              uint32_t token_count);
/* Drop the tokens from `token_count` on (rejected speculation, a step undone). */
void kv_truncate(struct kv_pool *pool, struct kv_table *table, uint32_t token_count);
/* Let go of every block; the table is empty. */
void kv_release(struct kv_pool *pool, struct kv_table *table);

/* Where the keys and values of (block, layer, kv head) begin. */
void *kv_block_at(const struct kv_pool *pool, uint32_t block, uint32_t layer, uint32_t kv_head);

#endif

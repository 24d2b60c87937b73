/* scheduler/core/index.h -- which node has which cached blocks: a table of (block hash, node), of fixed size.
 *
 *      hash of block 0 --> node 3, node 7
 *      hash of block 1 --> node 3                 a prompt of blocks 0, 1, 2: node 3 has two of them, node 7 one
 *
 * Nodes tell what they have (CACHE_DELTA); that is certain. What a request that was just sent to a node will leave there is
 * expected: it counts until INDEX_EXPECT_NS later, by when the node has told of it or it did not come true. A block's
 * hash covers all that is before it (wire/block.h), so the leading blocks of a prompt are what counts.
 *
 * When the table is full, what is new is not taken in (index_stats): such a block is predicted as not cached, nothing
 * else is wrong. Nodes are slots, 0 .. INDEX_NODES_MAX - 1, given out by the fleet.
 *
 * Pure: time is an argument. Thread: the loop's. */
#ifndef SCHEDULER_CORE_INDEX_H
#define SCHEDULER_CORE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    INDEX_NODES_MAX = 1024
};

#define INDEX_EXPECT_NS (UINT64_C(10) * 1000000000)

struct block_index;

struct index_stats {
    size_t entries, capacity;
    uint64_t dropped; // that the full table did not take
};

/* `capacity` entries of 32 bytes. */
struct block_index *index_new(size_t capacity);
void index_free(struct block_index *index);

void index_add(struct block_index *index, uint16_t node, uint64_t hash);
void index_remove(struct block_index *index, uint16_t node, uint64_t hash);
/* The node will have these, if all goes well. Those that it has already stay as they are. */
void index_expect(struct block_index *index, uint16_t node, const uint64_t *hashes, size_t count,
                  uint64_t now_ns);
/* Forget all of a node's. */
void index_reset(struct block_index *index, uint16_t node);

/* Look through a part of the table for expectations that are over; call it every 100 ms or so. */
void index_tick(struct block_index *index, uint64_t now_ns);

/* How many leading blocks each node has: `depths`, [INDEX_NODES_MAX], is zeroed and filled. */
void index_depths(const struct block_index *index, const uint64_t *hashes, size_t count,
                  uint64_t now_ns, uint32_t *depths);
struct index_stats index_stats(const struct block_index *index);

#endif

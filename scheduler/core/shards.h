/* scheduler/core/shards.h -- where the shards of an index' vectors lie, and who is asked for them.
 *
 * Vectors are numbered; shard k of an index has the numbers [k × SHARD_NUMBERS, (k + 1) × SHARD_NUMBERS). Each shard lies on
 * SHARD_COPIES nodes, or on all where there are fewer: those whose name and the shard's id make the greatest hashes (rendezvous
 * hashing: Thaler, Ravishankar 1998). So every scheduler finds the same nodes, and one that comes or goes moves only the
 * shards that it has.
 *
 * Pure. Thread: any. */
#ifndef SCHEDULER_CORE_SHARDS_H
#define SCHEDULER_CORE_SHARDS_H

#include "wire/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SHARD_NUMBERS = WIRE_SHARD_NUMBERS,
    SHARD_COPIES = 2
};

/* The shard's name on the wire. `epoch` tells an index from one of the same name that was there before. Never 0. */
uint64_t shard_id(const char *name, uint64_t epoch, uint32_t index);

/* Of a node's name, for shard_place(). */
uint64_t shard_node_hash(const char *name);
/* The nodes of a shard, by their place in `hashes`, the greatest hash first; how many, at most SHARD_COPIES. */
size_t shard_place(uint64_t shard, const uint64_t *hashes, size_t node_count,
                   size_t chosen[SHARD_COPIES]);

enum {
    SHARD_NOBODY = UINT16_MAX
};

/* Ask as few nodes as can be: node n has shard s where held[n × shard_count + s]. takers[s] is the node that is asked for s,
 * or SHARD_NOBODY. Among equally good nodes `turn` decides, so that searches are spread. How many shards have nobody. */
size_t shard_cover(const bool *held, size_t node_count, size_t shard_count, uint64_t turn,
                   uint16_t *takers);

#endif

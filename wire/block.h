/* wire/block.h -- how node and scheduler name a block of ids: what prefix routing and CACHE_DELTA speak of.
 *
 *      root ---> hash(ids[0..32)) ---> hash(ids[32..64)) ---> ...      one number for a block and all that is before it
 *
 * hash = the parent's hash (the root for the first block), then the block's salt, then its ids in pairs, each mixed in by
 * rand_at() of base/rand.h. The root is of the model and its adapter. Equal hashes lend nobody anything: a node compares
 * ids (node/engine/prefix.h), a scheduler only predicts by them. Pure functions; thread: any. */
#ifndef WIRE_BLOCK_H
#define WIRE_BLOCK_H

#include "base/digest.h"

#include <stdint.h>

enum {
    WIRE_BLOCK_TOKENS =
        32 // HELLO says the same of its node, or none of its blocks can be predicted
};

uint64_t block_root(const struct digest *model, const struct digest *adapter);
/* `ids`: [WIRE_BLOCK_TOKENS]. */
uint64_t block_hash(uint64_t parent, uint64_t salt, const int32_t *ids);

#endif

/* node/shelf/slabs.h -- memory for the rows of blocks: pieces of equal size, cut from mappings of huge pages.
 *
 * A walk reads hundreds of megabytes in order; on small pages it waits for their tables a fifth of its time. A slab is of
 * MEM_HUGE_PAGE, or of one piece where that is larger, and is given back to the system with its last piece. Thread: one owner. */
#ifndef NODE_SHELF_SLABS_H
#define NODE_SHELF_SLABS_H

#include <stddef.h>
#include <stdint.h>

struct slab;

struct slabs {
    struct slab *open; // those that have a piece to give
    uint64_t bytes;    // mapped
};

/* What taking a piece of this size would map: 0 where one is left. `piece` is the same multiple of 64 in each call about it. */
size_t slabs_cost(const struct slabs *slabs, size_t piece);
/* A piece, with whatever an earlier holder left in it, and the slab that it is of. NULL: the system refused. */
void *slabs_take(struct slabs *slabs, size_t piece, struct slab **slab);
void slabs_give(struct slabs *slabs, struct slab *slab, const void *piece);

#endif

/* node/service/cached.h -- what the node's prefix cache holds, as its schedulers are told.
 *
 *      engine's reports --note--> [ set of hashes ] [ ring of the latest changes ] --next--> CACHE_DELTA of each link
 *
 * The set is what is there now; the ring remembers which hashes changed, so that a link that is up to a place in it
 * needs only what changed behind that place: each such hash is told as added or removed by what the set says now. A
 * link that is new, or fell behind the ring, is told to forget all and gets the whole set, part by part, and what changed
 * meanwhile after it.
 *
 * Bounded: the set has room for the pool's blocks, the ring CACHED_RING changes. Two blocks whose hashes are equal count
 * as one. Thread: the service's. */
#ifndef NODE_SERVICE_CACHED_H
#define NODE_SERVICE_CACHED_H

#include "wire/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CACHED_RING = 16384
};

struct cached;

/* How far one link has been told. A zeroed one has been told nothing. */
struct cached_place {
    uint64_t sequence; // of its next delta
    bool begun;        // the whole set has been told, or is being told
    bool whole;        // it has been told to its end
    uint64_t slot;     // of the set, that is told next
    uint64_t change;   // that is told next
};

struct cached *cached_new(uint32_t block_count);
void cached_free(struct cached *cached);

/* A block can be found now, or is gone. */
void cached_note(struct cached *cached, uint64_t hash, bool gone);
bool cached_has(const struct cached *cached, uint64_t hash);
size_t cached_count(const struct cached *cached);

bool cached_is_told(const struct cached *cached, const struct cached_place *place);
/* The next delta for a link, and its place behind it; arrays are borrowed until the next call. False: it has been told
 * everything. */
bool cached_next(struct cached *cached, struct cached_place *place, struct wire_cache_delta *out);

#endif

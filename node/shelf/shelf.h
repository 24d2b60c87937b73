/* node/shelf/shelf.h -- the vectors that schedulers have put here: shards of rows of bytes, in memory alone.
 *
 *      shelf ── shard 0x1020… ── [ block | block | – | block | … ]     SHELF_BLOCKS of SHELF_BLOCK numbers each
 *                                    │
 *                                    present bits, scales, rows [SHELF_BLOCK][width]
 *
 * A row lies at the place that its number says, so a put and a drop find it at once, and numbers of which none is there
 * take no memory. wire/message.h says what a SHARD_PUT means; what of it does not fit or contradicts costs the whole
 * shard, for a part of a shard is of no use. A shelf is a cache: schedulers see by SHARD_STATE what it has lost.
 *
 * Whoever searches holds a shard as it is (shelf_hold), and nothing of that changes any more: a put to a shard that is held
 * makes a new one, which shares with the old one every block but those that it writes. So neither waits for the other,
 * and a search sees one moment of each shard.
 *
 * Memory is counted as it is taken from the system (slabs.h), what only a search still holds included. New rows find room up to the
 * limit; copies for the sake of holders, SHELF_SPARE parts of it more.
 *
 * Thread: one, the service's; what is held may be read by any. */
#ifndef NODE_SHELF_SHELF_H
#define NODE_SHELF_SHELF_H

#include "wire/message.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SHELF_BLOCK = 256, // numbers
    SHELF_BLOCKS = WIRE_SHARD_NUMBERS / SHELF_BLOCK,
    SHELF_WORDS = SHELF_BLOCK / 64,
    SHELF_SPARE = 8 // copies may take a part in so many beyond the limit
};

struct slab;

struct shelf_block {
    uint32_t holders; // shards that it is part of
    uint32_t count;   // rows that are there
    uint64_t present[SHELF_WORDS];
    float scales[SHELF_BLOCK];
    int8_t *
        rows; // [SHELF_BLOCK][width], as kernels/scan.h wants them; what is not present is anything
    struct slab *slab; // that they lie in
};

/* A shard as it is at one time. */
struct shelf_shard {
    uint32_t holders; // the shelf, and each search
    uint32_t dims;
    uint32_t width; // bytes of a row
    uint32_t rows;
    int32_t first;                            // number of its first place; -1: no row has told yet
    struct shelf_block *blocks[SHELF_BLOCKS]; // NULL: no row
};

struct shelf;

struct shelf *shelf_new(uint64_t memory);
/* Nothing is held. */
void shelf_free(struct shelf *shelf);

/* One part, well-formed (wire/message.c), of the link `link`. ERR_TOO_LARGE: no memory, or WIRE_SHARDS_MAX; ERR_INVALID: it
 * contradicts the shard; with a note, and the shard is gone. What is passed over is ERR_OK. */
enum err shelf_put(struct shelf *shelf, uint64_t link, const struct wire_shard_put *put);
void shelf_drop(struct shelf *shelf, uint64_t shard);
/* What this link was still filling is forgotten. */
void shelf_link_down(struct shelf *shelf, uint64_t link);

/* A whole shard, held for the caller. ERR_NOT_FOUND, with the note "shard": it is not here, or not whole; ERR_INVALID: its
 * rows are not of `dims`. */
enum err shelf_hold(struct shelf *shelf, uint64_t shard, size_t dims,
                    const struct shelf_shard **out);
void shelf_let_go(struct shelf *shelf, const struct shelf_shard *shard);

/* How often what shelf_state() says has changed. */
uint64_t shelf_changes(const struct shelf *shelf);
bool shelf_is_empty(const struct shelf *shelf);
/* All that is here; its list is valid until the next call. */
struct wire_shard_state shelf_state(struct shelf *shelf);

#endif

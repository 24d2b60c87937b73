/* wire/lanes.h -- what one link has still to send: three lanes of whole frames, bounded in bytes.
 *
 *      urgent    > ordinary > bulk
 *
 * The first lane with a frame goes first; inside a lane order holds. Sequence numbers are given
 * when a frame leaves, so the peer sees them without a gap whichever lane a frame came by.
 *
 * Thread: one at a time; link_nng.c holds its lock around these. */
#ifndef WIRE_LANES_H
#define WIRE_LANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum lane {
    LANE_URGENT,
    LANE_ORDINARY,
    LANE_BULK,
    LANE_COUNT
};

enum {
    // Small frames that leave together, in one write: no more than this, or one frame that is
    // larger.
    LANES_BATCH_BYTES = 16 << 10
};

struct parcel;

struct lanes {
    struct parcel *first[LANE_COUNT];
    struct parcel *last[LANE_COUNT];
    size_t bytes; // queued
    size_t limit; // of `bytes`
    uint64_t sequence;
};

void lanes_init(struct lanes *lanes, size_t limit);
void lanes_fini(struct lanes *lanes);

/* Queue one frame (header and body), whose bytes are taken out of `frame`. False when it would
 * exceed the limit; then `frame` is untouched. */
bool lanes_put(struct lanes *lanes, enum lane lane, struct buf *frame);
/* Append the next frames to `out`; nothing when the lanes are empty. */
void lanes_take(struct lanes *lanes, struct buf *out);

#endif

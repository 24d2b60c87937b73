/* scheduler/features/search/cargo.h -- one shard for one node: what of it has still to be sent.
 *
 *      WAITING --cargo_begin--> FILLING --cargo_complete--> SETTLED
 *                                  all rows                  what changes
 *
 * A shard that the node holds whole already is not forgotten for that: its rows are sent over those that are there, and what
 * was not among them is dropped at the end, so that it can be searched meanwhile. Thread: the loop's. */
#ifndef SCHEDULER_FEATURES_SEARCH_CARGO_H
#define SCHEDULER_FEATURES_SEARCH_CARGO_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vector;
struct wire_message;

enum cargo_state {
    CARGO_WAITING,
    CARGO_FILLING,
    CARGO_SETTLED
};

struct cargo_road {
    void *owner;
    enum err (*send)(void *owner, uint64_t link, const struct wire_message *message, bool urgent);
};

struct cargo {
    struct cargo *next; // of the same shard
    struct cargo_road road;
    uint64_t link, shard;
    uint32_t index; // of the shard
    uint32_t size;  // numbers of a vector
    enum cargo_state state;
    bool reset;       // with the next part the node forgets what it has of it
    bool refreshes;   // while FILLING: the node keeps what it has
    bool broken;      // the link has refused a part: its node is on its way out
    uint64_t version; // of what was sent
    uint8_t *told;    // [SHARD_NUMBERS / 8] while FILLING: the numbers that were told
    struct buf numbers, scales, rows, dropped; // the next part
    uint64_t bytes;                            // of rows that were sent
    // The filler's:
    bool wanted;
    uint64_t settled_ns, wait_ns;
    uint32_t failures;
};

void cargo_free(struct cargo *cargo);
/* All rows come now, as of `version` (from 1) at least. Without `reset` the node holds it whole, as of no later one. */
void cargo_begin(struct cargo *cargo, bool reset, uint64_t version);
/* Ignored while it waits. */
void cargo_put(struct cargo *cargo, const struct vector *vector);
void cargo_drop(struct cargo *cargo, uint32_t number);
/* That was all, as of `version`: while FILLING, the shard is whole; then what changed since the last call. */
void cargo_complete(struct cargo *cargo, uint64_t version);
/* Begin anew some day. */
void cargo_stop(struct cargo *cargo);

#endif

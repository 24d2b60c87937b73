/* scheduler/door/shortlist.h -- the best rows of a recommender for one history: one node's list, or several nodes' slices put together.
 *
 *      shortlist_start --> flights (one, or one for each slice) --> done(answer), once
 *                             \-- a node lacks the bitmap: the same once more, with its bits
 *
 * A model of more rows than the setting `slice_rows` is ranked by as many nodes as serve it, up to SLICES_MAX; the answer is the one that
 * a single node would have given, bit for bit (core/slices.h). The reasons of such a list are asked for when it is known: a
 * further flight ranks these rows alone. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_SHORTLIST_H
#define SCHEDULER_DOOR_SHORTLIST_H

#include "scheduler/core/fleet.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct context;
struct door;
struct shortlist;
struct sold;

struct shortlist_ask {
    struct fleet_model model;
    const struct context *context; // outlives the shortlist, like the rows
    const int32_t *seen; // [seen_count], the oldest first, at least one; the model takes the newest
    size_t seen_count;
    uint32_t count;
    bool exclude_seen, explain;
    struct sold *sold; // which rows may be listed, the shortlist's from then on; NULL: all
};

/* Borrowed until the function returns. */
struct shortlist_answer {
    enum err err;
    const char *note;    // with an error
    uint32_t retry_ms;   // with ERR_BUSY: when to come again
    const int32_t *rows; // [count] best first
    const float *scores; // [count]
    size_t count;
    const float *weights; // [weight_count] of the newest of `seen`, with explain
    size_t weight_count;
    uint64_t heard_ns; // when the node's word came
};

typedef void shortlist_fn(void *argument, const struct shortlist_answer *answer);

/* `done` is never called from inside of it. A failure is flight_start()'s: nothing was started, *retry_ms as in an answer. */
enum err shortlist_start(struct door *door, const struct shortlist_ask *ask, shortlist_fn *done,
                         void *argument, struct shortlist **out, uint32_t *retry_ms);
/* Nobody asks any more. */
void shortlist_cancel(struct shortlist *shortlist);

#endif

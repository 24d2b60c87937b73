/* scheduler/evictions.h -- a user's blocks are dropped on every node, and it is known when.
 *
 *      evictions_begin --EVICT--> every node that is linked --EVICTED--> … the last one: done(true)
 *                                       |
 *                                       +-- gone, or silent for EVICTION_MS: done(false); it may be begun again
 *
 * A node that was away meanwhile may hold them still: whoever says HELLO is told of the latest EVICTIONS_KEPT. One that has started
 * since holds nothing, and loses nothing by it.
 *
 * Pure but for the seam: time is an argument. Thread: the loop's. */
#ifndef SCHEDULER_EVICTIONS_H
#define SCHEDULER_EVICTIONS_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct evictions;
struct fleet;
struct wire_message;

enum {
    EVICTION_MS = 2000,
    EVICTION_AGAIN_MS = 500, // a node that had too much to forget is asked again
    EVICTIONS_MAX = 1024,    // under way
    EVICTIONS_KEPT = 32      // fewer than make a node forget everything
};

/* Where messages leave; as flights' (core/flight.h). */
struct evictions_seam {
    void *owner;
    enum err (*send)(void *owner, uint64_t link, const struct wire_message *message, bool urgent);
};

/* `all`: nothing is left under the salt on any node that is linked. */
typedef void eviction_fn(void *argument, bool all);

struct evictions *evictions_new(const struct fleet *fleet, const struct evictions_seam *seam);
/* Those that are under way end with false. */
void evictions_free(struct evictions *evictions);

/* `done` is called once, later. ERR_BUSY: EVICTIONS_MAX are under way. */
enum err evictions_begin(struct evictions *evictions, uint64_t salt, uint64_t now_ns,
                         eviction_fn *done, void *argument);
/* A node has come, has said EVICTED, has gone. */
void evictions_up(struct evictions *evictions, uint64_t link);
void evictions_said(struct evictions *evictions, uint64_t link, uint64_t serial);
void evictions_down(struct evictions *evictions, uint64_t link);
/* Every 100 ms or so. */
void evictions_tick(struct evictions *evictions, uint64_t now_ns);

#endif

/* scheduler/door/wait.h -- requests that came when no node served their model, but one may in a moment.
 *
 * A scheduler that has just started knows no model: its nodes come within about a second, and then hand over their
 * text packs. A model whose only node restarts is without one for as long. A request for such a model is not
 * told at once what will be wrong in a moment: it waits until more is served than was, and is then handled from its
 * beginning; or until its time is up, and is then handled for the last time.
 *
 *      unknown model     until WAIT_START_MS after the scheduler's start
 *      known, no node    WAIT_NODE_MS from its arrival
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_DOOR_WAIT_H
#define SCHEDULER_DOOR_WAIT_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct door;
struct http_request;
struct waits;

enum {
    WAIT_START_MS = 2000,
    WAIT_NODE_MS = 3000,
    WAIT_REQUESTS_MAX = 256 // who comes beyond is answered at once
};

/* For so long in place of WAIT_START_MS and WAIT_NODE_MS; zeros: as these say. */
struct wait_limits {
    uint32_t start_ms, node_ms;
};

struct waits *waits_new(struct door *door, const struct wait_limits *limits);
/* Nobody waits any more: after http_free(). */
void waits_free(struct waits *waits);

/* Whether the request, which a handler was about to refuse because of its model with `err`, waits instead. If so it
 * is no longer the handler's; `handle` is called with it again, from the loop, unless its client goes away. */
bool waits_take(struct waits *waits, struct http_request *request, enum err err,
                void (*handle)(struct door *door, struct http_request *request));

#endif

/* node/engine/calibrate.h -- the pace's first look at this machine with this model: a few steps of each kind, timed.
 *
 * It runs steps of zeros through the backend on blocks that it takes from the pool and gives back: 1, 2, 4 ... rows
 * without logits, a few with them, and a narrow and a wide slice at depth. Each is timed CALIBRATE_RUNS times and its
 * shortest time counts. It ends early when CALIBRATE_MS have passed; what it has not reached follows from what it has.
 *
 * Thread: the one that leads the backend's; before the engine runs. */
#ifndef NODE_ENGINE_CALIBRATE_H
#define NODE_ENGINE_CALIBRATE_H

#include "node/engine/batch.h"

#include <stdint.h>

enum {
    CALIBRATE_MS = 2000,
    CALIBRATE_RUNS = 3,
    CALIBRATE_DEPTH = 2048 // positions, where the context has them
};

struct engine_backend;
struct kv_pool;

/* Into limits->pace. `context` is the most positions of a sequence. */
void calibrate(const struct engine_backend *backend, struct kv_pool *pool,
               const struct batch_limits *limits, uint32_t context);

#endif

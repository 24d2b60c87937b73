/* node/model/forward.h -- the transformer: one step over slices of many sequences.
 *
 *      slice 0: ids [5]  positions 0..4   (prefill chunk)        +--> hidden rows [5+1+1, dim]
 *      slice 1: ids [1]  position  37     (decode)          ->   |    logits only for the rows asked for
 *      slice 2: ids [1]  position  112    (decode)               |
 *
 * The output of a row depends on its own sequence and nothing else in the step (design promise 1): not on the
 * other slices, not on how a prompt was cut into slices, not on the number of threads, not on the rung.
 *
 * Thread: one owner (the engine's thread, which leads the team); nothing is allocated after forward_new(). */
#ifndef NODE_MODEL_FORWARD_H
#define NODE_MODEL_FORWARD_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kv_pool;
struct kv_table;
struct model;
struct team;

enum {
    FORWARD_ROWS_MAX = 1 << 13 // of one step
};

struct forward_slice {
    const int32_t *ids; // [count], each in [0, vocab_size): the caller has checked
    uint32_t count;     // > 0
    uint32_t position;  // of ids[0]; the table holds [0, position) and has room for the slice
    const struct kv_table
        *table;           // token_count >= position + count; NULL of a whole prompt (engine.h)
    uint32_t logit_count; // logits of the last so many rows of the slice; 0 for none
    bool hidden;          // of those rows only forward_hidden() is asked for
};

struct forward;

struct forward_limits {
    uint32_t rows_max;    // tokens of one step, at most FORWARD_ROWS_MAX
    uint32_t logits_max;  // logit rows of one step
    uint32_t context_max; // largest position + 1 (sizes the rope tables and score scratch)
};

/* ERR_INVALID: rows_max is beyond FORWARD_ROWS_MAX; ERR_NO_MEMORY. */
enum err forward_new(struct forward **out, const struct model *model, struct kv_pool *pool,
                     struct team *team, const struct forward_limits *limits);
void forward_free(struct forward *forward);

/* Run the step; keys and values of every row are written to the pool. Limits are the caller's promise. */
void forward_step(struct forward *forward, const struct forward_slice *slices, size_t slice_count);

/* Logits of row `index` (in the order of slices, then of their rows asked for): [vocab_size], valid until the
 * next step; the caller may change them in place (the sampler does). */
float *forward_logits(struct forward *forward, size_t index);

/* The last layer's state of the same row behind the output norm: [dim], valid until the next step. */
const float *forward_hidden(const struct forward *forward, size_t index);

#endif

/* node/model/scratch.h -- what a step works on, for forward.c and scratch.c alone.
 *
 * R = rows_max, L = logits_max, C = context_max of the limits. Everything is laid out once over one mapping. Three
 * groups lie over one another, because a step never needs two of them at once:
 *
 *      q k v mixed     until a layer's attention has been added to the residual stream
 *      gate up         from there to the end of the layer
 *      logits          after the last layer, until the next step */
#ifndef NODE_MODEL_SCRATCH_H
#define NODE_MODEL_SCRATCH_H

#include "node/model/forward.h"

#include "kernels/attention.h"
#include "kernels/matmul.h"

#include <stdbool.h>

/* One token of the step. */
struct row {
    int32_t id;
    uint32_t position;
    const void *const *blocks; // of its sequence, [ceil((position + 1) / 32)] and more
    void *block;               // the one that its own keys and values go to
    bool asked;                // for logits
};

/* Rows of one sequence that follow one another: what a thread takes at once of attention. */
struct span {
    uint32_t row; // the first
    uint32_t count;
};

struct scratch {
    struct row *rows;    // [R]
    struct span *spans;  // [R]
    const void **blocks; // [R * ceil(C / 32)]: the block lists of the slices, one behind the other
    float *x;            // [R, dim] the residual stream
    float *norm;         // [R, dim] its normed form; what a projection adds back to it
    float *q;            // [R, q_dim]
    float *k;            // [R, kv_dim]
    float *v;            // [R, kv_dim]
    float *mixed;        // [R, q_dim]
    float *gate;         // [R, ffn_dim]
    float *up;           // [R, ffn_dim]
    float *logits;       // [L, vocab_size]
    float *cosines;      // [R, rope_dim / 2] of the rows' positions
    float *sines;        // [R, rope_dim / 2]
    void *acts;          // matmul_acts_size(R * the wider of dim and q_dim)
    void *gated_acts;    // matmul_acts_size(R * ffn_dim)
};

struct forward {
    const struct model *model;
    const struct ops *ops;
    struct kv_pool *pool;
    struct team *team;
    struct forward_limits limits;
    size_t q_dim, kv_dim;
    double rope_frequencies[ATTENTION_DIM_MAX / 2]; // radians a position, [rope_dim / 2]
    size_t row_count; // of the step; from the last layer's attention on, of the rows asked for
    size_t span_count;
    size_t logit_count;
    bool wants_logits;        // not only hidden rows
    struct matmul_acts acts;  // the input of q, k, v; of output; of gate and up; of the head
    struct matmul_acts gated; // the input of down
    struct scratch s;
    void *memory;
    size_t memory_size;
};

#endif

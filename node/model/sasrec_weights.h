/* node/model/sasrec_weights.h -- what a sasrec is made of, for the rooms of this folder. Shapes are [rows, columns]. */
#ifndef NODE_MODEL_SASREC_WEIGHTS_H
#define NODE_MODEL_SASREC_WEIGHTS_H

#include "node/model/sasrec.h"

#include "kernels/pack.h"

#include "base/buf.h"

/* A matrix with its bias. */
struct sasrec_linear {
    struct packed weight;
    const float *bias; // [weight.rows]
};

/* weight, then bias: [dim] each. */
struct sasrec_norm {
    const float *weight;
    const float *bias;
};

struct sasrec_block {
    struct sasrec_linear q, k, v, output; // [dim, dim]
    struct sasrec_norm attention_norm;
    struct sasrec_linear up;   // [ffn_dim, dim]
    struct sasrec_linear down; // [dim, ffn_dim]
    struct sasrec_norm output_norm;
};

struct sasrec {
    struct sasrec_shape shape;
    const struct ops *ops;
    struct digest digest;
    struct digest numerics;
    struct buf pack;
    struct catalogue *items; // item_embd: [item_count, dim]
    const float *positions;  // [context_length, dim]
    struct sasrec_norm embedding_norm;
    struct sasrec_block *blocks; // [block_count]
    void *memory;                // all but the items
    size_t memory_size;
    size_t memory_used;
};

#endif

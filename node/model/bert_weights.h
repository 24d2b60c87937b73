/* node/model/bert_weights.h -- what an encoder is made of, for bert*.c alone. Shapes are [rows, columns]. */
#ifndef NODE_MODEL_BERT_WEIGHTS_H
#define NODE_MODEL_BERT_WEIGHTS_H

#include "node/model/bert.h"
#include "node/model/packing.h"

#include "kernels/pack.h"

#include "base/buf.h"
#include "base/digest.h"

struct bert_layer {
    struct packed q, k, v;        // [dim, dim]
    const float *q_bias;          // [dim]
    const float *k_bias, *v_bias; // [dim]
    struct packed output;         // [dim, dim]
    const float *output_bias;     // [dim]
    const float *mixed_norm;      // [dim] behind attention and its residual
    const float *mixed_norm_bias; // [dim]
    struct packed up;             // [ffn_dim, dim]
    const float *up_bias;         // [ffn_dim]
    struct packed down;           // [dim, ffn_dim]
    const float *down_bias;       // [dim]
    const float *out_norm;        // [dim] behind the feed-forward and its residual
    const float *out_norm_bias;   // [dim]
};

struct bert {
    struct bert_shape shape;
    const struct ops *ops;
    struct digest numerics;
    struct buf pack;

    struct packed embedding; // [vocab_size, dim]
    struct packed positions; // [position_count, dim]
    struct packed types;     // [type_count, dim]
    const float *norm;       // [dim] of the embeddings
    const float *norm_bias;  // [dim]
    struct bert_layer *layers;
    struct packed cls;            // [dim, dim]; cls_bias NULL: there is none
    const float *cls_bias;        // [dim]
    struct packed cls_output;     // [1, dim]; when shape.scores
    const float *cls_output_bias; // [1]; NULL: none

    struct packed_file file; // all packed matrices and vectors
};

#endif

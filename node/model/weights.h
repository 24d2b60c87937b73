/* node/model/weights.h -- what a model is made of, for the rooms of this folder.
 *
 * Everything is bound and checked by model_load() (load.c): the hyper-parameters by shape.c, the tensors by
 * the table in weights.c. After that nothing changes and the forward pass needs no checks.
 *
 * Shapes are [rows, columns]; a packed matrix of [N, K] takes K numbers to N.
 *      q_dim = head_count * head_dim      kv_dim = kv_head_count * head_dim */
#ifndef NODE_MODEL_WEIGHTS_H
#define NODE_MODEL_WEIGHTS_H

#include "node/model/bind.h"
#include "node/model/model.h"
#include "node/model/packing.h"

#include "kernels/pack.h"

#include "base/buf.h"
#include "base/digest.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct gguf;

/* Bounds of every hyper-parameter: no product of two of them leaves 40 bits. */
enum {
    MODEL_LAYERS_MAX = 512,
    MODEL_CONTEXT_MAX = 1 << 20,
    MODEL_VOCAB_MAX = 1 << 20,
    MODEL_DIM_MAX = 1 << 16, // of q_dim and kv_dim too
    MODEL_FFN_MAX = 1 << 18,
    MODEL_HEADS_MAX = 1024
};

struct layer {
    const float *attention_norm; // [dim]
    struct packed q;             // [q_dim, dim]
    struct packed k;             // [kv_dim, dim]
    struct packed v;             // [kv_dim, dim]
    const float *q_bias;         // [q_dim]; NULL where the architecture has none
    const float *k_bias;         // [kv_dim]
    const float *v_bias;         // [kv_dim]
    const float *q_norm;         // [head_dim]; NULL where the architecture has none
    const float *k_norm;         // [head_dim]
    struct packed output;        // [dim, q_dim]
    const float *ffn_norm;       // [dim]
    struct packed gate;          // [ffn_dim, dim]
    struct packed up;            // [ffn_dim, dim]
    struct packed down;          // [dim, ffn_dim]
};

struct model {
    struct model_shape shape;
    const struct ops *ops;
    struct digest numerics;
    enum kv_kind kv;
    struct buf pack;

    struct packed embedding;   // [vocab_size, dim]
    struct packed head;        // [vocab_size, dim]; a copy of `embedding` (the struct) when tied
    const float *output_norm;  // [dim]
    const float *rope_factors; // [rope_dim / 2] divisors of the frequencies; NULL for none
    struct layer *layers;      // [layer_count]

    struct packed_file file; // all packed matrices and vectors
};

/* Read and check the hyper-parameters (shape.c). `context_max` limits the context; 0 for as trained. */
enum err model_read_shape(struct model_shape *out, const struct gguf *gguf, uint32_t context_max);

/* Find and check every tensor that the architecture has (weights.c). On success *out [*count] is the caller's
 * to mem_free(); model->layers is allocated and model->shape.tied is known. */
enum err model_bind(struct model *model, const struct gguf *gguf, struct binding **out,
                    size_t *count);

#endif

/* node/model/bind.h -- tensors of a file and the places that wait for them, checked against a table: presence,
 * dimensions, type. For the models of this folder.
 *
 * A table is of `rules`; a rule names its lengths by numbers that the model gives meaning to (struct binder: extents).
 * Vectors are F32 (norms, biases, factors); a matrix of [rows, columns] may have any type of kernels/quant.h. */
#ifndef NODE_MODEL_BIND_H
#define NODE_MODEL_BIND_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gguf;
struct gguf_tensor;
struct packed;

enum {
    BIND_VECTOR = 0, // the extent that means: no rows, a vector. A model's own extents follow it
    BIND_EXTENTS_MAX = 16
};

/* One tensor: who has it, its shape, and where it goes. */
struct bind_rule {
    const char *name;
    unsigned groups; // of models, as bits
    bool optional;
    int columns, rows; // extents
    size_t place;      // offset of its struct packed, or of its const float *
};

/* A tensor of the file and the place that waits for it. */
struct binding {
    const struct gguf_tensor *tensor;
    struct packed *matrix; // either this
    const float **vector;  // or this
};

struct binder {
    const struct gguf *gguf;
    const char *architecture; // for people
    unsigned group;           // rules of other groups are passed over
    uint32_t layers;
    uint32_t extents[BIND_EXTENTS_MAX]; // values; [BIND_VECTOR] is 1
    struct binding *bindings;           // room for all rules of all owners
    size_t count;
};

/* `owner` is the struct that the rules' places lie in; `prefix` is "" or "blk.N.". ERR_FORMAT, ERR_UNSUPPORTED, with
 * the tensor by name. */
enum err bind_rules(struct binder *binder, const struct bind_rule *rules, size_t count, void *owner,
                    const char *prefix);
/* A tensor that no rule has taken would change what the model says if it were left out: ERR_UNSUPPORTED. */
enum err bind_refuse_others(const struct binder *binder);

#endif

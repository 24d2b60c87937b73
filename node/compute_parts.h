/* node/compute_parts.h -- what a node computes with, from the inside: for compute.c and the file of each kind of
 * model alone (compute_decoder.c, compute_echo.c, …).
 *
 * An opener finds `ops` chosen, and `team` too unless it is the echo's. It sets the pool, `facts`, `pack`, `backend` and
 * the room of a step; what it leaves behind on failure, its closer frees as well. */
#ifndef NODE_COMPUTE_PARTS_H
#define NODE_COMPUTE_PARTS_H

#include "node/compute.h"
#include "node/engine/kv.h"

#include "kernels/ops.h"

#include "base/digest.h"

struct compute {
    struct ops ops;
    struct team *team; // of a model; NULL of an echo
    struct kv_pool *pool;
    struct wire_model facts;
    const struct buf *pack;
    struct engine_backend backend;
    struct compute_room room;
    bool paced;

    void *part;                // the opener's own
    void (*close)(void *part); // NULL: there is none yet
};

enum err compute_open_bert(struct compute *compute, const struct settings *settings);
enum err compute_open_decoder(struct compute *compute, const struct settings *settings);
enum err compute_open_recommender(struct compute *compute, const struct settings *settings);
enum err compute_open_echo(struct compute *compute, const struct settings *settings);

/* The pool, and in *context (the model's own at first) what it can hold. */
enum err compute_open_pool(struct compute *compute, struct kv_shape *shape,
                           const struct settings *settings, uint32_t *context);
/* A pool of one block, for a model of whole prompts, which keeps nothing. */
enum err compute_open_no_pool(struct compute *compute);
/* Cached prefixes of one model are no other's. */
uint64_t compute_root(const struct digest *model);
/* A large model takes a while: a line a second, and one at the end. For model_options.progress; `argument` is a
 * uint64_t, the time of the last line. */
void compute_say_progress(void *argument, uint64_t done, uint64_t total);

#endif

/* node/compute.h -- what a node computes with, built from its settings: the model with all that runs it, or the
 * echo, behind one backend; and what the node says of it in its HELLO.
 *
 * Thread: main's until the engine's thread starts; then that one's, who leads the team. */
#ifndef NODE_COMPUTE_H
#define NODE_COMPUTE_H

#include "node/engine/engine.h"

#include "wire/message.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct compute;
struct kv_pool;
struct ops;
struct team;
struct settings;

/* Loads the model (the long part of a start). ERR_IO, ERR_FORMAT, ERR_UNSUPPORTED, ERR_NO_MEMORY, ERR_INVALID
 * with the file, the field or the setting by name. */
enum err compute_new(struct compute **out, const struct settings *settings);
void compute_free(struct compute *compute);

struct engine_backend compute_backend(const struct compute *compute);

/* What a step holds: the settings' numbers, or more where a model wants it (whole prompts need their context). */
struct compute_room {
    uint32_t batch_tokens;
    uint32_t sequences;
};

struct compute_room compute_room(const struct compute *compute);
/* Are its steps worth a pace (pace.h)? Those of a decoder are. */
bool compute_paced(const struct compute *compute);
struct kv_pool *compute_pool(const struct compute *compute);
/* The name, digests, context and vocabulary; lives as long as `compute`. */
const struct wire_model *compute_model(const struct compute *compute);
/* The text pack's bytes. */
const struct buf *compute_pack(const struct compute *compute);
uint32_t compute_threads(const struct compute *compute);
/* The kernels of the rung that QIAO_CPU or the machine chose, and its name. */
const struct ops *compute_ops(const struct compute *compute);
/* NULL of an echo. */
struct team *compute_team(const struct compute *compute);
const char *compute_rung(const struct compute *compute);

#endif

/* scheduler/core/sets.h -- models as the fleet knows them: a name, and the sets of digests that nodes serve under it.
 *
 * A set is a name with four digests (pack, model, adapter, numerics). The first set seen under a name is the current one:
 * requests go to it alone, until sets_promote() makes another current, or one that was put in its place (sets_take_over()) has
 * as many READY nodes. A set that nobody serves is forgotten at once; the
 * current one of a name after SETS_FORGET_NS, so that a restart of its only node changes nothing: then the eldest set
 * left under the name is current.
 *
 * Pure: time is an argument. Thread: the loop's. */
#ifndef SCHEDULER_CORE_SETS_H
#define SCHEDULER_CORE_SETS_H

#include "wire/message.h"

#include "base/digest.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SETS_MAX = 64
};

#define SETS_FORGET_NS (UINT64_C(30) * 1000000000)

/* A set as requests see it. */
struct fleet_model {
    char name[WIRE_NAME_MAX + 1];
    struct digest pack, model, adapter, numerics;
    uint32_t kinds;
    uint32_t context_length; // the least of the nodes that serve it
    uint32_t vocab_size;
    uint32_t vector_size; // of EMBED; 0: it makes none
    uint32_t node_count;  // READY nodes that serve these digests now
    bool current;         // false: another set under this name is the one that is routed to
};

/* What one node serves. */
struct served {
    char name[WIRE_NAME_MAX + 1];
    struct digest pack, model, adapter, numerics;
    uint32_t kinds;
    uint32_t context_length;
    uint32_t vocab_size;
    uint32_t vector_size; // of EMBED; 0: it makes none
};

struct set {
    struct fleet_model face;
    uint32_t live_count; // nodes that serve it, draining ones included
    uint64_t gone_ns;    // since when live_count is 0
    bool takes_over;     // it was put in the place of the current one
};

struct sets {
    struct set list[SETS_MAX];
    size_t count;
    uint64_t forget_ns; // when the first set that is gone is to be forgotten; UINT64_MAX: none is
};

void sets_init(struct sets *sets);
/* Make sure that each of the models has its set. ERR_NO_MEMORY: nothing was changed. */
enum err sets_add(struct sets *sets, const struct served *models, size_t count);

/* Count anew who serves what: begin, each node, then (where one came or went) forget. */
void sets_begin_count(struct sets *sets);
void sets_count(struct sets *sets, const struct served *models, size_t count, bool ready);
void sets_forget(struct sets *sets, uint64_t now_ns);

/* The operator puts this model in the place of what is current under its name. */
void sets_take_over(struct sets *sets, const struct served *served);
/* After a count: make current what has taken over. */
void sets_settle(struct sets *sets);

/* The current set under a name; NULL: no such model was seen. */
const struct fleet_model *sets_current(const struct sets *sets, const char *name, size_t size);
/* ERR_NOT_FOUND names model and digest (the model's or the pack's). */
enum err sets_promote(struct sets *sets, const char *model, const struct digest *digest);

#endif

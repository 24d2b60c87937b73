/* scheduler/door/hurdles.h -- what stands between a request and a feature: each looked at alone; nothing is denied, counted or recorded.
 *
 *      HURDLE_POLICY     the region is known and has rules that are valid now: `rules`, which all others need
 *      HURDLE_FEATURE    they allow the feature
 *      HURDLE_LABEL      the label that they ask for can be made
 *      HURDLE_LANGUAGE   they name the language, or any
 *      HURDLE_AUDIT      what they want recorded can be
 *      HURDLE_GATE       its approval, where they ask for one (gate.h)
 *      HURDLE_FILTER     the terms that they require are in force, where the feature is filtered
 *
 * In the order in which a request meets them. govern.c denies by the first that does not let it pass (screen.c by the filter, whose terms it
 * then uses); ofrep.c and gate_explain.c tell of the same: so what is told is what is met.
 *
 * Ownership: all is borrowed. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_HURDLES_H
#define SCHEDULER_DOOR_HURDLES_H

#include "scheduler/door/context.h"
#include "scheduler/policy/gate.h"
#include "scheduler/policy/reason.h"
#include "scheduler/policy/rules.h"

#include <stdbool.h>

struct buf;
struct digest;
struct door;

enum {
    HURDLES_USER_SIZE = CONTEXT_NAME_MAX + CONTEXT_USER_MAX + 2 // of "TENANT/USER"
};

enum hurdle {
    HURDLE_POLICY,
    HURDLE_FEATURE,
    HURDLE_LABEL,
    HURDLE_LANGUAGE,
    HURDLE_AUDIT,
    HURDLE_GATE,
    HURDLE_FILTER,
    HURDLE_COUNT
};

struct hurdles {
    struct door *door; // with policies
    const char *region, *tenant, *user, *os, *language;
    enum feature feature;
    const struct digest *model; // NULL: not chosen yet
    const struct rules *rules;  // since HURDLE_POLICY, until the loop turns; NULL: there are none
    struct gate_pass pass;      // since HURDLE_GATE
};

/* Of whoever asks. */
struct hurdles hurdles_of(struct door *door, const struct context *context, enum feature feature);

/* What the gate is asked for it. `user` is written, and borrowed as the rest is. */
struct gate_ask hurdles_gate_ask(const struct hurdles *hurdles, char user[HURDLES_USER_SIZE]);

const char *hurdle_name(enum hurdle hurdle);
/* REASON_NONE: it lets pass. What was found, or what would be right, is added to `what`, and names no user; it may be nothing. */
enum reason hurdle_check(struct hurdles *hurdles, enum hurdle hurdle, struct buf *what);

/* Whether the rules, once there are any, suspend users who are blocked too often from this feature (strikes.h). */
bool hurdles_count_strikes(const struct hurdles *hurdles);

#endif

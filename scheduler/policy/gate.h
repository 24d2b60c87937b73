/* scheduler/policy/gate.h -- the gate: who may have a feature in a region now, and whether an answer that runs may go on.
 *
 *      gate_decide()   when a request comes: the record, its approval, the model, the system, the rollout  -> a pass, or the reason
 *      gate_stands()   before content leaves: our lease holds, and what the pass was given for is still so
 *
 * The records and the lease come from Redis (state/gates.h); what they mean stands in gate_rules.h. Without a lease nobody is let in, and
 * what runs is held; so is everything when Redis tells an epoch that is lower than one we have seen.
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_POLICY_GATE_H
#define SCHEDULER_POLICY_GATE_H

#include "scheduler/policy/gate_rules.h"
#include "scheduler/state/gates.h"

#include "base/digest.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct gate;
struct store;

struct gate_options {
    struct event_base *base;
    struct store *store;      // owned from now on: gates.h
    uint32_t replicas;        // that Redis has
    const unsigned char *key; // [GATE_KEY_SIZE] seals the records; copied
    /* The records have changed: what runs is to be looked at again. NULL: nobody asks. */
    void (*changed)(void *owner);
    void *owner;
};

struct gate *gate_new(const struct gate_options *options);
void gate_free(struct gate *gate);

bool gate_has_lease(const struct gate *gate, uint64_t now_ns);
/* What goes with each SUBMIT. */
uint64_t gate_epoch(const struct gate *gate);

/* What a request was let in for. Plain data: copy it. */
struct gate_pass {
    bool gated; // false: the region asks for no approval, and nothing is held
    char name[GATE_NAME_MAX + 1];
    struct digest mark;
    int64_t until_ms;
    uint32_t hold_ms;
    uint32_t share;   // of the users that it is open to, when this one was let in; GATE_WHOLE: all
    uint64_t reading; // of the records, at which it was looked at last
};

/* Whether `rules` let this in: REASON_NONE, with *pass, or why not. Only the rules' part `gate` is looked at. */
struct gate_finding gate_decide(struct gate *gate, const struct rules *rules,
                                const struct gate_ask *ask, uint64_t now_ns, int64_t now_ms,
                                struct gate_pass *pass);

enum gate_stand {
    GATE_STANDS,
    GATE_HELD, // no lease: not now
    GATE_CUT   // not any more: *reason
};

/* NULL gate: nothing is governed, and everything stands. */
enum gate_stand gate_stands(struct gate *gate, struct gate_pass *pass, uint64_t now_ns,
                            int64_t now_ms, enum reason *reason);

// ---- for those who operate it ------------------------------------------------------------------

/* How many records there are; one of them: NULL where it cannot be read, and *note says why. */
size_t gate_count(const struct gate *gate);
const struct gate_record *gate_at(const struct gate *gate, size_t index, const char **name,
                                  const char **note);
/* The record of "region/feature", or NULL; *note is why one that is there cannot be read, else NULL. */
const struct gate_record *gate_find(const struct gate *gate, const char *name, const char **note);
/* Why we have no lease, for people; NULL: we have one. */
const char *gate_lease_note(const struct gate *gate, uint64_t now_ns);

struct gate_change {
    struct gate_record before, after;
    bool existed;
    struct gates_outcome outcome;
};

typedef void gate_changed_fn(void *argument, enum err err, const struct gate_change *change);

/* gate_apply() on what we have, and write it. PAUSE, SUSPEND and RETIRE need no rules (NULL). A failure of gate_apply() is returned and `done` not called; else it is, later. SUSPEND and
 * RETIRE are done when nobody acts on anything older. */
enum err gate_order(struct gate *gate, const struct gate_command *command,
                    const struct rules *rules, int64_t now_ms, gate_changed_fn *done,
                    void *argument);

#endif

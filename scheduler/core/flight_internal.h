/* scheduler/core/flight_internal.h -- what the parts of flight.h share; nobody else includes it.
 *
 *      flight_heard.c     what nodes say: results, ends, refusals; links that went down
 *      flight_watch.c     what time says: deadlines, hedges and moves
 *          |
 *      flight.c           the life of a flight: from its start over its attempts in a row to its one end
 *          |
 *      flight_attempt.c   one node at work on it: chosen, charged, told, recalled
 *
 * Each part calls those below it and none above.
 *
 * Pure: time is an argument. Thread: the loop's. */
#ifndef SCHEDULER_CORE_FLIGHT_INTERNAL_H
#define SCHEDULER_CORE_FLIGHT_INTERNAL_H

#include "scheduler/core/fleet.h"
#include "scheduler/core/flight.h"
#include "scheduler/core/hedge.h"
#include "scheduler/core/order.h"

#include "wire/message.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FLIGHT_NOTE_SIZE = WIRE_NOTE_MAX + 1,
    FLIGHT_TRIED_MAX = FLIGHT_ATTEMPTS_MAX + FLIGHT_HEDGES_MAX
};

/* One node at work on a flight. */
struct attempt {
    bool flies; // false: there is none, and the rest means nothing
    bool had_id;
    uint32_t number;
    uint64_t link;
    uint32_t charged; // tokens, at the fleet
    struct hedge_pulse pulse;
};

/* It waits for a node while no attempt flies. */
struct flight {
    uint64_t id; // also the request of its wire key
    struct flight_order order;
    struct flight_events events;
    void *argument;

    int32_t *ids; // [capacity]: the prompt, then what was delivered
    size_t id_count;
    size_t capacity;
    uint64_t *blocks; // [block_count] their names, as far as a node may have them
    size_t block_count;

    struct attempt lead;
    struct attempt hedge; // beside it, on another node; it becomes the lead when it is further
    size_t hedged_at;     // ids that there were when it began
    bool moves;           // the hedge is there because the lead's node is to be left
    uint32_t next_number; // of attempts
    uint32_t dispatches;  // but for hedges
    uint32_t hedges;
    uint64_t tried[FLIGHT_TRIED_MAX];
    size_t tried_count;

    // Why it left its latest node, and what it answers if there is no other.
    enum err cause;
    char note[FLIGHT_NOTE_SIZE];
    uint32_t busy_count;
    uint32_t retry_ms;
    uint64_t give_up_ns; // while it waits
    uint64_t gate_epoch; // that its latest SUBMIT had

    bool answered; // its whole result was delivered

    uint32_t cached_tokens; // of the first attempt that gave an id
    uint32_t first_attempt; // which that is, once an id was given
};

struct flights {
    struct fleet *fleet;
    struct flights_seams seams;
    struct flight **slots; // [capacity]; a flight's id is serial × capacity + slot
    size_t capacity;
    size_t count;
    size_t next_slot; // where the search for a free one begins
    uint64_t serial;
    struct hedge_budget budget;
    uint32_t refusal_ms;
    uint64_t gate_epoch;
    struct flights_stats stats;
};

/* flight_attempt.c */

/* Ids that were delivered. */
size_t flight_emitted(const struct flight *flight);
/* Where the flight could go: a node that it has not tried. Failures are fleet_pick()'s. */
enum err attempt_plan(struct flights *flights, struct flight *flight, uint64_t now_ns,
                      struct fleet_choice *choice);
/* Send the flight to the planned node, as `attempt`, which does not fly yet. A link that does not take it counts as tried;
 * its failure is the seam's. */
enum err attempt_begin(struct flights *flights, struct flight *flight, struct attempt *attempt,
                       const struct fleet_choice *choice, uint64_t now_ns);
/* Give back what an attempt holds at the fleet: it flies no more. One that does not fly is ignored, here and below. */
void attempt_release(struct flights *flights, struct attempt *attempt, uint64_t now_ns);
/* Tell the node to stop, and expect nothing more of it. */
void attempt_recall(struct flights *flights, const struct flight *flight, struct attempt *attempt,
                    uint64_t now_ns);
/* Both attempts. */
void flight_recall(struct flights *flights, struct flight *flight, uint64_t now_ns);
/* The hedge, if it flies, takes the place of a lead that flies no more; false: it does not fly. */
bool flight_promote_hedge(struct flight *flight);

/* flight.c */

/* NULL when it is over. */
struct flight *flight_by_id(const struct flights *flights, uint64_t id);
/* What an answer ends with whose last id was delivered already; WIRE_FINISH_NONE: it is not whole. */
enum wire_finish flight_finished_by(const struct flight *flight);
/* The one end of a flight, which holds no node any more; it is gone behind this, as behind flight_fail(). */
void flight_finish(struct flights *flights, struct flight *flight, const struct flight_end *how);
void flight_fail(struct flights *flights, struct flight *flight, enum err err, const char *note);
/* Try to go on with a flight that waits; true when it waits no more: it flies, or has ended and is gone. */
bool flight_go_on(struct flights *flights, struct flight *flight, uint64_t now_ns);
/* The flight, which holds no node any more, goes elsewhere. `cause` and `note` are what it ends with if there is no
 * elsewhere; it may be gone behind this. */
void flight_retry(struct flights *flights, struct flight *flight, enum err cause, const char *note,
                  uint64_t now_ns);
/* An attempt flies no more, and not by our wish: the one beside it goes on, or the flight goes elsewhere, as above. */
void flight_lose(struct flights *flights, struct flight *flight, const struct attempt *attempt,
                 enum err cause, const char *note, uint64_t now_ns);

#endif

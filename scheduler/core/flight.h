/* scheduler/core/flight.h -- every request in the air, from dispatch to its one end.
 *
 *      start --> FLYING ------------------done--> ended (exactly one end event)
 *                 |  ^  |
 *                 |  |  +-- busy, node lost, a retryable error, a contradiction
 *                 |  |                     v
 *                 |  +---- a node -----  WAITING     the next attempt on another node, digests equal:
 *                 |                        |         prompt + ids that were delivered go along
 *                 +-- cancel, deadline ----+-- no node for FLIGHT_WAIT_NS --> ended
 *
 * A retry finds its node at once, or waits for one: a place that frees up, a node that comes back.
 * BUSY is routed once more and then is the answer.
 *
 * Two nodes may work on a flight. A lead that is quiet for longer than it should be gets a hedge beside it (hedge.h: at
 * most a twentieth of all tokens), and one whose node drains is moved the same way: the second node gets prompt and
 * delivered ids, and the one that first delivers what the other has not is the lead from then on; the other is
 * recalled. A hedge costs nobody anything but the nodes: what is billed is what was delivered.
 *
 * Ids are delivered in order of position, each position once: the first arrival wins, a duplicate
 * that is equal is dropped, a duplicate that differs is counted (flights_stats) and its node is
 * reported through `quarantine`. So is a gap, and a DONE that counts more ids than came; the flight
 * then leaves that node. An attempt that answers about another attempt's number is ignored.
 *
 * What is answered whole (a vector, a score, a list: order_is_whole()) is delivered by one call of `whole`: the first result
 * that arrives wins, and the other attempt is recalled. A result that cannot be one, or a DONE without one, is a
 * contradiction as above. ERR_NOT_FOUND with the note "filter" ends a flight like any error that no other node would cure.
 *
 * Pure: sends through a function given at birth, time and chance are arguments. Thread: the
 * loop's. */
#ifndef SCHEDULER_CORE_FLIGHT_H
#define SCHEDULER_CORE_FLIGHT_H

#include "scheduler/core/order.h"

#include "wire/message.h"

#include "base/digest.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fleet;

enum {
    FLIGHT_ATTEMPTS_MAX = 4, // dispatches in a row that give no id
    FLIGHT_HEDGES_MAX =
        3 // attempts beside another, hedges and moves, since an attempt gave its first id
};

/* How long a draining node may go on with a flight before it is moved. */
#define FLIGHT_STAY_NS (UINT64_C(2) * 1000000000)

/* How long a flight that has lost its node waits for another. */
#define FLIGHT_WAIT_NS (UINT64_C(3) * 1000000000)

/* Newly delivered ids, consecutive. */
struct flight_ids {
    const int32_t *ids;
    size_t count;
    uint32_t position;           // of ids[0], prompt counted
    const float *logprobs;       // [count] or NULL
    const struct wire_top *tops; // [count][top_count] or NULL
    size_t top_count;
    uint32_t cached_tokens; // of the prompt, so far as is known: see flight_end
};

/* cached_tokens: of the prompt, found in the prefix cache of the node that gave the first id, when
 * it was admitted there; what a later attempt finds does not count. */
struct flight_end {
    enum wire_finish finish;
    enum err err;     // ERR_OK, or why it failed
    const char *note; // for people, when err is set
    uint32_t prompt_tokens, cached_tokens, completion_tokens;
    uint32_t retry_ms; // with ERR_BUSY: when to come again
    uint32_t attempts;
};

/* The whole answer of a flight that is not GENERATE; borrowed for the call. */
struct flight_whole {
    const float *vector; // [vector_size] EMBED: the vector; SCORE: one value
    size_t vector_size;
    const int32_t *ids; // [id_count] of lists: rows, best first
    size_t id_count;
    const float *scores;  // [id_count] of those, or NULL
    const float *weights; // [weight_count] of the order's ids, with explain
    size_t weight_count;
};

struct flight_events {
    void (*ids)(void *argument, const struct flight_ids *ids);
    /* The last call about this flight. The flight's id is dead when it returns. */
    void (*end)(void *argument, const struct flight_end *end);
    /* Once, before an end without an error; NULL where only GENERATE is asked for. */
    void (*whole)(void *argument, const struct flight_whole *whole);
};

struct flights_seams {
    void *owner;
    /* Send to a node; ERR_* when it cannot take it (the flight then tries another). */
    enum err (*send)(void *owner, uint64_t link, const struct wire_message *message, bool urgent);
    /* A node contradicted delivered bytes. */
    void (*quarantine)(void *owner, uint64_t link);
};

struct flights_stats {
    uint64_t started, ended; // a canceled flight has ended
    uint64_t retried, busy, duplicates, contradictions, lost_nodes;
    uint64_t hedged, hedges_won, moved; // attempts beside another; those that got ahead (moves too)
};

struct flights;

struct flights *flights_new(struct fleet *fleet, const struct flights_seams *seams,
                            size_t capacity);
/* Every flight must have ended. */
void flights_free(struct flights *flights);

/* The epoch of the policy's gate, which goes with every SUBMIT; 0 until set: nothing is governed. A node that has seen a higher one refuses
 * with ERR_STALE: such a flight goes back to it, or to another, as soon as the epoch is another here too. */
void flights_set_gate_epoch(struct flights *flights, uint64_t epoch);

/* Dispatch; the order's arrays are copied. On success events follow, and never from inside this call. ERR_BUSY (our table
 * or every node is full, or the first id is predicted to come after the deadline), ERR_UNAVAILABLE, and what
 * order_check() says: nothing was started. */
enum err flight_start(struct flights *flights, const struct flight_order *order,
                      const struct flight_events *events, void *argument, uint64_t now_ns,
                      uint64_t *flight);
/* The caller lost interest: the node is told, no event follows. An unknown id is ignored. */
void flight_cancel(struct flights *flights, uint64_t flight, uint64_t now_ns);
/* After ERR_BUSY of flight_start(): when to come again, as far as is known; 0: it is not. */
uint32_t flights_refusal_ms(const struct flights *flights);

/* What came from nodes. Messages about a flight, a link or an attempt that is over are ignored. */
void flights_result(struct flights *flights, uint64_t link, const struct wire_result *result,
                    uint64_t now_ns);
void flights_done(struct flights *flights, uint64_t link, const struct wire_done *done,
                  uint64_t now_ns);
void flights_busy(struct flights *flights, uint64_t link, const struct wire_busy *busy,
                  uint64_t now_ns);
/* The link went down (call fleet_down() first): its flights go elsewhere or end. */
void flights_node_lost(struct flights *flights, uint64_t link, uint64_t now_ns);
/* Deadlines, and flights that wait for a node; call it every 100 ms or so. */
void flights_tick(struct flights *flights, uint64_t now_ns);

size_t flights_count(const struct flights *flights);
const struct flights_stats *flights_stats(const struct flights *flights);

#endif

#include "scheduler/core/flight_internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    FIRST_CAPACITY = 64 // ids of answer that a flight has room for at first
};

struct flights *flights_new(struct fleet *fleet, const struct flights_seams *seams, size_t capacity)
{
    must(capacity > 0);
    struct flights *flights = mem_new(1, sizeof *flights);
    flights->fleet = fleet;
    flights->seams = *seams;
    flights->slots = mem_new(capacity, sizeof(struct flight *));
    flights->capacity = capacity;
    return flights;
}

void flights_free(struct flights *flights)
{
    if (!flights) return;
    must(flights->count == 0);
    mem_free(flights->slots);
    mem_free(flights);
}

struct flight *flight_by_id(const struct flights *flights, uint64_t id)
{
    struct flight *flight = flights->slots[id % flights->capacity];
    return flight && flight->id == id ? flight : NULL;
}

static struct flight *flight_new(const struct flight_order *order,
                                 const struct flight_events *events, void *argument)
{
    struct flight *flight = mem_new(1, sizeof *flight);
    order_copy(&flight->order, order); // but for the ids, which are below
    flight->events = *events;
    flight->argument = argument;
    flight->capacity = order->id_count + FIRST_CAPACITY;
    flight->ids = mem_new(flight->capacity, sizeof *flight->ids);
    if (order->id_count > 0) memcpy(flight->ids, order->ids, order->id_count * sizeof *flight->ids);
    flight->id_count = order->id_count;
    return flight;
}

static void flight_free(struct flight *flight)
{
    mem_free(flight->ids);
    mem_free(flight->blocks);
    order_fini(&flight->order);
    mem_free(flight);
}

/* A flight enters the table and gets its id. */
static void enter(struct flights *flights, struct flight *flight)
{
    must(flights->count < flights->capacity);
    size_t slot = flights->next_slot;
    while (flights->slots[slot])
        slot = (slot + 1) % flights->capacity;
    flights->next_slot = (slot + 1) % flights->capacity;
    flights->slots[slot] = flight;
    flights->count++;
    flight->id = ++flights->serial * flights->capacity + slot;
}

static void leave(struct flights *flights, struct flight *flight)
{
    must(flight_by_id(flights, flight->id) == flight);
    flights->slots[flight->id % flights->capacity] = NULL;
    flights->count--;
}

/* The one end of a flight, which holds no node any more. */
void flight_finish(struct flights *flights, struct flight *flight, const struct flight_end *how)
{
    must(!flight->lead.flies && !flight->hedge.flies);
    struct flight_end last = *how;
    last.prompt_tokens = (uint32_t)flight->order.id_count;
    last.completion_tokens = (uint32_t)flight_emitted(flight);
    if (last.cached_tokens > last.prompt_tokens) last.cached_tokens = last.prompt_tokens;
    last.attempts = flight->next_number;
    leave(flights, flight);
    flights->stats.ended++;
    flight->events.end(flight->argument, &last);
    flight_free(flight);
}

void flight_fail(struct flights *flights, struct flight *flight, enum err err, const char *note)
{
    flight_finish(flights, flight,
                  &(struct flight_end){.err = err, .note = note, .retry_ms = flight->retry_ms});
}

/* Would it come too late for its deadline? Then it is refused before it costs anything. */
static enum err check_wait(struct flights *flights, const struct flight *flight,
                           const struct fleet_choice *choice, uint64_t now_ns)
{
    uint64_t deadline_ns = flight->order.deadline_ns;
    if (deadline_ns == 0 || now_ns + choice->wait_ns < deadline_ns) return ERR_OK;
    uint64_t late_ms = (now_ns + choice->wait_ns - deadline_ns) / CLOCK_MS;
    flights->refusal_ms = late_ms < UINT32_MAX ? (uint32_t)late_ms + 1 : UINT32_MAX;
    return err_note(ERR_BUSY,
                    "the first token is expected in %" PRIu64
                    " ms, which is after the request's deadline; try again later",
                    choice->wait_ns / CLOCK_MS);
}

/* Put the flight, which waits, onto a node that it has not tried. A link that does not take it
 * counts as tried, and the next node is asked. */
static enum err dispatch(struct flights *flights, struct flight *flight, uint64_t now_ns)
{
    enum err refused = ERR_OK;
    while (flight->dispatches < FLIGHT_ATTEMPTS_MAX) {
        struct fleet_choice choice;
        enum err err = attempt_plan(flights, flight, now_ns, &choice);
        if (!err && flight->dispatches == 0) err = check_wait(flights, flight, &choice, now_ns);
        if (err != ERR_OK) return refused != ERR_OK ? ERR_BUSY : err;
        flight->dispatches++;
        refused = attempt_begin(flights, flight, &flight->lead, &choice, now_ns);
        if (refused != ERR_OK) continue;
        flights->budget.useful += flight->lead.charged;
        return ERR_OK;
    }
    return refused != ERR_OK ? ERR_BUSY : ERR_UNAVAILABLE;
}

enum err flight_start(struct flights *flights, const struct flight_order *order,
                      const struct flight_events *events, void *argument, uint64_t now_ns,
                      uint64_t *id)
{
    flights->refusal_ms = 0;
    if (flights->count == flights->capacity)
        return err_note(ERR_BUSY, "%zu requests are in the air; there is no room for more",
                        flights->capacity);
    TRY(order_check(order, now_ns));
    must(!order_is_whole(order) || events->whole);
    struct flight *flight = flight_new(order, events, argument);
    enter(flights, flight);
    enum err err = dispatch(flights, flight, now_ns);
    if (err != ERR_OK) {
        leave(flights, flight);
        flight_free(flight);
        return err;
    }
    flights->stats.started++;
    *id = flight->id;
    return ERR_OK;
}

void flight_cancel(struct flights *flights, uint64_t id, uint64_t now_ns)
{
    struct flight *flight = flight_by_id(flights, id);
    if (!flight) return;
    flight_recall(flights, flight, now_ns);
    leave(flights, flight);
    flights->stats.ended++;
    flight_free(flight);
}

/* An answer whose last id was delivered needs no other node: only its DONE was lost. */
enum wire_finish flight_finished_by(const struct flight *flight)
{
    if (flight->answered) return WIRE_FINISH_STOP;
    if (flight_emitted(flight) == 0) return WIRE_FINISH_NONE;
    if (order_stops(&flight->order, flight->ids[flight->id_count - 1])) return WIRE_FINISH_STOP;
    return flight_emitted(flight) >= flight->order.max_tokens ? WIRE_FINISH_LENGTH
                                                              : WIRE_FINISH_NONE;
}

/* Try to go on with a flight that waits; true when it waits no more (it flies, or has ended). */
bool flight_go_on(struct flights *flights, struct flight *flight, uint64_t now_ns)
{
    if (order_is_late(&flight->order, now_ns)) {
        flight_fail(flights, flight, ERR_TIMEOUT,
                    "the deadline passed before the answer was complete");
        return true;
    }
    bool same = flight->cause == ERR_STALE && flight->gate_epoch == flights->gate_epoch;
    if (same && now_ns < flight->give_up_ns) return false; // it would be refused again
    enum err err = same ? ERR_STALE : dispatch(flights, flight, now_ns);
    if (err == ERR_OK) {
        flights->stats.retried++;
        return true;
    }
    bool spent = flight->dispatches >= FLIGHT_ATTEMPTS_MAX;
    if (!spent && now_ns < flight->give_up_ns) return false;
    flight_fail(flights, flight, flight->cause, flight->note);
    return true;
}

/* The flight, which holds no node any more, goes elsewhere. `cause` and `note` are what it ends
 * with if there is no elsewhere. */
void flight_retry(struct flights *flights, struct flight *flight, enum err cause, const char *note,
                  uint64_t now_ns)
{
    must(!flight->lead.flies && !flight->hedge.flies);
    enum wire_finish finish = flight_finished_by(flight);
    if (finish != WIRE_FINISH_NONE) {
        flight_finish(flights, flight, &(struct flight_end){.finish = finish});
        return;
    }
    flight->cause = cause;
    snprintf(flight->note, sizeof flight->note, "%s", note);
    // A lost node may come back and others may free up; what a live node refused is answered at
    // once.
    // A scan's shards may be divided among other nodes by now: whoever asked finds that out.
    bool waits =
        (cause == ERR_UNAVAILABLE && flight->order.kind != WIRE_SCAN) || cause == ERR_STALE;
    flight->give_up_ns = waits ? now_ns + FLIGHT_WAIT_NS : now_ns;
    (void)flight_go_on(flights, flight, now_ns);
}

/* An attempt flies no more, and not by our wish: the one beside it goes on, or the flight goes elsewhere. */
void flight_lose(struct flights *flights, struct flight *flight, const struct attempt *attempt,
                 enum err cause, const char *note, uint64_t now_ns)
{
    if (attempt == &flight->hedge) return;
    if (!flight_promote_hedge(flight)) flight_retry(flights, flight, cause, note, now_ns);
}

void flights_set_gate_epoch(struct flights *flights, uint64_t epoch)
{
    flights->gate_epoch = epoch;
}

uint32_t flights_refusal_ms(const struct flights *flights)
{
    return flights->refusal_ms;
}

size_t flights_count(const struct flights *flights)
{
    return flights->count;
}

const struct flights_stats *flights_stats(const struct flights *flights)
{
    return &flights->stats;
}

#include "scheduler/core/flight_internal.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

enum {
    HEDGE_LEAD_MAX = 16 // ids that the lead may give before a hedge gives any: then it is not slow
};

/* The node said what cannot be. It is reported, and the flight leaves it. */
static void contradiction(struct flights *flights, struct flight *flight, struct attempt *attempt,
                          uint64_t now_ns)
{
    uint64_t link = attempt->link;
    flights->stats.contradictions++;
    attempt_recall(flights, flight, attempt, now_ns);
    flight_lose(flights, flight, attempt, ERR_UNAVAILABLE,
                "a node contradicted itself, and no other was free", now_ns);
    flights->seams.quarantine(flights->seams.owner, link);
}

static bool is_of(const struct attempt *attempt, uint64_t link, const struct wire_key *key)
{
    return attempt->flies && attempt->link == link && attempt->number == key->attempt;
}

/* The flight and the attempt that a message is about; NULL when that attempt is over. */
static struct flight *addressed(const struct flights *flights, uint64_t link,
                                const struct wire_key *key, struct attempt **attempt)
{
    struct flight *flight = flight_by_id(flights, key->request);
    if (!flight || flight->order.choice != key->choice) return NULL;
    *attempt = is_of(&flight->lead, link, key) ? &flight->lead : &flight->hedge;
    return is_of(*attempt, link, key) ? flight : NULL;
}

static void remember(struct flight *flight, const int32_t *ids, size_t count)
{
    if (count > flight->capacity - flight->id_count) {
        size_t most = flight->order.id_count + flight->order.max_tokens;
        flight->capacity = 2 * flight->capacity < most ? 2 * flight->capacity : most;
        if (flight->capacity < flight->id_count + count)
            flight->capacity = flight->id_count + count;
        flight->ids = mem_resize(flight->ids, flight->capacity, sizeof *flight->ids);
    }
    memcpy(flight->ids + flight->id_count, ids, count * sizeof *ids);
    flight->id_count += count;
}

/* An attempt that moves the flight on begins its count anew: the limit is for attempts in a row that come to nothing, and a
 * long answer may outlive many nodes. Those that it left may have it again. */
static void begin_count(struct flight *flight)
{
    flight->tried_count = 0;
    flight->dispatches = 1;
    flight->busy_count = 0;
    flight->hedges = flight->hedge.flies;
    if (flight->lead.flies) flight->tried[flight->tried_count++] = flight->lead.link;
    if (flight->hedge.flies) flight->tried[flight->tried_count++] = flight->hedge.link;
}

/* Something came of an attempt. */
static void hear(struct flights *flights, struct flight *flight, struct attempt *attempt,
                 uint64_t now_ns)
{
    bool first = !attempt->had_id;
    if (first) fleet_first_id(flights->fleet, attempt->link, attempt->charged);
    hedge_heard(&attempt->pulse, now_ns, first);
    attempt->had_id = true;
    if (first) begin_count(flight);
}

/* Of two attempts one is enough: the one that is further. A lead that moves on before its hedge has begun was not slow. */
static void settle_race(struct flights *flights, struct flight *flight, struct attempt *from,
                        uint64_t now_ns)
{
    if (!flight->hedge.flies) return;
    if (from == &flight->hedge) {
        flights->stats.hedges_won++;
        attempt_recall(flights, flight, &flight->lead, now_ns);
        (void)flight_promote_hedge(flight);
    } else if (!flight->hedge.had_id && !flight->moves &&
               flight->id_count - flight->hedged_at > HEDGE_LEAD_MAX) {
        attempt_recall(flights, flight, &flight->hedge, now_ns);
    }
}

/* Deliver the `count` ids of the result from its index `first`: they begin where the flight
 * ends. */
static void deliver(struct flights *flights, struct flight *flight, struct attempt *attempt,
                    const struct wire_result *result, size_t first, size_t count, uint64_t now_ns)
{
    if (flight_emitted(flight) == 0) {
        flight->first_attempt = attempt->number;
        flight->cached_tokens = result->cached_tokens < flight->order.id_count
                                    ? result->cached_tokens
                                    : (uint32_t)flight->order.id_count;
    }
    struct flight_ids view = {.ids = result->ids + first,
                              .count = count,
                              .position = (uint32_t)flight->id_count,
                              .top_count = result->top_count,
                              .cached_tokens = flight->cached_tokens};
    if (result->logprobs) view.logprobs = result->logprobs + first;
    if (result->tops) view.tops = result->tops + first * result->top_count;
    remember(flight, view.ids, count);
    flights->budget.useful += count;
    settle_race(flights, flight, attempt, now_ns);
    flight->events.ids(flight->argument, &view); // may cancel: the flight may be gone behind this
}

/* Can this be the answer to what was asked? */
static bool is_whole_answer(const struct flight_order *order, const struct wire_result *result)
{
    if (result->position != order->id_count) return false;
    if (order->kind == WIRE_EMBED) return result->vector_size > 0;
    if (order->kind == WIRE_SCORE) return result->vector_size == 1;
    if (order->explain && result->weight_count != order->id_count) return false;
    if (order->want_vector && result->vector_size == 0) return false;
    return result->id_count <= order->top_count;
}

/* One whole answer: the first that comes is delivered, and whoever else works on it may stop. */
static void hear_whole(struct flights *flights, struct flight *flight, struct attempt *attempt,
                       const struct wire_result *result, uint64_t now_ns)
{
    if (flight->answered || !is_whole_answer(&flight->order, result)) {
        contradiction(flights, flight, attempt, now_ns);
        return;
    }
    hear(flights, flight, attempt, now_ns);
    flight->answered = true;
    if (attempt == &flight->hedge) {
        flights->stats.hedges_won++;
        attempt_recall(flights, flight, &flight->lead, now_ns);
        (void)flight_promote_hedge(flight);
    } else {
        attempt_recall(flights, flight, &flight->hedge, now_ns);
    }
    flight->events.whole(flight->argument, // may cancel: the flight may be gone behind this
                         &(struct flight_whole){.vector = result->vector,
                                                .vector_size = result->vector_size,
                                                .ids = result->ids,
                                                .id_count = result->id_count,
                                                .scores = result->logprobs,
                                                .weights = result->weights,
                                                .weight_count = result->weight_count});
}

void flights_result(struct flights *flights, uint64_t link, const struct wire_result *result,
                    uint64_t now_ns)
{
    struct attempt *attempt;
    struct flight *flight = addressed(flights, link, &result->key, &attempt);
    if (flight && order_is_whole(&flight->order)) {
        hear_whole(flights, flight, attempt, result, now_ns);
        return;
    }
    if (!flight || result->id_count == 0) return;
    size_t known = 0; // of the result's ids, how many stand in the flight already
    if (result->position < flight->id_count) known = flight->id_count - result->position;
    if (known > result->id_count) known = result->id_count;
    bool differs = known > 0 && memcmp(flight->ids + result->position, result->ids,
                                       known * sizeof *result->ids) != 0;
    // A hedge may not have begun where the flight is now, but never behind it.
    if (result->position > flight->id_count || differs) {
        contradiction(flights, flight, attempt, now_ns);
        return;
    }
    hear(flights, flight, attempt, now_ns);
    flights->stats.duplicates += known;
    flights->budget.spent += known;
    // Ids beyond what was asked for are dropped, so what a flight holds stays bounded.
    size_t room = flight->order.max_tokens - flight_emitted(flight);
    size_t fresh = result->id_count - known < room ? result->id_count - known : room;
    if (fresh > 0) deliver(flights, flight, attempt, result, known, fresh, now_ns);
}

/* A copy of a note that a message lends without a NUL. */
static void copy_note(char out[FLIGHT_NOTE_SIZE], struct wire_text note, enum err err)
{
    if (note.size == 0)
        snprintf(out, FLIGHT_NOTE_SIZE, "%s", err_phrase(err));
    else
        snprintf(out, FLIGHT_NOTE_SIZE, "%.*s", (int)note.size, note.text);
}

/* The answer is whole. */
static void complete(struct flights *flights, struct flight *flight, const struct attempt *attempt,
                     const struct wire_done *done, uint64_t now_ns)
{
    // A node of before RESULT had the number says it here alone.
    bool is_first = flight_emitted(flight) == 0 || flight->first_attempt == attempt->number;
    uint32_t cached_tokens = is_first ? done->cached_tokens : flight->cached_tokens;
    flight_recall(flights, flight, now_ns);
    flight_finish(flights, flight,
                  &(struct flight_end){.finish = done->finish, .cached_tokens = cached_tokens});
}

static void forget_tried(struct flight *flight, uint64_t link)
{
    size_t kept = 0;
    for (size_t i = 0; i < flight->tried_count; i++)
        if (flight->tried[i] != link) flight->tried[kept++] = flight->tried[i];
    flight->tried_count = kept;
}

void flights_done(struct flights *flights, uint64_t link, const struct wire_done *done,
                  uint64_t now_ns)
{
    struct attempt *attempt;
    struct flight *flight = addressed(flights, link, &done->key, &attempt);
    if (!flight) return;
    bool lacks_answer = order_is_whole(&flight->order) && !flight->answered;
    if (done->err == ERR_OK && done->finish == WIRE_FINISH_STOP && lacks_answer) {
        contradiction(flights, flight, attempt, now_ns);
        return;
    }
    if (done->err == ERR_OK && done->completion_tokens > flight_emitted(flight) &&
        flight_emitted(flight) < flight->order.max_tokens) {
        contradiction(flights, flight, attempt, now_ns);
        return;
    }
    attempt_release(flights, attempt, now_ns);
    if (done->err == ERR_OK &&
        (done->finish == WIRE_FINISH_STOP || done->finish == WIRE_FINISH_LENGTH)) {
        complete(flights, flight, attempt, done, now_ns);
        return;
    }
    char note[FLIGHT_NOTE_SIZE];
    // An end that we did not ask for, without an error: the node gave up its work, as on a
    // shutdown.
    enum err err = done->err == ERR_OK ? ERR_UNAVAILABLE : done->err;
    copy_note(note, done->note, err);
    if (flight->answered) err = ERR_UNAVAILABLE; // it is whole, whatever befell the node then
    if (err == ERR_STALE)
        forget_tried(flight, link); // it is as good as any other, once we know more
    bool elsewhere = err_retry_class(err) == ERR_RETRY_OTHER && err != ERR_TIMEOUT;
    if (elsewhere || attempt == &flight->hedge || flight->hedge.flies)
        flight_lose(flights, flight, attempt, err, note, now_ns);
    else
        flight_fail(flights, flight, err, note);
}

void flights_busy(struct flights *flights, uint64_t link, const struct wire_busy *busy,
                  uint64_t now_ns)
{
    static const char note[] = "every node that was asked is full";
    struct attempt *attempt;
    struct flight *flight = addressed(flights, link, &busy->key, &attempt);
    if (!flight) return;
    flights->stats.busy++;
    attempt_release(flights, attempt, now_ns);
    if (attempt == &flight->hedge || flight_promote_hedge(flight)) return;
    if (busy->retry_ms > flight->retry_ms) flight->retry_ms = busy->retry_ms;
    if (++flight->busy_count > 1)
        flight_fail(flights, flight, ERR_BUSY, note);
    else
        flight_retry(flights, flight, ERR_BUSY, note, now_ns);
}

void flights_node_lost(struct flights *flights, uint64_t link, uint64_t now_ns)
{
    bool any = false;
    for (size_t slot = 0; slot < flights->capacity; slot++) {
        struct flight *flight = flights->slots[slot];
        if (!flight) continue;
        bool leads = flight->lead.flies && flight->lead.link == link;
        bool hedges = flight->hedge.flies && flight->hedge.link == link;
        if (!leads && !hedges) continue;
        struct attempt *attempt = leads ? &flight->lead : &flight->hedge;
        any = true;
        attempt_release(flights, attempt, now_ns);
        flight_lose(flights, flight, attempt, ERR_UNAVAILABLE,
                    "the node was lost, and no other took its place", now_ns);
    }
    flights->stats.lost_nodes += any;
}

#include "scheduler/core/flight.h"

#include "scheduler/core/fleet.h"
#include "scheduler/core/hedge.h"
#include "scheduler/core/order.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    FIRST_CAPACITY = 64, // ids of answer that a flight has room for at first
    NOTE_SIZE = WIRE_NOTE_MAX + 1,
    TRIED_MAX = FLIGHT_ATTEMPTS_MAX + FLIGHT_HEDGES_MAX,
    HEDGE_LEAD_MAX = 16 // ids that the lead may give before a hedge gives any: then it is not slow
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
    uint64_t tried[TRIED_MAX];
    size_t tried_count;

    // Why it left its latest node, and what it answers if there is no other.
    enum err cause;
    char note[NOTE_SIZE];
    uint32_t busy_count;
    uint32_t retry_ms;
    uint64_t give_up_ns; // while it waits

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
    struct flights_stats stats;
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

static struct flight *find(const struct flights *flights, uint64_t id)
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
    memcpy(flight->ids, order->ids, order->id_count * sizeof *flight->ids);
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
    must(find(flights, flight->id) == flight);
    flights->slots[flight->id % flights->capacity] = NULL;
    flights->count--;
}

static size_t emitted(const struct flight *flight)
{
    return flight->id_count - flight->order.id_count;
}

static struct wire_key key_of(const struct flight *flight, const struct attempt *attempt)
{
    return (struct wire_key){flight->id, flight->order.choice, attempt->number};
}

/* Give back what an attempt holds at the fleet: it flies no more. */
static void release(struct flights *flights, struct attempt *attempt, uint64_t now_ns)
{
    if (!attempt->flies) return;
    fleet_release(flights->fleet, attempt->link, attempt->charged, attempt->had_id, now_ns);
    attempt->flies = false;
}

/* Tell the node to stop, and expect nothing more of it. */
static void recall(struct flights *flights, const struct flight *flight, struct attempt *attempt,
                   uint64_t now_ns)
{
    if (!attempt->flies) return;
    struct wire_message message = {.type = WIRE_CANCEL, .cancel = {key_of(flight, attempt)}};
    // A link that takes nothing is going down, and its node forgets the request with it.
    (void)flights->seams.send(flights->seams.owner, attempt->link, &message, false);
    release(flights, attempt, now_ns);
}

static void recall_all(struct flights *flights, struct flight *flight, uint64_t now_ns)
{
    recall(flights, flight, &flight->lead, now_ns);
    recall(flights, flight, &flight->hedge, now_ns);
}

/* The hedge, if it flies, takes the place of a lead that flies no more. */
static bool promote_hedge(struct flight *flight)
{
    if (!flight->hedge.flies) return false;
    flight->lead = flight->hedge;
    flight->hedge.flies = false;
    return true;
}

/* The one end of a flight, which holds no node any more. */
static void end(struct flights *flights, struct flight *flight, const struct flight_end *how)
{
    must(!flight->lead.flies && !flight->hedge.flies);
    struct flight_end last = *how;
    last.prompt_tokens = (uint32_t)flight->order.id_count;
    last.completion_tokens = (uint32_t)emitted(flight);
    if (last.cached_tokens > last.prompt_tokens) last.cached_tokens = last.prompt_tokens;
    last.attempts = flight->next_number;
    leave(flights, flight);
    flights->stats.ended++;
    flight->events.end(flight->argument, &last);
    flight_free(flight);
}

static void fail(struct flights *flights, struct flight *flight, enum err err, const char *note)
{
    end(flights, flight,
        &(struct flight_end){.err = err, .note = note, .retry_ms = flight->retry_ms});
}

static enum err send_submit(struct flights *flights, const struct flight *flight,
                            const struct attempt *attempt, uint64_t now_ns)
{
    struct wire_salt salt;
    struct wire_message message;
    struct wire_key key = key_of(flight, attempt);
    order_submit(&flight->order, &key, flight->ids, flight->id_count, now_ns, &salt, &message);
    return flights->seams.send(flights->seams.owner, attempt->link, &message, false);
}

/* The names of the blocks that a node may have: new ones where ids came since. */
static void name_blocks(struct flight *flight)
{
    size_t count = order_block_count(&flight->order, flight->id_count);
    if (count <= flight->block_count) return;
    flight->blocks = mem_resize(flight->blocks, count, sizeof *flight->blocks);
    order_name_blocks(&flight->order, flight->ids, flight->block_count, count, flight->blocks);
    flight->block_count = count;
}

/* Where the flight could go. */
static enum err make_plan(struct flights *flights, struct flight *flight, uint64_t now_ns,
                          struct fleet_choice *choice)
{
    name_blocks(flight);
    struct fleet_need need = {.model = flight->order.model,
                              .adapter = flight->order.adapter,
                              .numerics = flight->order.numerics,
                              .tokens = (uint32_t)flight->id_count,
                              .hashes = flight->blocks,
                              .hash_count = flight->block_count,
                              .excluded = flight->tried,
                              .excluded_count = flight->tried_count,
                              .now_ns = now_ns};
    return fleet_pick(flights->fleet, &need, choice);
}

/* Send the flight to the planned node, as `attempt`, which does not fly yet. */
static enum err follow(struct flights *flights, struct flight *flight, struct attempt *attempt,
                       const struct fleet_choice *choice, uint64_t now_ns)
{
    must(!attempt->flies && flight->tried_count < TRIED_MAX);
    flight->tried[flight->tried_count++] = choice->link;
    *attempt = (struct attempt){.number = flight->next_number++,
                                .link = choice->link,
                                .charged = choice->uncached,
                                .pulse = {.heard_ns = now_ns, .predicted_ns = choice->wait_ns}};
    enum err err = send_submit(flights, flight, attempt, now_ns);
    if (err != ERR_OK) return err;
    attempt->flies = true;
    fleet_charge(flights->fleet, choice->link, choice->uncached);
    fleet_expect(flights->fleet, choice->link, flight->blocks, flight->block_count, now_ns);
    return ERR_OK;
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
        enum err err = make_plan(flights, flight, now_ns, &choice);
        if (!err && flight->dispatches == 0) err = check_wait(flights, flight, &choice, now_ns);
        if (err != ERR_OK) return refused != ERR_OK ? ERR_BUSY : err;
        flight->dispatches++;
        refused = follow(flights, flight, &flight->lead, &choice, now_ns);
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
    struct flight *flight = find(flights, id);
    if (!flight) return;
    recall_all(flights, flight, now_ns);
    leave(flights, flight);
    flights->stats.ended++;
    flight_free(flight);
}

/* An answer whose last id was delivered needs no other node: only its DONE was lost. */
static enum wire_finish finished_by(const struct flight *flight)
{
    if (emitted(flight) == 0) return WIRE_FINISH_NONE;
    if (order_stops(&flight->order, flight->ids[flight->id_count - 1])) return WIRE_FINISH_STOP;
    return emitted(flight) >= flight->order.max_tokens ? WIRE_FINISH_LENGTH : WIRE_FINISH_NONE;
}

/* Try to go on with a flight that waits; true when it waits no more (it flies, or has ended). */
static bool go_on(struct flights *flights, struct flight *flight, uint64_t now_ns)
{
    if (order_is_late(&flight->order, now_ns)) {
        fail(flights, flight, ERR_TIMEOUT, "the deadline passed before the answer was complete");
        return true;
    }
    enum err err = dispatch(flights, flight, now_ns);
    if (err == ERR_OK) {
        flights->stats.retried++;
        return true;
    }
    bool spent = flight->dispatches >= FLIGHT_ATTEMPTS_MAX;
    if (!spent && now_ns < flight->give_up_ns) return false;
    fail(flights, flight, flight->cause, flight->note);
    return true;
}

/* The flight, which holds no node any more, goes elsewhere. `cause` and `note` are what it ends
 * with if there is no elsewhere. */
static void retry(struct flights *flights, struct flight *flight, enum err cause, const char *note,
                  uint64_t now_ns)
{
    must(!flight->lead.flies && !flight->hedge.flies);
    enum wire_finish finish = finished_by(flight);
    if (finish != WIRE_FINISH_NONE) {
        end(flights, flight, &(struct flight_end){.finish = finish});
        return;
    }
    flight->cause = cause;
    snprintf(flight->note, sizeof flight->note, "%s", note);
    // A lost node may come back and others may free up; what a live node refused is answered at
    // once.
    flight->give_up_ns = cause == ERR_UNAVAILABLE ? now_ns + FLIGHT_WAIT_NS : now_ns;
    (void)go_on(flights, flight, now_ns);
}

/* An attempt flies no more, and not by our wish: the one beside it goes on, or the flight goes elsewhere. */
static void lose(struct flights *flights, struct flight *flight, const struct attempt *attempt,
                 enum err cause, const char *note, uint64_t now_ns)
{
    if (attempt == &flight->hedge) return;
    if (!promote_hedge(flight)) retry(flights, flight, cause, note, now_ns);
}

/* The node said what cannot be. It is reported, and the flight leaves it. */
static void contradiction(struct flights *flights, struct flight *flight, struct attempt *attempt,
                          uint64_t now_ns)
{
    uint64_t link = attempt->link;
    flights->stats.contradictions++;
    recall(flights, flight, attempt, now_ns);
    lose(flights, flight, attempt, ERR_UNAVAILABLE,
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
    struct flight *flight = find(flights, key->request);
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
        recall(flights, flight, &flight->lead, now_ns);
        (void)promote_hedge(flight);
    } else if (!flight->hedge.had_id && !flight->moves &&
               flight->id_count - flight->hedged_at > HEDGE_LEAD_MAX) {
        recall(flights, flight, &flight->hedge, now_ns);
    }
}

/* Deliver the `count` ids of the result from its index `first`: they begin where the flight
 * ends. */
static void deliver(struct flights *flights, struct flight *flight, struct attempt *attempt,
                    const struct wire_result *result, size_t first, size_t count, uint64_t now_ns)
{
    if (emitted(flight) == 0) {
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

void flights_result(struct flights *flights, uint64_t link, const struct wire_result *result,
                    uint64_t now_ns)
{
    struct attempt *attempt;
    struct flight *flight = addressed(flights, link, &result->key, &attempt);
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
    size_t room = flight->order.max_tokens - emitted(flight);
    size_t fresh = result->id_count - known < room ? result->id_count - known : room;
    if (fresh > 0) deliver(flights, flight, attempt, result, known, fresh, now_ns);
}

/* A copy of a note that a message lends without a NUL. */
static void copy_note(char out[NOTE_SIZE], struct wire_text note, enum err err)
{
    if (note.size == 0)
        snprintf(out, NOTE_SIZE, "%s", err_phrase(err));
    else
        snprintf(out, NOTE_SIZE, "%.*s", (int)note.size, note.text);
}

/* The answer is whole. */
static void complete(struct flights *flights, struct flight *flight, const struct attempt *attempt,
                     const struct wire_done *done, uint64_t now_ns)
{
    // A node of before RESULT had the number says it here alone.
    bool is_first = emitted(flight) == 0 || flight->first_attempt == attempt->number;
    uint32_t cached_tokens = is_first ? done->cached_tokens : flight->cached_tokens;
    recall_all(flights, flight, now_ns);
    end(flights, flight,
        &(struct flight_end){.finish = done->finish, .cached_tokens = cached_tokens});
}

void flights_done(struct flights *flights, uint64_t link, const struct wire_done *done,
                  uint64_t now_ns)
{
    struct attempt *attempt;
    struct flight *flight = addressed(flights, link, &done->key, &attempt);
    if (!flight) return;
    if (done->err == ERR_OK && done->completion_tokens > emitted(flight) &&
        emitted(flight) < flight->order.max_tokens) {
        contradiction(flights, flight, attempt, now_ns);
        return;
    }
    release(flights, attempt, now_ns);
    if (done->err == ERR_OK &&
        (done->finish == WIRE_FINISH_STOP || done->finish == WIRE_FINISH_LENGTH)) {
        complete(flights, flight, attempt, done, now_ns);
        return;
    }
    char note[NOTE_SIZE];
    // An end that we did not ask for, without an error: the node gave up its work, as on a
    // shutdown.
    enum err err = done->err == ERR_OK ? ERR_UNAVAILABLE : done->err;
    copy_note(note, done->note, err);
    bool elsewhere = err_retry_class(err) == ERR_RETRY_OTHER && err != ERR_TIMEOUT;
    if (elsewhere || attempt == &flight->hedge || flight->hedge.flies)
        lose(flights, flight, attempt, err, note, now_ns);
    else
        fail(flights, flight, err, note);
}

void flights_busy(struct flights *flights, uint64_t link, const struct wire_busy *busy,
                  uint64_t now_ns)
{
    static const char note[] = "every node that was asked is full";
    struct attempt *attempt;
    struct flight *flight = addressed(flights, link, &busy->key, &attempt);
    if (!flight) return;
    flights->stats.busy++;
    release(flights, attempt, now_ns);
    if (attempt == &flight->hedge || promote_hedge(flight)) return;
    if (busy->retry_ms > flight->retry_ms) flight->retry_ms = busy->retry_ms;
    if (++flight->busy_count > 1)
        fail(flights, flight, ERR_BUSY, note);
    else
        retry(flights, flight, ERR_BUSY, note, now_ns);
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
        release(flights, attempt, now_ns);
        lose(flights, flight, attempt, ERR_UNAVAILABLE,
             "the node was lost, and no other took its place", now_ns);
    }
    flights->stats.lost_nodes += any;
}

/* A second attempt beside the lead, on a node that the flight has not tried. `moves`: the lead's node is to be left, at
 * whatever cost. */
static void send_beside(struct flights *flights, struct flight *flight, bool moves, uint64_t now_ns)
{
    if (flight->hedges >= FLIGHT_HEDGES_MAX || finished_by(flight) != WIRE_FINISH_NONE) return;
    if (!moves && !hedge_may_spend(&flights->budget, 1)) return;
    struct fleet_choice choice;
    if (make_plan(flights, flight, now_ns, &choice)) return;
    if (!moves && !hedge_may_spend(&flights->budget, choice.uncached)) return;
    // where it would wait for longer than it has waited here, it would win nothing
    if (!moves && choice.wait_ns > now_ns - flight->lead.pulse.heard_ns) return;
    flight->hedges++;
    flight->hedged_at = flight->id_count;
    flight->moves = moves;
    if (follow(flights, flight, &flight->hedge, &choice, now_ns)) return;
    if (moves) {
        flights->stats.moved++;
        return;
    }
    flights->stats.hedged++;
    flights->budget.spent += choice.uncached;
}

/* A node that drains is given FLIGHT_STAY_NS to end what runs there. */
static bool must_move(const struct flights *flights, const struct flight *flight, uint64_t now_ns)
{
    const struct fleet_node *node = fleet_find_node(flights->fleet, flight->lead.link);
    return node && node->state == FLEET_DRAINING && now_ns - node->draining_ns >= FLIGHT_STAY_NS;
}

/* Is the lead slower than it should be? Before its first id only if its node looks stuck: who waits in a queue, by its class
 * or its tenant's share, is to wait. */
static bool is_slow(const struct flights *flights, const struct flight *flight, uint64_t now_ns)
{
    const struct attempt *lead = &flight->lead;
    if (!hedge_is_quiet(&lead->pulse, now_ns)) return false;
    if (lead->had_id) return true;
    const struct fleet_node *node = fleet_find_node(flights->fleet, lead->link);
    return node && (node->step_age_ms * CLOCK_MS >= HEDGE_QUIET_NS ||
                    now_ns - node->heard_ns >= HEDGE_SILENT_NS);
}

static void look_after(struct flights *flights, struct flight *flight, uint64_t now_ns)
{
    if (!flight->lead.flies) {
        (void)go_on(flights, flight, now_ns);
    } else if (order_is_late(&flight->order, now_ns)) {
        recall_all(flights, flight, now_ns);
        fail(flights, flight, ERR_TIMEOUT, "the deadline passed before the answer was complete");
    } else if (!flight->hedge.flies && must_move(flights, flight, now_ns)) {
        send_beside(flights, flight, true, now_ns);
    } else if (!flight->hedge.flies && is_slow(flights, flight, now_ns)) {
        send_beside(flights, flight, false, now_ns);
    }
}

void flights_tick(struct flights *flights, uint64_t now_ns)
{
    for (size_t slot = 0; slot < flights->capacity; slot++)
        if (flights->slots[slot]) look_after(flights, flights->slots[slot], now_ns);
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

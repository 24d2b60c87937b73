#include "scheduler/core/flight.h"

#include "scheduler/core/fleet.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    FIRST_CAPACITY = 64, // ids of answer that a flight has room for at first
    NOTE_SIZE = WIRE_NOTE_MAX + 1
};

enum flight_state {
    DISPATCHED, // a node has it and has not given an id in this attempt
    STREAMING,
    WAITING // for a node
};

struct flight {
    uint64_t id; // also the request of its wire key
    struct flight_order order;
    struct flight_events events;
    void *argument;
    enum flight_state state;

    int32_t *ids; // [capacity]: the prompt, then what was delivered
    size_t id_count;
    size_t capacity;

    uint64_t link; // while it is not WAITING
    uint32_t attempt;
    uint32_t charged; // tokens, at the fleet
    uint64_t tried[FLIGHT_ATTEMPTS_MAX];
    size_t tried_count;

    // Why it left its latest node, and what it answers if there is no other.
    enum err cause;
    char note[NOTE_SIZE];
    uint32_t busy_count;
    uint32_t retry_ms;
    uint64_t give_up_ns; // while WAITING

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

static void *copy(const void *things, size_t count, size_t size)
{
    void *mine = mem_new(count ? count : 1, size);
    if (count) memcpy(mine, things, count * size);
    return mine;
}

static void *borrowed_memory(const void *mine)
{
    void *memory;
    memcpy(&memory, &mine, sizeof memory);
    return memory;
}

static struct flight *flight_new(const struct flight_order *order,
                                 const struct flight_events *events, void *argument)
{
    struct flight *flight = mem_new(1, sizeof *flight);
    flight->order = *order;
    flight->events = *events;
    flight->argument = argument;
    flight->capacity = order->id_count + FIRST_CAPACITY;
    flight->ids = mem_new(flight->capacity, sizeof *flight->ids);
    memcpy(flight->ids, order->ids, order->id_count * sizeof *flight->ids);
    flight->id_count = order->id_count;
    flight->order.ids = NULL; // the caller's; ours are above
    flight->order.stop_ids = copy(order->stop_ids, order->stop_id_count, sizeof *order->stop_ids);
    flight->order.sampling.bias =
        copy(order->sampling.bias, order->sampling.bias_count, sizeof *order->sampling.bias);
    return flight;
}

static void flight_free(struct flight *flight)
{
    mem_free(flight->ids);
    mem_free(borrowed_memory(flight->order.stop_ids));
    mem_free(borrowed_memory(flight->order.sampling.bias));
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

static struct wire_key key_of(const struct flight *flight)
{
    return (struct wire_key){flight->id, flight->order.choice, flight->attempt};
}

/* Give back what the latest attempt holds at the fleet. */
static void release(struct flights *flights, struct flight *flight)
{
    if (flight->state == WAITING) return;
    fleet_release(flights->fleet, flight->link, flight->charged, flight->state == STREAMING);
    flight->state = WAITING;
}

/* Tell the node to stop, and expect nothing more of it. */
static void recall(struct flights *flights, struct flight *flight)
{
    if (flight->state == WAITING) return;
    struct wire_message message = {.type = WIRE_CANCEL, .cancel = {key_of(flight)}};
    // A link that takes nothing is going down, and its node forgets the request with it.
    (void)flights->seams.send(flights->seams.owner, flight->link, &message, false);
    release(flights, flight);
}

/* The one end of a flight. */
static void end(struct flights *flights, struct flight *flight, const struct flight_end *how)
{
    must(flight->state == WAITING); // it holds no node
    struct flight_end last = *how;
    last.prompt_tokens = (uint32_t)flight->order.id_count;
    last.completion_tokens = (uint32_t)emitted(flight);
    if (last.cached_tokens > last.prompt_tokens) last.cached_tokens = last.prompt_tokens;
    last.attempts = flight->attempt + 1;
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

/* Whole milliseconds to the deadline, at least 1; 0 when there is none. */
static uint32_t deadline_ms(const struct flight *flight, uint64_t now_ns)
{
    if (flight->order.deadline_ns == 0) return 0;
    uint64_t left = (flight->order.deadline_ns - now_ns + CLOCK_MS - 1) / CLOCK_MS;
    return left < UINT32_MAX ? (uint32_t)left : UINT32_MAX;
}

static bool is_late(const struct flight *flight, uint64_t now_ns)
{
    return flight->order.deadline_ns != 0 && now_ns >= flight->order.deadline_ns;
}

static enum err send_submit(struct flights *flights, struct flight *flight, uint64_t link,
                            uint64_t now_ns)
{
    const struct flight_order *order = &flight->order;
    struct wire_salt salt = {.first_block = 0, .salt = order->salt};
    struct wire_message message = {.type = WIRE_SUBMIT,
                                   .submit = {.protocol = WIRE_PROTOCOL,
                                              .kind = WIRE_GENERATE,
                                              .key = key_of(flight),
                                              .model = order->model,
                                              .adapter = order->adapter,
                                              .numerics = order->numerics,
                                              .ids = flight->ids,
                                              .id_count = flight->id_count,
                                              .prompt_length = (uint32_t)order->id_count,
                                              .next_position = (uint32_t)flight->id_count,
                                              .max_tokens = order->max_tokens,
                                              .stop_ids = order->stop_ids,
                                              .stop_id_count = order->stop_id_count,
                                              .sampling = order->sampling,
                                              .tenant = order->tenant,
                                              .tenant_weight = order->tenant_weight,
                                              .priority = order->priority,
                                              .deadline_ms = deadline_ms(flight, now_ns),
                                              .salts = order->salt ? &salt : NULL,
                                              .salt_count = order->salt ? 1 : 0}};
    memcpy(message.submit.trace, order->trace, sizeof message.submit.trace);
    return flights->seams.send(flights->seams.owner, link, &message, false);
}

/* The node that works on a flight; 0: none does. */
static uint64_t link_of(const struct flights *flights, uint64_t id)
{
    const struct flight *flight = id ? find(flights, id) : NULL;
    return flight && flight->state != WAITING ? flight->link : 0;
}

/* Put the flight, which is WAITING, onto a node that it has not tried. A link that does not take it
 * counts as tried, and the next node is asked. */
static enum err dispatch(struct flights *flights, struct flight *flight, uint64_t now_ns)
{
    enum err refused = ERR_OK;
    while (flight->tried_count < FLIGHT_ATTEMPTS_MAX) {
        struct fleet_need need = {.model = flight->order.model,
                                  .adapter = flight->order.adapter,
                                  .numerics = flight->order.numerics,
                                  .tokens = (uint32_t)flight->id_count,
                                  .beside = link_of(flights, flight->order.beside),
                                  .excluded = flight->tried,
                                  .excluded_count = flight->tried_count};
        uint64_t link;
        enum err err = fleet_pick(flights->fleet, &need, &link);
        if (err != ERR_OK) return refused != ERR_OK ? ERR_BUSY : err;
        flight->attempt = (uint32_t)flight->tried_count;
        flight->tried[flight->tried_count++] = link;
        refused = send_submit(flights, flight, link, now_ns);
        if (refused != ERR_OK) continue;
        flight->link = link;
        flight->charged = (uint32_t)flight->id_count;
        flight->state = DISPATCHED;
        fleet_charge(flights->fleet, link, flight->charged);
        return ERR_OK;
    }
    return refused != ERR_OK ? ERR_BUSY : ERR_UNAVAILABLE;
}

static enum err check_order(const struct flights *flights, const struct flight_order *order,
                            uint64_t now_ns)
{
    must(order->stop_id_count <= WIRE_STOP_IDS_MAX);
    must(order->sampling.bias_count <= WIRE_LOGIT_BIAS_MAX);
    if (flights->count == flights->capacity)
        return err_note(ERR_BUSY, "%zu requests are in the air; there is no room for more",
                        flights->capacity);
    if (order->deadline_ns != 0 && now_ns >= order->deadline_ns)
        return err_note(ERR_TIMEOUT, "the deadline had passed before the request was sent");
    if (order->id_count == 0) return err_note(ERR_INVALID, "the prompt is empty");
    if (order->id_count > WIRE_IDS_MAX || order->max_tokens > WIRE_IDS_MAX - order->id_count)
        return err_note(ERR_TOO_LONG, "%zu tokens of prompt and %" PRIu32 " of answer exceed %d",
                        order->id_count, order->max_tokens, WIRE_IDS_MAX);
    return ERR_OK;
}

enum err flight_start(struct flights *flights, const struct flight_order *order,
                      const struct flight_events *events, void *argument, uint64_t now_ns,
                      uint64_t *id)
{
    TRY(check_order(flights, order, now_ns));
    struct flight *flight = flight_new(order, events, argument);
    flight->state = WAITING;
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

void flight_cancel(struct flights *flights, uint64_t id)
{
    struct flight *flight = find(flights, id);
    if (!flight) return;
    recall(flights, flight);
    leave(flights, flight);
    flights->stats.ended++;
    flight_free(flight);
}

/* An answer whose last id was delivered needs no other node: only its DONE was lost. */
static enum wire_finish finished_by(const struct flight *flight)
{
    if (emitted(flight) == 0) return WIRE_FINISH_NONE;
    for (size_t i = 0; i < flight->order.stop_id_count; i++)
        if (flight->ids[flight->id_count - 1] == flight->order.stop_ids[i]) return WIRE_FINISH_STOP;
    return emitted(flight) >= flight->order.max_tokens ? WIRE_FINISH_LENGTH : WIRE_FINISH_NONE;
}

/* Try to go on with a flight that waits; true when it waits no more (it flies, or has ended). */
static bool go_on(struct flights *flights, struct flight *flight, uint64_t now_ns)
{
    if (is_late(flight, now_ns)) {
        fail(flights, flight, ERR_TIMEOUT, "the deadline passed before the answer was complete");
        return true;
    }
    enum err err = dispatch(flights, flight, now_ns);
    if (err == ERR_OK) {
        flights->stats.retried++;
        return true;
    }
    bool spent = flight->tried_count >= FLIGHT_ATTEMPTS_MAX;
    if (!spent && now_ns < flight->give_up_ns) return false;
    fail(flights, flight, flight->cause, flight->note);
    return true;
}

/* The flight, which holds no node any more, goes elsewhere. `cause` and `note` are what it ends
 * with if there is no elsewhere. */
static void retry(struct flights *flights, struct flight *flight, enum err cause, const char *note,
                  uint64_t now_ns)
{
    must(flight->state == WAITING);
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

/* The node said what cannot be. It is reported, and the flight leaves it. */
static void contradiction(struct flights *flights, struct flight *flight, uint64_t now_ns)
{
    uint64_t link = flight->link;
    flights->stats.contradictions++;
    recall(flights, flight);
    retry(flights, flight, ERR_UNAVAILABLE, "a node contradicted itself, and no other was free",
          now_ns);
    flights->seams.quarantine(flights->seams.owner, link);
}

/* The flight that a message is about; NULL when that attempt is over. */
static struct flight *addressed(const struct flights *flights, uint64_t link,
                                const struct wire_key *key)
{
    struct flight *flight = find(flights, key->request);
    if (!flight || flight->state == WAITING || flight->link != link) return NULL;
    return flight->attempt == key->attempt && flight->order.choice == key->choice ? flight : NULL;
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

/* Deliver the `count` ids of the result from its index `first`: they begin where the flight
 * ends. */
static void deliver(struct flights *flights, struct flight *flight,
                    const struct wire_result *result, size_t first, size_t count)
{
    if (flight->state == DISPATCHED) {
        flight->state = STREAMING;
        fleet_first_id(flights->fleet, flight->link, flight->charged);
    }
    if (emitted(flight) == 0) {
        flight->first_attempt = flight->attempt;
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
    flight->events.ids(flight->argument, &view); // may cancel: the flight may be gone behind this
}

void flights_result(struct flights *flights, uint64_t link, const struct wire_result *result,
                    uint64_t now_ns)
{
    struct flight *flight = addressed(flights, link, &result->key);
    if (!flight || result->id_count == 0) return;
    size_t known = 0; // of the result's ids, how many stand in the flight already
    if (result->position < flight->id_count) known = flight->id_count - result->position;
    if (known > result->id_count) known = result->id_count;
    bool differs = known > 0 && memcmp(flight->ids + result->position, result->ids,
                                       known * sizeof *result->ids) != 0;
    if (result->position > flight->id_count || differs) {
        contradiction(flights, flight, now_ns);
        return;
    }
    flights->stats.duplicates += known;
    // Ids beyond what was asked for are dropped, so what a flight holds stays bounded.
    size_t room = flight->order.max_tokens - emitted(flight);
    size_t fresh = result->id_count - known < room ? result->id_count - known : room;
    if (fresh > 0) deliver(flights, flight, result, known, fresh);
}

/* A copy of a note that a message lends without a NUL. */
static void copy_note(char out[NOTE_SIZE], struct wire_text note, enum err err)
{
    if (note.size == 0)
        snprintf(out, NOTE_SIZE, "%s", err_phrase(err));
    else
        snprintf(out, NOTE_SIZE, "%.*s", (int)note.size, note.text);
}

void flights_done(struct flights *flights, uint64_t link, const struct wire_done *done,
                  uint64_t now_ns)
{
    struct flight *flight = addressed(flights, link, &done->key);
    if (!flight) return;
    if (done->err == ERR_OK && done->completion_tokens > emitted(flight) &&
        emitted(flight) < flight->order.max_tokens) {
        contradiction(flights, flight, now_ns);
        return;
    }
    release(flights, flight);
    bool whole = done->err == ERR_OK &&
                 (done->finish == WIRE_FINISH_STOP || done->finish == WIRE_FINISH_LENGTH);
    if (whole) {
        // A node of before RESULT had the number says it here alone.
        bool is_first = emitted(flight) == 0 || flight->first_attempt == flight->attempt;
        uint32_t cached_tokens = is_first ? done->cached_tokens : flight->cached_tokens;
        end(flights, flight,
            &(struct flight_end){.finish = done->finish, .cached_tokens = cached_tokens});
        return;
    }
    char note[NOTE_SIZE];
    // An end that we did not ask for, without an error: the node gave up its work, as on a
    // shutdown.
    enum err err = done->err == ERR_OK ? ERR_UNAVAILABLE : done->err;
    copy_note(note, done->note, err);
    if (err_retry_class(err) == ERR_RETRY_OTHER && err != ERR_TIMEOUT)
        retry(flights, flight, err, note, now_ns);
    else
        fail(flights, flight, err, note);
}

void flights_busy(struct flights *flights, uint64_t link, const struct wire_busy *busy,
                  uint64_t now_ns)
{
    static const char note[] = "every node that was asked is full";
    struct flight *flight = addressed(flights, link, &busy->key);
    if (!flight) return;
    flights->stats.busy++;
    release(flights, flight);
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
        if (!flight || flight->state == WAITING || flight->link != link) continue;
        any = true;
        release(flights, flight);
        retry(flights, flight, ERR_UNAVAILABLE, "the node was lost, and no other took its place",
              now_ns);
    }
    flights->stats.lost_nodes += any;
}

void flights_tick(struct flights *flights, uint64_t now_ns)
{
    for (size_t slot = 0; slot < flights->capacity; slot++) {
        struct flight *flight = flights->slots[slot];
        if (!flight) continue;
        if (flight->state == WAITING) {
            (void)go_on(flights, flight, now_ns);
        } else if (is_late(flight, now_ns)) {
            recall(flights, flight);
            fail(flights, flight, ERR_TIMEOUT,
                 "the deadline passed before the answer was complete");
        }
    }
}

size_t flights_count(const struct flights *flights)
{
    return flights->count;
}

const struct flights_stats *flights_stats(const struct flights *flights)
{
    return &flights->stats;
}

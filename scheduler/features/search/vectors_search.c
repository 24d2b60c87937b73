#include "scheduler/core/fleet.h"
#include "scheduler/core/flight.h"
#include "scheduler/core/shards.h"
#include "scheduler/features/follower.h"
#include "scheduler/features/search/numbers.h"
#include "scheduler/features/search/vectors_parts.h"
#include "scheduler/settings.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/must.h"
#include "base/rand.h"

#include <event2/event.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TRIES_MAX = 3,             // of a shard, each on the nodes that hold it by then
    BITS_AT_ONCE_MAX = 4 << 10 // bytes of a filter that is not worth the asking whether it is known
};

/* One flight of a search. */
struct scan {
    struct scan *next;
    struct vectors_ticket *ticket;
    uint64_t flight;
    uint64_t shards[WIRE_SCAN_SHARDS_MAX];
    size_t count;
    unsigned tries;
    bool with_bits;
};

struct found {
    int32_t number;
    float score;
};

struct vectors_ticket {
    struct vectors_ticket *next, *previous; // of the room's
    struct vectors *vectors;
    struct event *later; // it has nothing to ask
    char index[COLLECTION_NAME_MAX + 1];
    uint64_t epoch;
    float *vector;
    struct vectors_query query; // what it borrowed is gone
    uint8_t *bits;              // [bits_size]; NULL: no filter
    size_t bits_size;
    struct digest filter;
    struct scan *scans; // in the air
    struct found *found;
    size_t found_count, found_capacity;
    size_t missing, answered; // shards; scans
    enum err err;             // of the latest failure
    char note[ERR_NOTE_MAX];
};

static enum err send_out(struct vectors_ticket *ticket, const uint64_t *shards, size_t count,
                         unsigned tries);

// ---- its end -----------------------------------------------------------------------------------

static void ticket_free(struct vectors_ticket *ticket)
{
    while (ticket->scans) {
        struct scan *scan = ticket->scans;
        ticket->scans = scan->next;
        if (scan->flight)
            flight_cancel(ticket->vectors->options.flights, scan->flight, clock_now_ns());
        mem_free(scan);
    }
    if (ticket->next) {
        ticket->next->previous = ticket->previous;
        ticket->previous->next = ticket->next;
        ticket->vectors->ticket_count--;
    }
    if (ticket->later) event_free(ticket->later);
    mem_free(ticket->vector);
    mem_free(ticket->bits);
    mem_free(ticket->found);
    mem_free(ticket);
}

void vectors_cancel(struct vectors_ticket *ticket)
{
    ticket_free(ticket);
}

/* Best first; of equal scores the lower number. */
static int by_score(const void *a, const void *b)
{
    const struct found *left = a, *right = b;
    if (left->score > right->score) return -1;
    if (left->score < right->score) return 1;
    return (left->number > right->number) - (left->number < right->number);
}

static const char *outcome_of(const struct vectors_answer *answer)
{
    if (answer->err) return "failed";
    return answer->partial ? "partial" : "whole";
}

/* Nodes may know numbers that have gone since, or are not told here yet: those are nobody's. */
static size_t name_hits(struct vectors_ticket *ticket, const struct numbers *numbers,
                        struct vectors_hit *hits)
{
    size_t count = 0;
    qsort(ticket->found, ticket->found_count, sizeof *ticket->found, by_score);
    for (size_t i = 0; i < ticket->found_count && count < ticket->query.top_count; i++) {
        struct vectors_hit *hit = &hits[count];
        hit->score = ticket->found[i].score;
        hit->id = numbers_id(numbers, (uint32_t)ticket->found[i].number, &hit->id_size);
        count += hit->id != NULL;
    }
    return count;
}

static void finish(struct vectors_ticket *ticket)
{
    const struct vectors_entry *entry = vectors_find(ticket->vectors, ticket->index);
    struct vectors_query query = ticket->query;
    struct vectors_answer answer = {.partial = ticket->missing > 0};
    struct vectors_hit *hits = mem_new(query.top_count, sizeof *hits);
    struct metrics *metrics = ticket->vectors->options.metrics;
    if (!entry || entry->made.epoch != ticket->epoch)
        answer.err = err_note(ERR_UNAVAILABLE, "the vectors of this index are being made anew");
    else if (ticket->answered == 0 && ticket->missing > 0)
        answer.err = (err_note)(ticket->err, "%s", ticket->note);
    else if (ticket->found_count > 0)
        answer.count = name_hits(ticket, entry->numbers, hits);
    answer.hits = hits;
    if (metrics) metric_add(metrics, M_vector_searches_total, outcome_of(&answer), NULL, 1);
    query.done(query.argument, &answer);
    ticket_free(ticket);
    mem_free(hits);
}

struct vectors_ticket *vectors_tickets_new(void)
{
    struct vectors_ticket *head = mem_new(1, sizeof *head);
    head->next = head->previous = head;
    return head;
}

void vectors_cancel_all(struct vectors *vectors)
{
    struct vectors_ticket *head = vectors->tickets;
    while (head->next != head) {
        struct vectors_query query = head->next->query;
        ticket_free(head->next);
        query.done(query.argument,
                   &(struct vectors_answer){.err = err_note(ERR_CANCELED, "the scheduler ends")});
    }
}

// ---- flights -----------------------------------------------------------------------------------

static void remove_scan(struct scan *scan)
{
    struct scan **at = &scan->ticket->scans;
    while (*at != scan)
        at = &(*at)->next;
    *at = scan->next;
    mem_free(scan);
}

static void fail(struct vectors_ticket *ticket, enum err err, const char *note, size_t shards)
{
    ticket->missing += shards;
    ticket->err = err;
    snprintf(ticket->note, sizeof ticket->note, "%s", note);
}

static void on_whole(void *argument, const struct flight_whole *whole)
{
    struct vectors_ticket *ticket = ((struct scan *)argument)->ticket;
    size_t count = ticket->found_count + whole->id_count;
    if (!whole->scores) return; // a list without scores is none
    if (count > ticket->found_capacity) {
        ticket->found_capacity = 2 * count;
        ticket->found = mem_resize(ticket->found, ticket->found_capacity, sizeof *ticket->found);
    }
    for (size_t i = 0; i < whole->id_count; i++)
        ticket->found[ticket->found_count++] =
            (struct found){.number = whole->ids[i], .score = whole->scores[i]};
}

static enum err start_scan(struct scan *scan);

static bool is_bits_wanted(const struct scan *scan, const struct flight_end *end)
{
    return end->err == ERR_NOT_FOUND && end->note && strcmp(end->note, "filter") == 0 &&
           scan->ticket->bits && !scan->with_bits;
}

static void on_end(void *argument, const struct flight_end *end)
{
    struct scan *scan = argument;
    struct vectors_ticket *ticket = scan->ticket;
    scan->flight = 0;
    if (is_bits_wanted(scan, end)) {
        scan->with_bits = true;
        enum err err = start_scan(scan);
        if (!err) return;
        fail(ticket, err, err_text(), scan->count);
    } else if (end->err && end->err != ERR_TIMEOUT && scan->tries < TRIES_MAX) {
        fail(ticket, end->err, end->note ? end->note : err_phrase(end->err), 0);
        (void)send_out(ticket, scan->shards, scan->count, scan->tries + 1);
    } else if (end->err) {
        fail(ticket, end->err, end->note ? end->note : err_phrase(end->err), scan->count);
    } else {
        ticket->answered++;
    }
    remove_scan(scan);
    if (!ticket->scans) finish(ticket);
}

static enum err start_scan(struct scan *scan)
{
    static const struct flight_events events = {.end = on_end, .whole = on_whole};
    const struct vectors_ticket *ticket = scan->ticket;
    struct flight_order order = {
        .kind = WIRE_SCAN,
        .sampling = {.repetition_penalty = 1},
        .top_count = ticket->query.top_count,
        .query = ticket->vector,
        .query_size = ticket->query.size,
        .shards = scan->shards,
        .shard_count = scan->count,
        .tenant = ticket->query.tenant,
        .tenant_weight = ticket->query.tenant_weight,
        .priority = ticket->query.priority,
        .deadline_ns = ticket->query.deadline_ns,
        .regions = ticket->query.regions,
        .region_count = ticket->query.region_count,
    };
    if (ticket->bits) order.filter = ticket->filter;
    if (ticket->bits && scan->with_bits) {
        order.filter_bits = ticket->bits;
        order.filter_size = ticket->bits_size;
    }
    for (size_t i = 0; i < sizeof order.trace; i += 8) {
        uint64_t bits = rand_entropy();
        memcpy(order.trace + i, &bits, 8);
    }
    return flight_start(ticket->vectors->options.flights, &order, &events, scan, clock_now_ns(),
                        &scan->flight);
}

/* One node's shards, a flight for each WIRE_SCAN_SHARDS_MAX. */
static enum err send_group(struct vectors_ticket *ticket, const uint64_t *shards, size_t count,
                           unsigned tries)
{
    enum err failure = ERR_OK;
    for (size_t at = 0; at < count; at += WIRE_SCAN_SHARDS_MAX) {
        struct scan *scan = mem_new(1, sizeof *scan);
        scan->ticket = ticket;
        scan->tries = tries;
        scan->with_bits = ticket->bits_size <= BITS_AT_ONCE_MAX;
        scan->count = count - at < WIRE_SCAN_SHARDS_MAX ? count - at : WIRE_SCAN_SHARDS_MAX;
        memcpy(scan->shards, shards + at, scan->count * sizeof *shards);
        scan->next = ticket->scans;
        ticket->scans = scan;
        enum err err = start_scan(scan);
        if (!err) continue;
        failure = err;
        fail(ticket, err, err_text(), scan->count);
        remove_scan(scan);
    }
    return failure;
}

/* held[node × count + shard], over the nodes that take work and may see it. */
static size_t find_holders(const struct vectors_ticket *ticket, const uint64_t *shards,
                           size_t count, bool *held)
{
    const struct fleet *fleet = ticket->vectors->options.fleet;
    const struct vectors_query *query = &ticket->query;
    size_t nodes = 0;
    for (size_t i = 0; i < fleet_node_count(fleet); i++) {
        const struct fleet_node *node = fleet_node_at(fleet, i);
        bool any = false;
        if (node->state != FLEET_READY) continue;
        if (!fleet_is_within(node, query->regions, query->region_count)) continue;
        for (size_t k = 0; k < count; k++) {
            const struct fleet_shard *shard = fleet_find_shard(fleet, node->link, shards[k]);
            held[nodes * count + k] = shard && shard->version > 0;
            any |= held[nodes * count + k];
        }
        nodes += any;
    }
    return nodes;
}

/* Ask for the shards; what nobody can be asked for is missing, and the last failure is returned. */
static enum err send_out(struct vectors_ticket *ticket, const uint64_t *shards, size_t count,
                         unsigned tries)
{
    const struct fleet *fleet = ticket->vectors->options.fleet;
    bool *held = mem_new(count * (fleet_node_count(fleet) + 1), sizeof *held);
    uint16_t *takers = mem_new(count, sizeof *takers);
    uint64_t *group = mem_new(count, sizeof *group);
    enum err failure = ERR_OK;
    size_t nodes = find_holders(ticket, shards, count, held);
    size_t nobody = shard_cover(held, nodes, count, ticket->vectors->turn++, takers);
    for (size_t node = 0; node < nodes; node++) {
        size_t size = 0;
        for (size_t k = 0; k < count; k++)
            if (takers[k] == node) group[size++] = shards[k];
        enum err err = send_group(ticket, group, size, tries);
        if (err) failure = err;
    }
    if (nobody > 0) {
        failure = err_note(ERR_UNAVAILABLE, "no node holds the vectors of this index at present");
        fail(ticket, failure, err_text(), nobody);
    }
    mem_free(held);
    mem_free(takers);
    mem_free(group);
    return failure;
}

// ---- asking ------------------------------------------------------------------------------------

void vectors_allow(struct buf *allowed, const char *id, size_t id_size)
{
    must(id_size > 0 && id_size <= COLLECTION_ID_MAX);
    buf_add_byte(allowed, (unsigned char)id_size);
    buf_add(allowed, id, id_size);
}

static void make_bits(struct vectors_ticket *ticket, const struct vectors_query *query,
                      const struct numbers *numbers)
{
    ticket->bits_size = (numbers_end(numbers) + 7) / 8;
    ticket->bits = mem_new(ticket->bits_size ? ticket->bits_size : 1, 1);
    for (size_t at = 0; at < query->allowed_size;) {
        uint64_t digest;
        size_t size = (unsigned char)query->allowed[at];
        uint32_t number = numbers_find(numbers, query->allowed + at + 1, size, &digest);
        if (number != NUMBERS_NONE) ticket->bits[number / 8] |= (uint8_t)(1u << number % 8);
        at += 1 + size;
    }
    while (ticket->bits_size > 1 && ticket->bits[ticket->bits_size - 1] == 0)
        ticket->bits_size--; // what is behind its end is not allowed either
    ticket->filter = digest_of(ticket->bits, ticket->bits_size);
}

static void on_later(evutil_socket_t fd, short what, void *argument)
{
    (void)fd, (void)what;
    finish(argument);
}

static enum err check(const struct vectors *vectors, const struct vectors_entry *entry,
                      const struct vectors_query *query)
{
    if (!entry || !entry->model)
        return err_note(ERR_NOT_FOUND,
                        "the index has no embedder, so its documents have no vectors");
    if (vectors->stopped) return err_note(ERR_CANCELED, "the scheduler ends");
    if (!entry->follower || !follower_is_whole(entry->follower) || !entry->made.known)
        return err_note(ERR_UNAVAILABLE, "the vectors of this index are not known here yet");
    if (query->size != entry->made.size)
        return err_note(ERR_INVALID, "the vector has %zu numbers, those of the index have %u",
                        query->size, entry->made.size);
    for (size_t i = 0; i < query->size; i++)
        if (!isfinite(query->vector[i]))
            return err_note(ERR_INVALID, "number %zu of the vector is not finite", i);
    if (vectors->ticket_count == VECTORS_SEARCHES_MAX)
        return err_note(ERR_BUSY, "%d searches among vectors are under way", VECTORS_SEARCHES_MAX);
    return ERR_OK;
}

static struct vectors_ticket *ticket_new(struct vectors *vectors, const struct vectors_entry *entry,
                                         const struct vectors_query *query)
{
    struct vectors_ticket *ticket = mem_new(1, sizeof *ticket), *head = vectors->tickets;
    must(query->top_count >= 1 && query->top_count <= VECTORS_TOP_MAX);
    ticket->vectors = vectors;
    ticket->query = *query;
    ticket->query.vector = NULL;
    ticket->query.allowed = NULL;
    ticket->query.index = NULL;
    ticket->epoch = entry->made.epoch;
    snprintf(ticket->index, sizeof ticket->index, "%s", entry->index);
    ticket->vector = mem_new(query->size, sizeof *ticket->vector);
    memcpy(ticket->vector, query->vector, query->size * sizeof *ticket->vector);
    if (query->filtered) make_bits(ticket, query, entry->numbers);
    ticket->next = head;
    ticket->previous = head->previous;
    ticket->previous->next = head->previous = ticket;
    vectors->ticket_count++;
    return ticket;
}

enum err vectors_search(struct vectors *vectors, const struct vectors_query *query,
                        struct vectors_ticket **out)
{
    const struct vectors_entry *entry = vectors_find(vectors, query->index);
    enum err err = check(vectors, entry, query);
    vectors->asked_ns = clock_now_ns();
    if (err) return err;
    struct vectors_ticket *ticket = ticket_new(vectors, entry, query);
    uint32_t end = numbers_shards(entry->numbers);
    uint64_t *shards = mem_new(end ? end : 1, sizeof *shards);
    size_t count = 0;
    for (uint32_t i = 0; i < end; i++)
        if (numbers_in_shard(entry->numbers, i) > 0) shards[count++] = vectors_shard(entry, i);
    bool is_empty = count == 0 || (query->filtered && query->allowed_size == 0);
    if (is_empty) {
        ticket->later = event_new(vectors->options.base, -1, 0, on_later, ticket);
        must(ticket->later != NULL);
        event_active(ticket->later, EV_TIMEOUT, 0);
    } else {
        err = send_out(ticket, shards, count, 1);
    }
    mem_free(shards);
    if (is_empty || ticket->scans) {
        *out = ticket;
        return ERR_OK;
    }
    (err_note)(err, "%s", ticket->note);
    ticket_free(ticket);
    return err;
}

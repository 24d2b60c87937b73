#include "scheduler/core/fleet.h"
#include "scheduler/core/flight.h"
#include "scheduler/core/hedge.h"
#include "tests/test.h"

#include "base/clock.h"

#include <string.h>

enum {
    IDS_MAX = 256,
    SENT_MAX = 64
};

/* What was sent to a node; arrays copied. */
struct sent {
    uint64_t link;
    enum wire_type type;
    struct wire_key key;
    int32_t ids[IDS_MAX];
    size_t id_count;
    struct wire_submit submit; // its pointers are dead
};

/* What the flight's owner saw. */
struct seen {
    int32_t ids[IDS_MAX];
    size_t count;
    size_t ends;
    struct flight_end end;
    char note[512];
    uint64_t cancel_at; // flight to cancel from inside the ids event; 0: none
};

static struct fleet *fleet;
static struct flights *flights;
static struct sent sent[SENT_MAX];
static size_t sent_count;
static uint64_t refusing_link, quarantined;
static struct seen seen;

static enum err fake_send(void *owner, uint64_t link, const struct wire_message *message,
                          bool urgent)
{
    (void)owner;
    assert_false(urgent);
    if (link == refusing_link) return err_note(ERR_BUSY, "full");
    assert_true(sent_count < SENT_MAX);
    struct sent *copy = &sent[sent_count++];
    *copy = (struct sent){.link = link, .type = message->type};
    if (message->type == WIRE_CANCEL) {
        copy->key = message->cancel.key;
        return ERR_OK;
    }
    assert_int_equal(message->type, WIRE_SUBMIT);
    copy->submit = message->submit;
    copy->key = message->submit.key;
    copy->id_count = message->submit.id_count;
    memcpy(copy->ids, message->submit.ids, copy->id_count * sizeof *copy->ids);
    return ERR_OK;
}

static void fake_quarantine(void *owner, uint64_t link)
{
    (void)owner;
    quarantined = link;
}

static void see_ids(void *argument, const struct flight_ids *ids)
{
    struct seen *who = argument;
    assert_int_equal(who->ends, 0);
    assert_int_equal(ids->position, 3 + who->count);
    assert_true(who->count + ids->count <= IDS_MAX);
    memcpy(who->ids + who->count, ids->ids, ids->count * sizeof *ids->ids);
    who->count += ids->count;
    if (who->cancel_at) flight_cancel(flights, who->cancel_at, 1);
}

static void see_end(void *argument, const struct flight_end *end)
{
    struct seen *who = argument;
    who->ends++;
    who->end = *end;
    snprintf(who->note, sizeof who->note, "%s", end->note ? end->note : "");
}

static const struct flight_events events = {see_ids, see_end};

static void given_node(uint64_t link, const char *name, uint32_t credits)
{
    struct wire_model model = {
        .name = {"m", 1}, .kinds = 2, .context_length = 100, .vocab_size = 9};
    model.model.bytes[0] = 1;
    struct wire_hello hello = {.protocol = WIRE_PROTOCOL,
                               .node = {name, strlen(name)},
                               .models = &model,
                               .model_count = 1,
                               .credits = credits,
                               .threads = 1};
    assert_int_equal(fleet_hello(fleet, link, &hello, 0), ERR_OK);
}

static void lose(uint64_t link, uint64_t now_ns)
{
    fleet_down(fleet, link, now_ns);
    flights_node_lost(flights, link, now_ns);
}

static int setup(void **state)
{
    (void)state;
    sent_count = 0;
    refusing_link = quarantined = 0;
    seen = (struct seen){0};
    fleet = fleet_new(&(struct fleet_options){.seed = 1});
    flights = flights_new(fleet, &(struct flights_seams){NULL, fake_send, fake_quarantine}, 3);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(flights_count(flights), 0);
    for (size_t i = 0; i < fleet_node_count(fleet); i++) {
        assert_int_equal(fleet_node_at(fleet, i)->in_air, 0);
        assert_int_equal(fleet_node_at(fleet, i)->in_air_tokens, 0);
    }
    assert_true(flights_stats(flights)->started == flights_stats(flights)->ended);
    flights_free(flights);
    fleet_free(fleet);
    return 0;
}

static struct flight_order given_order(void)
{
    static const int32_t prompt[] = {1, 2, 3}, stops[] = {99};
    struct flight_order order = {.ids = prompt,
                                 .id_count = 3,
                                 .choice = 2,
                                 .max_tokens = 5,
                                 .stop_ids = stops,
                                 .stop_id_count = 1,
                                 .sampling = {.repetition_penalty = 1.0f, .seed = 7},
                                 .salt = 11};
    order.model.bytes[0] = 1;
    return order;
}

static uint64_t start(void)
{
    struct flight_order order = given_order();
    uint64_t flight = 0;
    enum err err = flight_start(flights, &order, &events, &seen, 0, &flight);
    if (err != ERR_OK) fail_msg("%s", err_text());
    return flight;
}

static const struct sent *last(enum wire_type type)
{
    assert_true(sent_count > 0);
    assert_int_equal(sent[sent_count - 1].type, type);
    return &sent[sent_count - 1];
}

/* The node of the attempt `to` gives ids from `position` on. */
static void give(const struct sent *to, uint32_t position, const int32_t *ids, size_t count)
{
    struct wire_result result = {.key = to->key,
                                 .position = position,
                                 .ids = ids,
                                 .id_count = count,
                                 .cached_tokens = to->key.attempt == 0 ? 1 : 100};
    flights_result(flights, to->link, &result, 1);
}

static void finish(const struct sent *to, enum wire_finish how, enum err err, uint32_t tokens)
{
    struct wire_done done = {.key = to->key,
                             .finish = how,
                             .err = err,
                             .note = {"because", 7},
                             .cached_tokens = to->key.attempt == 0 ? 2 : 100,
                             .completion_tokens = tokens};
    flights_done(flights, to->link, &done, 1);
}

static void assert_ended(enum err err, size_t ids)
{
    assert_int_equal(seen.ends, 1);
    assert_int_equal(seen.end.err, err);
    assert_int_equal(seen.count, ids);
    assert_int_equal(seen.end.completion_tokens, ids);
    assert_int_equal(seen.end.prompt_tokens, 3);
}

static const int32_t answer[] = {10, 11, 12, 13, 14, 15};

static void a_request_streams_and_ends_once(void **state)
{
    (void)state;
    given_node(5, "a", 4);
    uint64_t flight = start();
    const struct sent *to = last(WIRE_SUBMIT);
    assert_true(to->key.request == flight && to->key.choice == 2 && to->key.attempt == 0);
    assert_int_equal(to->submit.prompt_length, 3);
    assert_int_equal(to->submit.next_position, 3);
    assert_int_equal(to->submit.salt_count, 1);
    assert_int_equal(fleet_find_node(fleet, 5)->in_air_tokens, 3);
    struct sent wrong = *to; // the right node, about what nobody asked for
    wrong.key.attempt = 1;
    give(&wrong, 3, answer, 2);
    wrong.key = to->key;
    wrong.key.choice = 0;
    give(&wrong, 3, answer, 2);
    assert_int_equal(seen.count, 0);
    give(to, 3, answer, 2);
    assert_int_equal(fleet_find_node(fleet, 5)->in_air_tokens, 0);
    assert_int_equal(fleet_find_node(fleet, 5)->in_air, 1);
    give(to, 5, answer + 2, 1);
    finish(to, WIRE_FINISH_STOP, ERR_OK, 3);
    finish(to, WIRE_FINISH_STOP, ERR_OK, 3);
    give(to, 6, answer, 1);
    assert_ended(ERR_OK, 3);
    assert_int_equal(seen.end.finish, WIRE_FINISH_STOP);
    assert_int_equal(seen.end.cached_tokens, 2);
    assert_int_equal(seen.end.attempts, 1);
    assert_memory_equal(seen.ids, answer, 3 * sizeof *answer);
}

static void a_lost_node_is_replaced_by_its_equal(void **state)
{
    (void)state;
    given_node(1, "a", 4);
    start();
    const struct sent *first = last(WIRE_SUBMIT);
    given_node(2, "b", 4);
    give(first, 3, answer, 2);
    lose(1, 1);
    const struct sent *second = last(WIRE_SUBMIT);
    assert_int_equal(second->link, 2);
    assert_int_equal(second->key.attempt, 1);
    assert_int_equal(second->id_count, 5);
    static const int32_t want[] = {1, 2, 3, 10, 11};
    assert_memory_equal(second->ids, want, sizeof want);
    assert_int_equal(second->submit.prompt_length, 3);
    assert_int_equal(second->submit.next_position, 5);
    assert_int_equal(second->submit.max_tokens, 5);
    assert_int_equal(second->submit.sampling.seed, 7);
    give(first, 5, answer, 1); // the old attempt is nobody's
    give(second, 5, answer + 2, 3);
    finish(second, WIRE_FINISH_LENGTH, ERR_OK, 5);
    assert_ended(ERR_OK, 5);
    assert_memory_equal(seen.ids, answer, 5 * sizeof *answer);
    assert_int_equal(seen.end.attempts, 2);
    assert_int_equal(seen.end.cached_tokens, 1); // what the first attempt found
    assert_int_equal(flights_stats(flights)->lost_nodes, 1);
}

/* Enough has been delivered that a hedge of a few tokens is within the twentieth. */
static void given_credit_for_hedges(void)
{
    struct flight_order order = given_order();
    static int32_t many[IDS_MAX];
    uint64_t flight;
    order.max_tokens = IDS_MAX;
    struct seen nobody = {0};
    assert_int_equal(flight_start(flights, &order, &events, &nobody, 0, &flight), ERR_OK);
    give(last(WIRE_SUBMIT), 3, many, 200);
    finish(last(WIRE_SUBMIT), WIRE_FINISH_STOP, ERR_OK, 200);
    assert_int_equal(nobody.ends, 1);
}

static void a_quiet_node_gets_another_beside_it_and_the_first_to_deliver_wins(void **state)
{
    (void)state;
    given_node(1, "a", 4);
    given_credit_for_hedges();
    start();
    const struct sent *slow = last(WIRE_SUBMIT);
    give(slow, 3, answer, 2);
    given_node(2, "b", 4);
    flights_tick(flights, HEDGE_QUIET_NS / 2);
    assert_ptr_equal(last(WIRE_SUBMIT), slow); // not yet
    flights_tick(flights, HEDGE_QUIET_NS + 2);
    const struct sent *hedge = last(WIRE_SUBMIT);
    assert_int_equal(hedge->link, 2);
    assert_int_equal(hedge->id_count, 5);
    give(slow, 5, answer + 2, 1); // it was not dead, but
    give(hedge, 5, answer + 2, 2);
    assert_int_equal(last(WIRE_CANCEL)->link, 1);
    give(slow, 6, answer + 3, 1); // nobody listens to it any more
    give(hedge, 7, answer + 4, 1);
    finish(hedge, WIRE_FINISH_LENGTH, ERR_OK, 5);
    assert_ended(ERR_OK, 5);
    assert_memory_equal(seen.ids, answer, 5 * sizeof *answer);
    assert_int_equal(flights_stats(flights)->hedged, 1);
    assert_int_equal(flights_stats(flights)->hedges_won, 1);
    assert_int_equal(flights_stats(flights)->retried, 0);
}

static void a_hedge_that_is_not_needed_is_recalled_at_the_end(void **state)
{
    (void)state;
    given_node(1, "a", 4);
    given_credit_for_hedges();
    start();
    const struct sent *lead = last(WIRE_SUBMIT);
    given_node(2, "b", 4);
    flights_tick(flights, CLOCK_SECOND);
    const struct sent *hedge = last(WIRE_SUBMIT);
    assert_int_equal(hedge->link, 2);
    give(lead, 3, answer, 5);
    finish(lead, WIRE_FINISH_LENGTH, ERR_OK, 5);
    assert_int_equal(last(WIRE_CANCEL)->link, 2);
    assert_ended(ERR_OK, 5);
}

static void a_hedge_takes_over_when_the_lead_is_lost(void **state)
{
    (void)state;
    given_node(1, "a", 4);
    given_credit_for_hedges();
    start();
    given_node(2, "b", 4);
    flights_tick(flights, CLOCK_SECOND);
    const struct sent *hedge = last(WIRE_SUBMIT);
    lose(1, CLOCK_SECOND);
    assert_ptr_equal(last(WIRE_SUBMIT), hedge); // nothing new was needed
    give(hedge, 3, answer, 1);
    finish(hedge, WIRE_FINISH_STOP, ERR_OK, 1);
    assert_ended(ERR_OK, 1);
}

static void hedges_are_a_twentieth_of_all_tokens_at_most(void **state)
{
    (void)state;
    given_node(1, "a", 4);
    given_node(2, "b", 4);
    uint64_t flight = start();
    flights_tick(flights, 10 * CLOCK_SECOND);
    assert_int_equal(sent_count, 1); // three tokens asked for, none delivered: nothing to spend
    flight_cancel(flights, flight, 1);
}

static void who_waits_in_the_queue_of_a_node_that_works_is_not_hedged(void **state)
{
    (void)state;
    given_node(1, "a", 4);
    given_credit_for_hedges();
    uint64_t flight = start();
    given_node(2, "b", 4);
    size_t before = sent_count;
    fleet_heartbeat(fleet, 1, &(struct wire_heartbeat){.step_age_ms = 30}, CLOCK_SECOND);
    flights_tick(flights, CLOCK_SECOND + 1);
    assert_int_equal(sent_count, before);
    fleet_heartbeat(fleet, 1, &(struct wire_heartbeat){.step_age_ms = 900}, CLOCK_SECOND);
    flights_tick(flights, CLOCK_SECOND + 1); // that step does not end
    assert_int_equal(last(WIRE_SUBMIT)->link, 2);
    flight_cancel(flights, flight, 1);
}

static void a_node_that_drains_is_left_in_time(void **state)
{
    (void)state;
    uint64_t link;
    given_node(1, "a", 4);
    start();
    const struct sent *first = last(WIRE_SUBMIT);
    give(first, 3, answer, 2);
    given_node(2, "b", 4);
    assert_int_equal(fleet_drain(fleet, "a", true, 1, &link), ERR_OK);
    flights_tick(flights, FLIGHT_STAY_NS);
    assert_ptr_equal(last(WIRE_SUBMIT), first); // it may still end there
    flights_tick(flights, FLIGHT_STAY_NS + 1);
    const struct sent *second = last(WIRE_SUBMIT);
    assert_int_equal(second->link, 2);
    give(first, 5, answer + 2, 1); // the old node goes on until the new one delivers
    give(second, 5, answer + 2, 2);
    assert_int_equal(last(WIRE_CANCEL)->link, 1);
    finish(second, WIRE_FINISH_STOP, ERR_OK, 4);
    assert_ended(ERR_OK, 4);
    assert_memory_equal(seen.ids, answer, 4 * sizeof *answer);
    assert_int_equal(flights_stats(flights)->moved, 1);
}

static void what_would_come_too_late_is_refused_at_once(void **state)
{
    (void)state;
    given_node(1, "a", 4);
    fleet_load(fleet, 1, &(struct wire_load){.prefill_rate = 100, .waiting_tokens = 1000}, 0);
    struct flight_order order = given_order();
    uint64_t flight;
    order.deadline_ns = 6 * CLOCK_SECOND;
    assert_int_equal(flight_start(flights, &order, &events, &seen, CLOCK_SECOND, &flight),
                     ERR_BUSY);
    assert_in_range(flights_refusal_ms(flights), 5000, 5100);
    assert_int_equal(sent_count, 0);
    order.deadline_ns = 12 * CLOCK_SECOND;
    assert_int_equal(flight_start(flights, &order, &events, &seen, CLOCK_SECOND, &flight), ERR_OK);
    flight_cancel(flights, flight, 1);
}

static void an_answer_outlives_more_nodes_than_attempts_may_fail_in_a_row(void **state)
{
    (void)state;
    struct flight_order order = given_order();
    uint64_t flight;
    order.max_tokens = 20;
    given_node(1, "a", 4);
    assert_int_equal(flight_start(flights, &order, &events, &seen, 0, &flight), ERR_OK);
    for (uint64_t link = 1; link <= 3 * FLIGHT_ATTEMPTS_MAX; link++) {
        int32_t id = (int32_t)link;
        give(last(WIRE_SUBMIT), 2 + (uint32_t)link, &id, 1);
        given_node(link + 1, link % 2 ? "b" : "a", 4);
        lose(link, link);
        assert_int_equal(last(WIRE_SUBMIT)->link, link + 1);
    }
    finish(last(WIRE_SUBMIT), WIRE_FINISH_STOP, ERR_OK, 3 * FLIGHT_ATTEMPTS_MAX);
    assert_ended(ERR_OK, 3 * FLIGHT_ATTEMPTS_MAX);
}

static void a_flight_waits_for_a_node_that_comes_back(void **state)
{
    (void)state;
    given_node(1, "a", 4);
    start();
    give(last(WIRE_SUBMIT), 3, answer, 1);
    lose(1, 1000);
    flights_tick(flights, FLIGHT_WAIT_NS / 2);
    assert_int_equal(seen.ends, 0);
    given_node(2, "a", 4);
    flights_tick(flights, FLIGHT_WAIT_NS);
    assert_int_equal(last(WIRE_SUBMIT)->link, 2);
    assert_int_equal(last(WIRE_SUBMIT)->id_count, 4);
    lose(2, FLIGHT_WAIT_NS);
    flights_tick(flights, 2 * FLIGHT_WAIT_NS - 1);
    assert_int_equal(seen.ends, 0);
    flights_tick(flights, 2 * FLIGHT_WAIT_NS);
    assert_ended(ERR_UNAVAILABLE, 1);
    assert_non_null(strstr(seen.note, "lost"));
}

static void an_answer_that_lacks_only_its_end_needs_no_node(void **state)
{
    (void)state;
    static const int32_t stopped[] = {10, 99};
    given_node(1, "a", 4);
    start();
    give(last(WIRE_SUBMIT), 3, stopped, 2);
    lose(1, 1);
    assert_ended(ERR_OK, 2);
    assert_int_equal(seen.end.finish, WIRE_FINISH_STOP);
    given_node(2, "b", 4);
    seen = (struct seen){0};
    start();
    give(last(WIRE_SUBMIT), 3, answer, 5);
    lose(2, 1);
    assert_ended(ERR_OK, 5);
    assert_int_equal(seen.end.finish, WIRE_FINISH_LENGTH);
}

static void nothing_follows_a_cancel(void **state)
{
    (void)state;
    given_node(1, "a", 4);
    uint64_t flight = start();
    const struct sent *to = last(WIRE_SUBMIT);
    give(to, 3, answer, 1);
    flight_cancel(flights, flight, 1);
    assert_true(last(WIRE_CANCEL)->key.request == flight && last(WIRE_CANCEL)->link == 1);
    flight_cancel(flights, flight, 1);
    assert_int_equal(sent_count, 2);
    give(to, 4, answer + 1, 1);
    finish(to, WIRE_FINISH_CANCELED, ERR_OK, 1);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.ends, 0);
}

static void a_cancel_may_come_from_inside_an_event(void **state)
{
    (void)state;
    given_node(1, "a", 4);
    seen.cancel_at = start();
    give(last(WIRE_SUBMIT), 3, answer, 2);
    assert_int_equal(last(WIRE_CANCEL)->link, 1);
    assert_int_equal(seen.ends, 0);
}

static void busy_is_routed_once_more(void **state)
{
    (void)state;
    given_node(1, "a", 4);
    given_node(2, "b", 4);
    given_node(3, "c", 4);
    start();
    const struct sent *first = last(WIRE_SUBMIT);
    flights_busy(flights, first->link, &(struct wire_busy){first->key, 300}, 1);
    const struct sent *second = last(WIRE_SUBMIT);
    assert_true(second->link != first->link && second->key.attempt == 1);
    assert_int_equal(seen.ends, 0);
    flights_busy(flights, second->link, &(struct wire_busy){second->key, 200}, 1);
    assert_ended(ERR_BUSY, 0);
    assert_int_equal(seen.end.retry_ms, 300);
    assert_int_equal(sent_count, 2);
}

static void busy_with_no_other_node_is_the_answer(void **state)
{
    (void)state;
    given_node(1, "a", 4);
    start();
    flights_busy(flights, 1, &(struct wire_busy){last(WIRE_SUBMIT)->key, 300}, 1);
    assert_ended(ERR_BUSY, 0);
    assert_int_equal(seen.end.retry_ms, 300);
}

static void errors_of_a_node_are_retried_where_that_helps(void **state)
{
    (void)state;
    given_node(1, "a", 4);
    given_node(2, "b", 4);
    start();
    const struct sent *first = last(WIRE_SUBMIT);
    finish(first, WIRE_FINISH_NONE, ERR_NO_MEMORY, 0);
    const struct sent *second = last(WIRE_SUBMIT);
    assert_true(second->link != first->link);
    finish(second, WIRE_FINISH_NONE, ERR_NO_MEMORY, 0);
    assert_ended(ERR_NO_MEMORY, 0);
    assert_string_equal(seen.note, "because");
    seen = (struct seen){0};
    start();
    finish(last(WIRE_SUBMIT), WIRE_FINISH_NONE, ERR_TOO_LONG, 0);
    assert_ended(ERR_TOO_LONG, 0);
    // A node that shuts down cancels its work; the flight goes on elsewhere.
    seen = (struct seen){0};
    start();
    first = last(WIRE_SUBMIT);
    finish(first, WIRE_FINISH_CANCELED, ERR_OK, 0);
    second = last(WIRE_SUBMIT);
    assert_true(second->link != first->link);
    give(second, 3, answer, 1);
    finish(second, WIRE_FINISH_STOP, ERR_OK, 1);
    assert_ended(ERR_OK, 1);
}

static void equal_duplicates_are_dropped(void **state)
{
    (void)state;
    given_node(1, "a", 4);
    start();
    const struct sent *to = last(WIRE_SUBMIT);
    give(to, 3, answer, 2);
    give(to, 3, answer, 2);
    give(to, 4, answer + 1, 3); // one known, two new
    give(to, 7, answer + 4, 2); // one beyond max_tokens
    assert_int_equal(seen.count, 5);
    assert_memory_equal(seen.ids, answer, 5 * sizeof *answer);
    assert_int_equal(flights_stats(flights)->duplicates, 3);
    finish(to, WIRE_FINISH_LENGTH, ERR_OK, 5);
    assert_ended(ERR_OK, 5);
    assert_int_equal(quarantined, 0);
}

static void check_contradiction(uint32_t position, const int32_t *ids, size_t count)
{
    seen = (struct seen){0};
    quarantined = 0;
    start();
    const struct sent *first = last(WIRE_SUBMIT);
    give(first, 3, answer, 2);
    if (ids)
        give(first, position, ids, count);
    else
        finish(first, WIRE_FINISH_STOP, ERR_OK, 4);
    assert_int_equal(quarantined, first->link);
    assert_int_equal(sent[sent_count - 2].type, WIRE_CANCEL);
    const struct sent *second = last(WIRE_SUBMIT);
    assert_true(second->link != first->link);
    assert_int_equal(second->id_count, 5);
    give(second, 5, answer + 2, 1);
    finish(second, WIRE_FINISH_STOP, ERR_OK, 3);
    assert_ended(ERR_OK, 3);
}

static void a_contradiction_quarantines_and_moves(void **state)
{
    (void)state;
    static const int32_t other[] = {10, 12};
    given_node(1, "a", 4);
    given_node(2, "b", 4);
    check_contradiction(3, other, 2);      // a known position, another id
    check_contradiction(6, answer + 3, 1); // a gap
    check_contradiction(0, NULL, 0);       // an end that counts ids that never came
    assert_int_equal(flights_stats(flights)->contradictions, 3);
}

static void a_link_that_takes_nothing_is_passed_over(void **state)
{
    (void)state;
    given_node(1, "a", 4);
    given_node(2, "b", 4);
    refusing_link = 1;
    for (int i = 0; i < 3; i++) {
        seen = (struct seen){0};
        start();
        assert_int_equal(last(WIRE_SUBMIT)->link, 2);
        finish(last(WIRE_SUBMIT), WIRE_FINISH_STOP, ERR_OK, 0);
    }
    lose(2, 1);
    struct flight_order order = given_order();
    uint64_t flight;
    assert_int_equal(flight_start(flights, &order, &events, &seen, 0, &flight), ERR_BUSY);
}

static void deadlines_end_what_is_late(void **state)
{
    (void)state;
    given_node(1, "a", 4);
    struct flight_order order = given_order();
    uint64_t flight;
    order.deadline_ns = 5 * CLOCK_MS + 1;
    assert_int_equal(flight_start(flights, &order, &events, &seen, CLOCK_SECOND, &flight),
                     ERR_TIMEOUT);
    assert_int_equal(flight_start(flights, &order, &events, &seen, CLOCK_MS, &flight), ERR_OK);
    assert_int_equal(last(WIRE_SUBMIT)->submit.deadline_ms, 5);
    give(last(WIRE_SUBMIT), 3, answer, 1);
    flights_tick(flights, 5 * CLOCK_MS);
    assert_int_equal(seen.ends, 0);
    flights_tick(flights, 6 * CLOCK_MS);
    assert_ended(ERR_TIMEOUT, 1);
    assert_int_equal(last(WIRE_CANCEL)->link, 1);
}

static void what_cannot_start_says_why(void **state)
{
    (void)state;
    struct flight_order order = given_order();
    uint64_t flight, held[3];
    assert_int_equal(flight_start(flights, &order, &events, &seen, 0, &flight), ERR_UNAVAILABLE);
    given_node(1, "a", 2);
    order.id_count = 0;
    assert_int_equal(flight_start(flights, &order, &events, &seen, 0, &flight), ERR_INVALID);
    order = given_order();
    order.max_tokens = WIRE_IDS_MAX;
    assert_int_equal(flight_start(flights, &order, &events, &seen, 0, &flight), ERR_TOO_LONG);
    order = given_order();
    held[0] = start();
    held[1] = start();
    assert_int_equal(flight_start(flights, &order, &events, &seen, 0, &flight), ERR_BUSY);
    given_node(2, "b", 2);
    held[2] = start();
    assert_int_equal(flight_start(flights, &order, &events, &seen, 0, &flight),
                     ERR_BUSY); // our table
    for (size_t i = 0; i < 3; i++)
        flight_cancel(flights, held[i], 1);
    assert_int_equal(seen.ends, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_request_streams_and_ends_once),
        TEST(a_lost_node_is_replaced_by_its_equal),
        TEST(a_quiet_node_gets_another_beside_it_and_the_first_to_deliver_wins),
        TEST(a_hedge_that_is_not_needed_is_recalled_at_the_end),
        TEST(a_hedge_takes_over_when_the_lead_is_lost),
        TEST(hedges_are_a_twentieth_of_all_tokens_at_most),
        TEST(who_waits_in_the_queue_of_a_node_that_works_is_not_hedged),
        TEST(a_node_that_drains_is_left_in_time),
        TEST(what_would_come_too_late_is_refused_at_once),
        TEST(an_answer_outlives_more_nodes_than_attempts_may_fail_in_a_row),
        TEST(a_flight_waits_for_a_node_that_comes_back),
        TEST(an_answer_that_lacks_only_its_end_needs_no_node),
        TEST(nothing_follows_a_cancel),
        TEST(a_cancel_may_come_from_inside_an_event),
        TEST(busy_is_routed_once_more),
        TEST(busy_with_no_other_node_is_the_answer),
        TEST(errors_of_a_node_are_retried_where_that_helps),
        TEST(equal_duplicates_are_dropped),
        TEST(a_contradiction_quarantines_and_moves),
        TEST(a_link_that_takes_nothing_is_passed_over),
        TEST(deadlines_end_what_is_late),
        TEST(what_cannot_start_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

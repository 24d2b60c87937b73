#include "scheduler/core/flight.h"
#include "tests/test.h"
#include "tests/unit/scheduler/core/sky.h"

#include "base/clock.h"

#include <string.h>

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
    give(&wrong, 3, sky_answer, 2);
    wrong.key = to->key;
    wrong.key.choice = 0;
    give(&wrong, 3, sky_answer, 2);
    assert_int_equal(seen.count, 0);
    give(to, 3, sky_answer, 2);
    assert_int_equal(fleet_find_node(fleet, 5)->in_air_tokens, 0);
    assert_int_equal(fleet_find_node(fleet, 5)->in_air, 1);
    give(to, 5, sky_answer + 2, 1);
    finish(to, WIRE_FINISH_STOP, ERR_OK, 3);
    finish(to, WIRE_FINISH_STOP, ERR_OK, 3);
    give(to, 6, sky_answer, 1);
    assert_ended(ERR_OK, 3);
    assert_int_equal(seen.end.finish, WIRE_FINISH_STOP);
    assert_int_equal(seen.end.cached_tokens, 2);
    assert_int_equal(seen.end.attempts, 1);
    assert_memory_equal(seen.ids, sky_answer, 3 * sizeof *sky_answer);
}

static void a_node_that_knows_a_newer_gate_is_asked_again_when_we_do(void **state)
{
    (void)state;
    given_node(1, "a", 4);
    flights_set_gate_epoch(flights, 5);
    start();
    const struct sent *first = last(WIRE_SUBMIT);
    assert_int_equal(first->submit.gate_epoch, 5);
    size_t before = sent_count;
    finish(first, WIRE_FINISH_NONE, ERR_STALE, 0);
    flights_tick(flights, CLOCK_SECOND);
    assert_int_equal(sent_count, before); // it would refuse it again
    flights_set_gate_epoch(flights, 6);
    flights_tick(flights, CLOCK_SECOND + 1);
    const struct sent *second = last(WIRE_SUBMIT);
    assert_int_equal(second->link, 1);
    assert_int_equal(second->submit.gate_epoch, 6);
    give(second, 3, sky_answer, 1);
    finish(second, WIRE_FINISH_STOP, ERR_OK, 1);
    assert_ended(ERR_OK, 1);
}

static void a_gate_that_stays_behind_ends_what_waits(void **state)
{
    (void)state;
    given_node(1, "a", 4);
    flights_set_gate_epoch(flights, 5);
    start();
    finish(last(WIRE_SUBMIT), WIRE_FINISH_NONE, ERR_STALE, 0);
    flights_tick(flights, FLIGHT_WAIT_NS - 1);
    assert_int_equal(seen.ends, 0);
    flights_tick(flights, FLIGHT_WAIT_NS + CLOCK_SECOND);
    assert_ended(ERR_STALE, 0);
}

static void a_lost_node_is_replaced_by_its_equal(void **state)
{
    (void)state;
    given_node(1, "a", 4);
    start();
    const struct sent *first = last(WIRE_SUBMIT);
    given_node(2, "b", 4);
    give(first, 3, sky_answer, 2);
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
    give(first, 5, sky_answer, 1); // the old attempt is nobody's
    give(second, 5, sky_answer + 2, 3);
    finish(second, WIRE_FINISH_LENGTH, ERR_OK, 5);
    assert_ended(ERR_OK, 5);
    assert_memory_equal(seen.ids, sky_answer, 5 * sizeof *sky_answer);
    assert_int_equal(seen.end.attempts, 2);
    assert_int_equal(seen.end.cached_tokens, 1); // what the first attempt found
    assert_int_equal(flights_stats(flights)->lost_nodes, 1);
}

static void what_would_come_too_late_is_refused_at_once(void **state)
{
    (void)state;
    given_node(1, "a", 4);
    fleet_load(fleet, 1, &(struct wire_load){.prefill_rate = 100, .waiting_tokens = 1000}, 0);
    struct flight_order order = given_order();
    uint64_t flight;
    order.deadline_ns = 6 * CLOCK_SECOND;
    assert_int_equal(flight_start(flights, &order, &sky_events, &seen, CLOCK_SECOND, &flight),
                     ERR_BUSY);
    assert_in_range(flights_refusal_ms(flights), 5000, 5100);
    assert_int_equal(sent_count, 0);
    order.deadline_ns = 12 * CLOCK_SECOND;
    assert_int_equal(flight_start(flights, &order, &sky_events, &seen, CLOCK_SECOND, &flight),
                     ERR_OK);
    flight_cancel(flights, flight, 1);
}

static void an_answer_outlives_more_nodes_than_attempts_may_fail_in_a_row(void **state)
{
    (void)state;
    struct flight_order order = given_order();
    uint64_t flight;
    order.max_tokens = 20;
    given_node(1, "a", 4);
    assert_int_equal(flight_start(flights, &order, &sky_events, &seen, 0, &flight), ERR_OK);
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
    give(last(WIRE_SUBMIT), 3, sky_answer, 1);
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
    give(last(WIRE_SUBMIT), 3, sky_answer, 5);
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
    give(to, 3, sky_answer, 1);
    flight_cancel(flights, flight, 1);
    assert_true(last(WIRE_CANCEL)->key.request == flight && last(WIRE_CANCEL)->link == 1);
    flight_cancel(flights, flight, 1);
    assert_int_equal(sent_count, 2);
    give(to, 4, sky_answer + 1, 1);
    finish(to, WIRE_FINISH_CANCELED, ERR_OK, 1);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.ends, 0);
}

static void a_cancel_may_come_from_inside_an_event(void **state)
{
    (void)state;
    given_node(1, "a", 4);
    seen.cancel_at = start();
    give(last(WIRE_SUBMIT), 3, sky_answer, 2);
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
    give(second, 3, sky_answer, 1);
    finish(second, WIRE_FINISH_STOP, ERR_OK, 1);
    assert_ended(ERR_OK, 1);
}

static void equal_duplicates_are_dropped(void **state)
{
    (void)state;
    given_node(1, "a", 4);
    start();
    const struct sent *to = last(WIRE_SUBMIT);
    give(to, 3, sky_answer, 2);
    give(to, 3, sky_answer, 2);
    give(to, 4, sky_answer + 1, 3); // one known, two new
    give(to, 7, sky_answer + 4, 2); // one beyond max_tokens
    assert_int_equal(seen.count, 5);
    assert_memory_equal(seen.ids, sky_answer, 5 * sizeof *sky_answer);
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
    give(first, 3, sky_answer, 2);
    if (ids)
        give(first, position, ids, count);
    else
        finish(first, WIRE_FINISH_STOP, ERR_OK, 4);
    assert_int_equal(quarantined, first->link);
    assert_int_equal(sent[sent_count - 2].type, WIRE_CANCEL);
    const struct sent *second = last(WIRE_SUBMIT);
    assert_true(second->link != first->link);
    assert_int_equal(second->id_count, 5);
    give(second, 5, sky_answer + 2, 1);
    finish(second, WIRE_FINISH_STOP, ERR_OK, 3);
    assert_ended(ERR_OK, 3);
}

static void a_contradiction_quarantines_and_moves(void **state)
{
    (void)state;
    static const int32_t other[] = {10, 12};
    given_node(1, "a", 4);
    given_node(2, "b", 4);
    check_contradiction(3, other, 2);          // a known position, another id
    check_contradiction(6, sky_answer + 3, 1); // a gap
    check_contradiction(0, NULL, 0);           // an end that counts ids that never came
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
    assert_int_equal(flight_start(flights, &order, &sky_events, &seen, 0, &flight), ERR_BUSY);
}

static void what_cannot_start_says_why(void **state)
{
    (void)state;
    struct flight_order order = given_order();
    uint64_t flight, held[3];
    assert_int_equal(flight_start(flights, &order, &sky_events, &seen, 0, &flight),
                     ERR_UNAVAILABLE);
    given_node(1, "a", 2);
    order.id_count = 0;
    assert_int_equal(flight_start(flights, &order, &sky_events, &seen, 0, &flight), ERR_INVALID);
    order = given_order();
    order.max_tokens = WIRE_IDS_MAX;
    assert_int_equal(flight_start(flights, &order, &sky_events, &seen, 0, &flight), ERR_TOO_LONG);
    order = given_order();
    held[0] = start();
    held[1] = start();
    assert_int_equal(flight_start(flights, &order, &sky_events, &seen, 0, &flight), ERR_BUSY);
    given_node(2, "b", 2);
    held[2] = start();
    assert_int_equal(flight_start(flights, &order, &sky_events, &seen, 0, &flight),
                     ERR_BUSY); // our table
    for (size_t i = 0; i < 3; i++)
        flight_cancel(flights, held[i], 1);
    assert_int_equal(seen.ends, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SKY_TEST(a_request_streams_and_ends_once),
        SKY_TEST(a_node_that_knows_a_newer_gate_is_asked_again_when_we_do),
        SKY_TEST(a_gate_that_stays_behind_ends_what_waits),
        SKY_TEST(a_lost_node_is_replaced_by_its_equal),
        SKY_TEST(what_would_come_too_late_is_refused_at_once),
        SKY_TEST(an_answer_outlives_more_nodes_than_attempts_may_fail_in_a_row),
        SKY_TEST(a_flight_waits_for_a_node_that_comes_back),
        SKY_TEST(an_answer_that_lacks_only_its_end_needs_no_node),
        SKY_TEST(nothing_follows_a_cancel),
        SKY_TEST(a_cancel_may_come_from_inside_an_event),
        SKY_TEST(busy_is_routed_once_more),
        SKY_TEST(busy_with_no_other_node_is_the_answer),
        SKY_TEST(errors_of_a_node_are_retried_where_that_helps),
        SKY_TEST(equal_duplicates_are_dropped),
        SKY_TEST(a_contradiction_quarantines_and_moves),
        SKY_TEST(a_link_that_takes_nothing_is_passed_over),
        SKY_TEST(what_cannot_start_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What time does to a flight: hedges, moves, deadlines. */
#include "scheduler/core/flight.h"
#include "scheduler/core/hedge.h"
#include "tests/test.h"
#include "tests/unit/scheduler/core/sky.h"

#include "base/clock.h"

/* Enough has been delivered that a hedge of a few tokens is within the twentieth. */
static void given_credit_for_hedges(void)
{
    struct flight_order order = given_order();
    static int32_t many[SKY_IDS_MAX];
    uint64_t flight;
    order.max_tokens = SKY_IDS_MAX;
    struct seen nobody = {0};
    assert_int_equal(flight_start(flights, &order, &sky_events, &nobody, 0, &flight), ERR_OK);
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
    give(slow, 3, sky_answer, 2);
    given_node(2, "b", 4);
    flights_tick(flights, HEDGE_QUIET_NS / 2);
    assert_ptr_equal(last(WIRE_SUBMIT), slow); // not yet
    flights_tick(flights, HEDGE_QUIET_NS + 2);
    const struct sent *hedge = last(WIRE_SUBMIT);
    assert_int_equal(hedge->link, 2);
    assert_int_equal(hedge->id_count, 5);
    give(slow, 5, sky_answer + 2, 1); // it was not dead, but
    give(hedge, 5, sky_answer + 2, 2);
    assert_int_equal(last(WIRE_CANCEL)->link, 1);
    give(slow, 6, sky_answer + 3, 1); // nobody listens to it any more
    give(hedge, 7, sky_answer + 4, 1);
    finish(hedge, WIRE_FINISH_LENGTH, ERR_OK, 5);
    assert_ended(ERR_OK, 5);
    assert_memory_equal(seen.ids, sky_answer, 5 * sizeof *sky_answer);
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
    give(lead, 3, sky_answer, 5);
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
    give(hedge, 3, sky_answer, 1);
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
    give(first, 3, sky_answer, 2);
    given_node(2, "b", 4);
    assert_int_equal(fleet_drain(fleet, "a", true, 1, &link), ERR_OK);
    flights_tick(flights, FLIGHT_STAY_NS);
    assert_ptr_equal(last(WIRE_SUBMIT), first); // it may still end there
    flights_tick(flights, FLIGHT_STAY_NS + 1);
    const struct sent *second = last(WIRE_SUBMIT);
    assert_int_equal(second->link, 2);
    give(first, 5, sky_answer + 2, 1); // the old node goes on until the new one delivers
    give(second, 5, sky_answer + 2, 2);
    assert_int_equal(last(WIRE_CANCEL)->link, 1);
    finish(second, WIRE_FINISH_STOP, ERR_OK, 4);
    assert_ended(ERR_OK, 4);
    assert_memory_equal(seen.ids, sky_answer, 4 * sizeof *sky_answer);
    assert_int_equal(flights_stats(flights)->moved, 1);
}

static void deadlines_end_what_is_late(void **state)
{
    (void)state;
    given_node(1, "a", 4);
    struct flight_order order = given_order();
    uint64_t flight;
    order.deadline_ns = 5 * CLOCK_MS + 1;
    assert_int_equal(flight_start(flights, &order, &sky_events, &seen, CLOCK_SECOND, &flight),
                     ERR_TIMEOUT);
    assert_int_equal(flight_start(flights, &order, &sky_events, &seen, CLOCK_MS, &flight), ERR_OK);
    assert_int_equal(last(WIRE_SUBMIT)->submit.deadline_ms, 5);
    give(last(WIRE_SUBMIT), 3, sky_answer, 1);
    flights_tick(flights, 5 * CLOCK_MS);
    assert_int_equal(seen.ends, 0);
    flights_tick(flights, 6 * CLOCK_MS);
    assert_ended(ERR_TIMEOUT, 1);
    assert_int_equal(last(WIRE_CANCEL)->link, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SKY_TEST(a_quiet_node_gets_another_beside_it_and_the_first_to_deliver_wins),
        SKY_TEST(a_hedge_that_is_not_needed_is_recalled_at_the_end),
        SKY_TEST(a_hedge_takes_over_when_the_lead_is_lost),
        SKY_TEST(hedges_are_a_twentieth_of_all_tokens_at_most),
        SKY_TEST(who_waits_in_the_queue_of_a_node_that_works_is_not_hedged),
        SKY_TEST(a_node_that_drains_is_left_in_time),
        SKY_TEST(deadlines_end_what_is_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

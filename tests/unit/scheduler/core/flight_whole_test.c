/* Flights that are answered whole: scores and lists. */
#include "scheduler/core/flight.h"
#include "tests/test.h"
#include "tests/unit/scheduler/core/sky.h"

#include <string.h>

static uint64_t start_score(void)
{
    struct flight_order order = given_order();
    uint64_t flight = 0;
    order.kind = WIRE_SCORE;
    order.max_tokens = 0;
    order.segment = 2;
    order.salt = 0;
    assert_int_equal(flight_start(flights, &order, &sky_events, &seen, 0, &flight), ERR_OK);
    return flight;
}

static void give_vector(const struct sent *to, float value, size_t size)
{
    const float vector[2] = {value, value};
    struct wire_result result = {
        .key = to->key, .position = 3, .vector = vector, .vector_size = size};
    flights_result(flights, to->link, &result, 1);
}

static void a_whole_answer_is_delivered_once_and_outlives_its_node(void **state)
{
    (void)state;
    given_node(1, "a", 4);
    start_score();
    const struct sent *first = last(WIRE_SUBMIT);
    assert_int_equal(first->submit.kind, WIRE_SCORE);
    assert_int_equal(first->submit.segment, 2);
    given_node(2, "b", 4);
    lose(1, 1);
    assert_int_equal(last(WIRE_SUBMIT)->link, 2);
    give_vector(first, 1, 1); // the old attempt is nobody's
    assert_int_equal(seen.wholes, 0);
    give_vector(last(WIRE_SUBMIT), 2, 1);
    assert_int_equal(seen.wholes, 1);
    assert_true(seen.value == 2);
    lose(2, 2); // only its DONE is missing
    assert_ended(ERR_OK, 0);
    assert_int_equal(seen.end.finish, WIRE_FINISH_STOP);
    assert_int_equal(seen.wholes, 1);
}

static void an_end_without_its_answer_is_a_contradiction(void **state)
{
    (void)state;
    given_node(1, "a", 4);
    start_score();
    given_node(2, "b", 4);
    finish(last(WIRE_SUBMIT), WIRE_FINISH_STOP, ERR_OK, 0);
    assert_int_equal(quarantined, 1);
    assert_int_equal(last(WIRE_SUBMIT)->link, 2);
    give_vector(last(WIRE_SUBMIT), 1, 2); // a score is one value
    assert_int_equal(quarantined, 2);
    assert_int_equal(seen.wholes, 0);
    flights_tick(flights, 2 * FLIGHT_WAIT_NS);
    assert_ended(ERR_UNAVAILABLE, 0);
}

static void a_whole_answer_may_be_canceled_from_inside_its_event(void **state)
{
    (void)state;
    given_node(1, "a", 4);
    seen.cancel_at = start_score();
    give_vector(last(WIRE_SUBMIT), 1, 1);
    assert_int_equal(seen.wholes, 1);
    assert_int_equal(seen.ends, 0);
}

static void a_filter_that_a_node_lacks_is_told(void **state)
{
    (void)state;
    given_node(1, "a", 4);
    given_node(2, "b", 4);
    start_score();
    struct wire_done done = {
        .key = last(WIRE_SUBMIT)->key, .err = ERR_NOT_FOUND, .note = {"filter", 6}};
    flights_done(flights, last(WIRE_SUBMIT)->link, &done, 1);
    assert_ended(ERR_NOT_FOUND, 0);
    assert_string_equal(seen.note, "filter");
}

/* The excluded rows are its candidates, too. */
static uint64_t start_list(const int32_t *excluded, const uint8_t *bits)
{
    uint64_t flight;
    struct flight_order order = given_order();
    order.kind = WIRE_RECOMMEND;
    order.max_tokens = 0;
    order.salt = 0;
    order.top_count = 2;
    order.excluded = excluded;
    order.excluded_count = 2;
    order.candidates = excluded;
    order.candidate_count = 2;
    order.filter.bytes[0] = 7;
    order.filter_bits = bits;
    order.filter_size = 1;
    order.row_begin = 3;
    order.row_end = 9;
    order.explain = true;
    assert_int_equal(flight_start(flights, &order, &sky_events, &seen, 0, &flight), ERR_OK);
    return flight;
}

static void what_a_list_needs_is_said_to_every_node_that_is_asked(void **state)
{
    (void)state;
    const float vector[1] = {5}, weights[3] = {1, 2, 3};
    const int32_t rows[3] = {4, 5, 6};
    given_node(1, "a", 4);
    {
        // Gone when the second node is asked.
        int32_t excluded[2] = {4, 8};
        uint8_t bits[1] = {0x7f};
        start_list(excluded, bits);
        memset(excluded, 0, sizeof excluded);
        bits[0] = 0;
    }
    given_node(2, "b", 4);
    lose(1, 1);
    const struct wire_submit *submit = &last(WIRE_SUBMIT)->submit;
    assert_int_equal(submit->kind, WIRE_RECOMMEND);
    assert_int_equal(submit->top_count, 2);
    assert_int_equal(submit->excluded_count, 2);
    assert_int_equal(submit->excluded[1], 8);
    assert_int_equal(submit->candidate_count, 2);
    assert_int_equal(submit->candidates[0], 4);
    assert_int_equal(submit->filter.bytes[0], 7);
    assert_int_equal(submit->filter_bits[0], 0x7f);
    assert_int_equal(submit->row_begin, 3);
    assert_int_equal(submit->row_end, 9);
    assert_true(submit->explain);
    struct wire_result result = {.key = last(WIRE_SUBMIT)->key,
                                 .position = 3,
                                 .ids = rows,
                                 .id_count = 2,
                                 .vector = vector,
                                 .vector_size = 1,
                                 .weights = weights,
                                 .weight_count = 3};
    flights_result(flights, 2, &result, 1);
    assert_int_equal(seen.wholes, 1);
    finish(last(WIRE_SUBMIT), WIRE_FINISH_STOP, ERR_OK, 0);
    assert_ended(ERR_OK, 0);
    assert_int_equal(quarantined, 0);
}

static void a_list_that_is_longer_than_was_asked_is_a_contradiction(void **state)
{
    (void)state;
    const int32_t excluded[2] = {1, 2}, rows[3] = {4, 5, 6};
    const uint8_t bits[1] = {1};
    const float weights[3] = {1, 2, 3};
    given_node(1, "a", 4);
    uint64_t flight = start_list(excluded, bits);
    struct wire_result result = {.key = last(WIRE_SUBMIT)->key,
                                 .position = 3,
                                 .ids = rows,
                                 .id_count = 3,
                                 .weights = weights,
                                 .weight_count = 3};
    flights_result(flights, 1, &result, 1);
    assert_int_equal(quarantined, 1);
    assert_int_equal(seen.wholes, 0);
    flight_cancel(flights, flight, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SKY_TEST(a_whole_answer_is_delivered_once_and_outlives_its_node),
        SKY_TEST(an_end_without_its_answer_is_a_contradiction),
        SKY_TEST(a_whole_answer_may_be_canceled_from_inside_its_event),
        SKY_TEST(a_filter_that_a_node_lacks_is_told),
        SKY_TEST(what_a_list_needs_is_said_to_every_node_that_is_asked),
        SKY_TEST(a_list_that_is_longer_than_was_asked_is_a_contradiction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

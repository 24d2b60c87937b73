#include "scheduler/core/route.h"
#include "tests/test.h"

#include "base/rand.h"

#include <stdlib.h>
#include <string.h>

static struct rand chance;

static size_t choose(enum route_policy policy, const struct route_node *nodes, size_t count,
                     uint32_t tokens)
{
    return route_choose(policy, nodes, count, tokens, 0, &chance);
}

static void a_name_is_a_policy_or_an_error_that_lists_them(void **state)
{
    (void)state;
    enum route_policy policy;
    for (unsigned i = 0; i < ROUTE_POLICIES; i++) {
        assert_int_equal(route_policy_parse(route_policy_name((enum route_policy)i), &policy),
                         ERR_OK);
        assert_int_equal(policy, i);
    }
    assert_int_equal(route_policy_parse("fastest", &policy), ERR_INVALID);
    assert_non_null(strstr(err_text(), "fastest"));
    assert_non_null(strstr(err_text(), "round_robin"));
}

static void the_prediction_is_way_queue_and_what_is_not_cached(void **state)
{
    (void)state;
    struct route_node node = {
        .cached = 300, .queued_tokens = 500, .prefill_rate = 1000, .way_ns = 7};
    assert_int_equal(route_predict_ns(&node, 400), 600000007);
    node.place_ns = 900000000; // a place is later than the queue's end
    assert_int_equal(route_predict_ns(&node, 400), 1000000007);
    node.cached = 500; // the last token is always computed
    assert_int_equal(route_predict_ns(&node, 400), 901000007);
}

static void a_cached_prefix_draws_until_its_queue_costs_more(void **state)
{
    (void)state;
    struct route_node nodes[] = {{.prefill_rate = 1000},
                                 {.prefill_rate = 1000, .cached = 960, .queued_tokens = 800}};
    assert_int_equal(choose(ROUTE_PREDICTED, nodes, 2, 1000), 1);
    nodes[1].queued_tokens = 1100;
    assert_int_equal(choose(ROUTE_PREDICTED, nodes, 2, 1000), 0);
    assert_int_equal(choose(ROUTE_PREFIX, nodes, 2, 1000), 1); // which never looks at the queue
    assert_int_equal(choose(ROUTE_LEAST_LOADED, nodes, 2, 1000), 0);
}

static void where_most_nodes_have_a_queue_a_prefix_stays_where_it_is(void **state)
{
    (void)state;
    struct route_node nodes[] = {{.prefill_rate = 1000, .queued_tokens = 1000},
                                 {.prefill_rate = 1000, .queued_tokens = 1000},
                                 {.prefill_rate = 1000, .queued_tokens = 2100, .cached = 960}};
    assert_int_equal(choose(ROUTE_PREDICTED, nodes, 3, 1000), 2);
    nodes[0].queued_tokens = nodes[1].queued_tokens = 0; // others are idle: it is a hot spot
    assert_int_not_equal(choose(ROUTE_PREDICTED, nodes, 3, 1000), 2);
    nodes[0].place_ns = nodes[1].place_ns = 1000000000; // they wait for places
    assert_int_equal(choose(ROUTE_PREDICTED, nodes, 3, 1000), 2);
    nodes[2].queued_tokens = 20000; // no queue is too long for ever
    assert_int_not_equal(choose(ROUTE_PREDICTED, nodes, 3, 1000), 2);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The choice is the least of predictions that count the own work by the median queue, found here by sorting. */
static void the_usual_queue_is_the_median(void **state)
{
    (void)state;
    for (int round = 0; round < 500; round++) {
        struct route_node nodes[40];
        uint64_t queues[40], best = UINT64_MAX, chosen_cost = 0;
        size_t count = 1 + (size_t)rand_below(&chance, 40);
        for (size_t i = 0; i < count; i++) {
            queues[i] = rand_below(&chance, 5) * 400;
            nodes[i] = (struct route_node){.prefill_rate = 1000,
                                           .queued_tokens = queues[i],
                                           .cached = (uint32_t)rand_below(&chance, 30) * 32};
        }
        qsort(queues, count, sizeof *queues, by_value);
        uint64_t weight = 1 + queues[(count - 1) / 2] / 100;
        size_t chosen = choose(ROUTE_PREDICTED, nodes, count, 1000);
        for (size_t i = 0; i < count; i++) {
            uint64_t cost = nodes[i].queued_tokens + (1000 - nodes[i].cached) * weight;
            if (cost < best) best = cost;
            if (i == chosen) chosen_cost = cost;
        }
        assert_true(chosen_cost <= best + best / 16 + 1);
    }
}

static void equals_are_parted_by_requests_and_then_by_chance(void **state)
{
    (void)state;
    struct route_node nodes[] = {{.prefill_rate = 1000, .requests = 3},
                                 {.prefill_rate = 1000, .requests = 2},
                                 {.prefill_rate = 1000, .requests = 2, .queued_tokens = 5}};
    size_t chosen[3] = {0};
    for (int i = 0; i < 200; i++)
        chosen[choose(ROUTE_PREDICTED, nodes, 3, 1000)]++;
    assert_int_equal(chosen[0], 0);
    assert_true(chosen[1] > 50 && chosen[2] > 50);
}

static void round_robin_takes_turns(void **state)
{
    (void)state;
    struct route_node nodes[3] = {{.prefill_rate = 1, .queued_tokens = 1000}};
    for (uint64_t turn = 0; turn < 9; turn++)
        assert_int_equal(route_choose(ROUTE_ROUND_ROBIN, nodes, 3, 10, turn, &chance), turn % 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_a_policy_or_an_error_that_lists_them),
        cmocka_unit_test(the_prediction_is_way_queue_and_what_is_not_cached),
        cmocka_unit_test(a_cached_prefix_draws_until_its_queue_costs_more),
        cmocka_unit_test(where_most_nodes_have_a_queue_a_prefix_stays_where_it_is),
        cmocka_unit_test(the_usual_queue_is_the_median),
        cmocka_unit_test(equals_are_parted_by_requests_and_then_by_chance),
        cmocka_unit_test(round_robin_takes_turns),
    };
    rand_init(&chance, 3);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

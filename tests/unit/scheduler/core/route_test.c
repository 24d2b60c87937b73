#include "scheduler/core/route.h"
#include "tests/test.h"

#include "base/rand.h"

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
        cmocka_unit_test(equals_are_parted_by_requests_and_then_by_chance),
        cmocka_unit_test(round_robin_takes_turns),
    };
    rand_init(&chance, 3);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

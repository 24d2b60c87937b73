#include "scheduler/core/fleet.h"
#include "tests/test.h"

#include "base/clock.h"

#include <string.h>

static struct digest digest(uint8_t byte)
{
    struct digest digest;
    memset(digest.bytes, byte, sizeof digest.bytes);
    return digest;
}

static struct wire_text text(const char *text)
{
    return (struct wire_text){text, strlen(text)};
}

/* A node that serves `model` in the version `version`. */
static enum err hello(struct fleet *fleet, uint64_t link, const char *name, const char *model,
                      uint8_t version, uint64_t now_ns)
{
    struct wire_model models[] = {{.name = text(model),
                                   .kinds = 1u << WIRE_GENERATE,
                                   .pack = digest((uint8_t)(version + 100)),
                                   .model = digest(version),
                                   .numerics = digest(1),
                                   .context_length = 1000 + (uint32_t)link,
                                   .vocab_size = 500}};
    struct wire_hello hello = {.protocol = WIRE_PROTOCOL,
                               .node = text(name),
                               .models = models,
                               .model_count = 1,
                               .credits = 4,
                               .threads = 2};
    return fleet_hello(fleet, link, &hello, now_ns);
}

static struct fleet_need need(uint8_t version)
{
    return (struct fleet_need){.model = digest(version), .numerics = digest(1), .tokens = 10};
}

static uint64_t pick(struct fleet *fleet, uint8_t version)
{
    struct fleet_need what = need(version);
    uint64_t link = 0;
    if (fleet_pick(fleet, &what, &link) != ERR_OK) fail_msg("%s", err_text());
    return link;
}

static enum err pick_err(struct fleet *fleet, uint8_t version)
{
    struct fleet_need what = need(version);
    return fleet_pick(fleet, &what, &(uint64_t){0});
}

static void a_stranger_is_refused_with_a_reason(void **state)
{
    (void)state;
    struct fleet *fleet = fleet_new(1);
    struct wire_hello bad = {.protocol = 2, .node = text("a")};
    assert_int_equal(fleet_hello(fleet, 1, &bad, 0), ERR_INVALID);
    bad.protocol = WIRE_PROTOCOL;
    assert_int_equal(fleet_hello(fleet, 1, &bad, 0), ERR_INVALID);
    assert_int_equal(hello(fleet, 1, "a\n", "m", 1, 0), ERR_INVALID);
    assert_int_equal(hello(fleet, 1, "a", "m", 1, 0), ERR_OK);
    assert_int_equal(hello(fleet, 2, "a", "m", 1, 0), ERR_CONFLICT);
    assert_int_equal(hello(fleet, 1, "b", "m", 1, 0), ERR_CONFLICT);
    assert_int_equal(fleet_node_count(fleet), 1);
    fleet_down(fleet, 1, 5);
    assert_int_equal(hello(fleet, 2, "a", "m", 1, 6), ERR_OK);
    fleet_free(fleet);
}

static void there_is_an_end_to_nodes_and_models(void **state)
{
    (void)state;
    struct fleet *fleet = fleet_new(1);
    char name[32];
    for (uint64_t i = 0; i < FLEET_NODES_MAX; i++) {
        snprintf(name, sizeof name, "n%d", (int)i);
        assert_int_equal(hello(fleet, i * 4096, name, "m", 1, 0), ERR_OK);
    }
    assert_int_equal(hello(fleet, 7, "more", "m", 1, 0), ERR_NO_MEMORY);
    for (uint64_t i = 0; i < FLEET_NODES_MAX; i++)
        assert_int_equal(fleet_find_node(fleet, i * 4096)->link, i * 4096);
    for (uint64_t i = 0; i < FLEET_NODES_MAX; i += 2)
        fleet_down(fleet, i * 4096, 0);
    assert_null(fleet_find_node(fleet, 0));
    assert_non_null(fleet_find_node(fleet, 4096));
    for (uint64_t i = 1; i < FLEET_MODELS_MAX; i++) {
        snprintf(name, sizeof name, "m%d", (int)i);
        assert_int_equal(hello(fleet, i, name, name, 1, 0), ERR_OK);
    }
    assert_int_equal(hello(fleet, 9999, "more", "one more", 1, 0), ERR_NO_MEMORY);
    fleet_free(fleet);
}

static void the_least_loaded_node_is_chosen(void **state)
{
    (void)state;
    struct fleet *fleet = fleet_new(1);
    hello(fleet, 1, "a", "m", 1, 0);
    hello(fleet, 2, "b", "m", 1, 0);
    fleet_load(fleet, 1, &(struct wire_load){.waiting_tokens = 5000}, 1);
    for (int i = 0; i < 20; i++)
        assert_int_equal(pick(fleet, 1), 2);
    fleet_load(fleet, 1, &(struct wire_load){.running = 0}, 2);
    fleet_load(fleet, 2, &(struct wire_load){.running = 1}, 2);
    for (int i = 0; i < 20; i++)
        assert_int_equal(pick(fleet, 1), 1);
    // What was sent since the latest report counts, until the first id comes back.
    fleet_load(fleet, 2, &(struct wire_load){.running = 0}, 3);
    fleet_charge(fleet, 1, 900);
    assert_int_equal(pick(fleet, 1), 2);
    fleet_first_id(fleet, 1, 900);
    fleet_release(fleet, 1, 900, true);
    fleet_charge(fleet, 2, 900);
    assert_int_equal(pick(fleet, 1), 1);
    fleet_release(fleet, 2, 900, false);
    assert_int_equal(fleet_find_node(fleet, 2)->in_air_tokens, 0);
    fleet_free(fleet);
}

static void near_equals_share_by_chance(void **state)
{
    (void)state;
    struct fleet *fleet = fleet_new(7);
    size_t chosen[4] = {0};
    hello(fleet, 1, "a", "m", 1, 0);
    hello(fleet, 2, "b", "m", 1, 0);
    hello(fleet, 3, "c", "m", 1, 0);
    fleet_load(fleet, 2, &(struct wire_load){.waiting_tokens = 20}, 1);
    for (int i = 0; i < 300; i++)
        chosen[pick(fleet, 1)]++;
    assert_true(chosen[1] > 60 && chosen[2] > 60 && chosen[3] > 60);
    fleet_free(fleet);
}

static void credits_end_in_busy_and_drains_in_unavailable(void **state)
{
    (void)state;
    struct fleet *fleet = fleet_new(1);
    uint64_t link;
    assert_int_equal(pick_err(fleet, 1), ERR_UNAVAILABLE);
    hello(fleet, 1, "a", "m", 1, 0);
    for (int i = 0; i < 4; i++)
        fleet_charge(fleet, pick(fleet, 1), 10);
    assert_int_equal(pick_err(fleet, 1), ERR_BUSY);
    fleet_release(fleet, 1, 10, false);
    assert_int_equal(pick(fleet, 1), 1);

    uint64_t tried[] = {1};
    struct fleet_need what = need(1);
    what.excluded = tried;
    what.excluded_count = 1;
    assert_int_equal(fleet_pick(fleet, &what, &link), ERR_UNAVAILABLE);
    what = need(1);
    what.numerics = digest(9);
    assert_int_equal(fleet_pick(fleet, &what, &link), ERR_UNAVAILABLE);

    assert_int_equal(fleet_drain(fleet, "nobody", true, &link), ERR_NOT_FOUND);
    assert_int_equal(fleet_drain(fleet, "a", true, &link), ERR_OK);
    assert_int_equal(link, 1);
    assert_int_equal(pick_err(fleet, 1), ERR_UNAVAILABLE);
    assert_int_equal(fleet_find_model(fleet, "m", 1)->node_count, 0);
    fleet_free(fleet);
}

static void a_drain_is_told_by_any_scheduler(void **state)
{
    (void)state;
    struct fleet *fleet = fleet_new(1);
    uint64_t link;
    const struct wire_heartbeat on = {.draining = true}, off = {.draining = false};
    hello(fleet, 1, "a", "m", 1, 0);
    assert_int_equal(fleet_drain(fleet, "a", true, &link), ERR_OK);
    fleet_heartbeat(fleet, 1, &off, 1); // sent before the node heard of it
    assert_int_equal(fleet_find_node(fleet, 1)->state, FLEET_DRAINING);
    fleet_heartbeat(fleet, 1, &on, 2);
    fleet_heartbeat(fleet, 1, &off, 3); // another scheduler has ended it
    assert_int_equal(fleet_find_node(fleet, 1)->state, FLEET_READY);
    fleet_heartbeat(fleet, 1, &on, 4); // the node itself wants to go
    assert_int_equal(fleet_find_node(fleet, 1)->state, FLEET_DRAINING);
    fleet_free(fleet);
}

static void a_second_digest_waits_until_it_is_promoted(void **state)
{
    (void)state;
    struct fleet *fleet = fleet_new(1);
    hello(fleet, 1, "a", "m", 1, 0);
    hello(fleet, 2, "b", "m", 2, 0);
    assert_int_equal(fleet_model_count(fleet), 2);
    struct digest first = digest(1), second = digest(2), unknown = digest(3);
    assert_true(digest_equal(&fleet_find_model(fleet, "m", 1)->model, &first));
    assert_int_equal(fleet_find_model(fleet, "m", 1)->node_count, 1);
    assert_null(fleet_find_model(fleet, "mm", 2));
    assert_int_equal(fleet_promote(fleet, "m", &unknown), ERR_NOT_FOUND);
    assert_int_equal(fleet_promote(fleet, "m", &second), ERR_OK);
    assert_true(digest_equal(&fleet_find_model(fleet, "m", 1)->model, &second));
    // What is in the air with the old digests still finds its nodes.
    assert_int_equal(pick(fleet, 1), 1);
    assert_int_equal(fleet_promote(fleet, "m", &first), ERR_OK);
    assert_true(digest_equal(&fleet_find_model(fleet, "m", 1)->model, &first));
    fleet_free(fleet);
}

static void a_set_that_is_gone_is_forgotten_in_time(void **state)
{
    (void)state;
    struct fleet *fleet = fleet_new(1);
    struct digest first = digest(1), second = digest(2);
    hello(fleet, 1, "a", "m", 1, 0);
    hello(fleet, 2, "b", "m", 2, 0);
    fleet_down(fleet, 1, CLOCK_SECOND);
    fleet_heartbeat(fleet, 2, &(struct wire_heartbeat){0}, FLEET_FORGET_NS);
    assert_true(digest_equal(&fleet_find_model(fleet, "m", 1)->model, &first));
    fleet_heartbeat(fleet, 2, &(struct wire_heartbeat){0}, FLEET_FORGET_NS + CLOCK_SECOND);
    assert_true(digest_equal(&fleet_find_model(fleet, "m", 1)->model, &second));
    assert_int_equal(fleet_model_count(fleet), 1);
    fleet_free(fleet);
}

static void a_restart_in_time_changes_nothing(void **state)
{
    (void)state;
    struct fleet *fleet = fleet_new(1);
    hello(fleet, 1, "a", "m", 1, 0);
    fleet_down(fleet, 1, CLOCK_SECOND);
    assert_int_equal(fleet_find_model(fleet, "m", 1)->node_count, 0);
    hello(fleet, 2, "b", "m", 2, 2 * CLOCK_SECOND);
    hello(fleet, 3, "a", "m", 1, 3 * CLOCK_SECOND);
    fleet_heartbeat(fleet, 2, &(struct wire_heartbeat){0}, 100 * CLOCK_SECOND);
    struct digest first = digest(1);
    assert_true(digest_equal(&fleet_find_model(fleet, "m", 1)->model, &first));
    fleet_free(fleet);
}

static void the_context_is_that_of_the_smallest_node(void **state)
{
    (void)state;
    struct fleet *fleet = fleet_new(1);
    hello(fleet, 9, "a", "m", 1, 0);
    assert_int_equal(fleet_find_model(fleet, "m", 1)->context_length, 1009);
    hello(fleet, 2, "b", "m", 1, 0);
    assert_int_equal(fleet_find_model(fleet, "m", 1)->context_length, 1002);
    fleet_down(fleet, 2, 0);
    assert_int_equal(fleet_find_model(fleet, "m", 1)->context_length, 1009);
    fleet_free(fleet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stranger_is_refused_with_a_reason),
        cmocka_unit_test(there_is_an_end_to_nodes_and_models),
        cmocka_unit_test(the_least_loaded_node_is_chosen),
        cmocka_unit_test(near_equals_share_by_chance),
        cmocka_unit_test(credits_end_in_busy_and_drains_in_unavailable),
        cmocka_unit_test(a_drain_is_told_by_any_scheduler),
        cmocka_unit_test(a_second_digest_waits_until_it_is_promoted),
        cmocka_unit_test(a_set_that_is_gone_is_forgotten_in_time),
        cmocka_unit_test(a_restart_in_time_changes_nothing),
        cmocka_unit_test(the_context_is_that_of_the_smallest_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

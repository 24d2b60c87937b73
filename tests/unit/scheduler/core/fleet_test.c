#include "scheduler/core/fleet.h"
#include "tests/test.h"

#include "wire/block.h"

#include "base/clock.h"
#include "base/rand.h"

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

static struct fleet *fleet_of(uint64_t seed, enum route_policy policy)
{
    return fleet_new(&(struct fleet_options){.seed = seed, .policy = policy});
}

static uint64_t replaced;       // by who says hello next
static const char *region = ""; // of who says hello next

/* A node that serves `model` in the version `version`; its instance is its link. */
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
                               .region = text(region),
                               .models = models,
                               .model_count = 1,
                               .credits = 4,
                               .block_tokens = WIRE_BLOCK_TOKENS,
                               .threads = 2,
                               .instance = link,
                               .replaces = replaced};
    replaced = 0;
    return fleet_hello(fleet, link, &hello, now_ns);
}

static enum err hello_again(struct fleet *fleet, uint64_t link, const char *name, uint8_t version,
                            uint64_t replaces)
{
    replaced = replaces;
    return hello(fleet, link, name, "m", version, 0);
}

static struct fleet_need need(uint8_t version)
{
    return (struct fleet_need){.model = digest(version), .numerics = digest(1), .tokens = 10};
}

static uint64_t pick(struct fleet *fleet, uint8_t version)
{
    struct fleet_need what = need(version);
    struct fleet_choice choice = {0};
    if (fleet_pick(fleet, &what, &choice) != ERR_OK) fail_msg("%s", err_text());
    return choice.link;
}

static enum err pick_err(struct fleet *fleet, uint8_t version)
{
    struct fleet_need what = need(version);
    return fleet_pick(fleet, &what, &(struct fleet_choice){0});
}

/* Of any nodes and any regions: whoever is chosen is in one of those, and somebody is where one is. */
static void a_request_stays_within_its_regions(void **state)
{
    (void)state;
    static const char *const names[] = {"aa", "bb", "cc", ""};
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct rand rand;
        uint64_t within[2], there = 0;
        struct fleet *fleet = fleet_of(seed, ROUTE_PREDICTED);
        rand_init(&rand, seed);
        for (uint64_t link = 1; link <= 6; link++) {
            char name[8];
            uint64_t place = rand_below(&rand, 4);
            snprintf(name, sizeof name, "n%d", (int)link);
            region = names[place];
            assert_int_equal(hello(fleet, link, name, "m", 1, 0), ERR_OK);
            there |= UINT64_C(1) << place;
        }
        region = "";
        size_t first = rand_below(&rand, 4), second = rand_below(&rand, 4);
        within[0] = digest_tag(names[first]);
        within[1] = digest_tag(names[second]);
        struct fleet_need what = need(1);
        struct fleet_choice choice = {0};
        what.regions = within;
        what.region_count = 2;
        enum err err = fleet_pick(fleet, &what, &choice);
        bool any = there & (UINT64_C(1) << first | UINT64_C(1) << second);
        assert_int_equal(err, any ? ERR_OK : ERR_UNAVAILABLE);
        if (!err) {
            const char *at = fleet_find_node(fleet, choice.link)->region;
            assert_true(strcmp(at, names[first]) == 0 || strcmp(at, names[second]) == 0);
        }
        fleet_free(fleet);
    }
}

static void a_stranger_is_refused_with_a_reason(void **state)
{
    (void)state;
    struct fleet *fleet = fleet_of(1, ROUTE_PREDICTED);
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
    struct fleet *fleet = fleet_of(1, ROUTE_PREDICTED);
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
    for (uint64_t i = 1; i < SETS_MAX; i++) {
        snprintf(name, sizeof name, "m%d", (int)i);
        assert_int_equal(hello(fleet, i, name, name, 1, 0), ERR_OK);
    }
    assert_int_equal(hello(fleet, 9999, "more", "one more", 1, 0), ERR_NO_MEMORY);
    fleet_free(fleet);
}

static void the_least_loaded_node_is_chosen(void **state)
{
    (void)state;
    struct fleet *fleet = fleet_of(1, ROUTE_LEAST_LOADED);
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
    fleet_release(fleet, 1, 900, true, 5);
    fleet_charge(fleet, 2, 900);
    assert_int_equal(pick(fleet, 1), 1);
    fleet_release(fleet, 2, 900, false, 5);
    assert_int_equal(fleet_find_node(fleet, 2)->in_air_tokens, 0);
    fleet_free(fleet);
}

static void near_equals_share_by_chance(void **state)
{
    (void)state;
    struct fleet *fleet = fleet_of(7, ROUTE_LEAST_LOADED);
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
    struct fleet *fleet = fleet_of(1, ROUTE_PREDICTED);
    struct fleet_choice choice;
    uint64_t link;
    assert_int_equal(pick_err(fleet, 1), ERR_UNAVAILABLE);
    hello(fleet, 1, "a", "m", 1, 0);
    for (int i = 0; i < 4; i++)
        fleet_charge(fleet, pick(fleet, 1), 10);
    assert_int_equal(pick_err(fleet, 1), ERR_BUSY);
    fleet_release(fleet, 1, 10, false, 5);
    assert_int_equal(pick(fleet, 1), 1);

    uint64_t tried[] = {1};
    struct fleet_need what = need(1);
    what.excluded = tried;
    what.excluded_count = 1;
    assert_int_equal(fleet_pick(fleet, &what, &choice), ERR_UNAVAILABLE);
    what = need(1);
    what.numerics = digest(9);
    assert_int_equal(fleet_pick(fleet, &what, &choice), ERR_UNAVAILABLE);

    assert_int_equal(fleet_drain(fleet, "nobody", true, 0, &link), ERR_NOT_FOUND);
    assert_int_equal(fleet_drain(fleet, "a", true, 0, &link), ERR_OK);
    assert_int_equal(link, 1);
    assert_int_equal(pick_err(fleet, 1), ERR_UNAVAILABLE);
    assert_int_equal(fleet_find_model(fleet, "m", 1)->node_count, 0);
    fleet_free(fleet);
}

static void a_drain_is_told_by_any_scheduler(void **state)
{
    (void)state;
    struct fleet *fleet = fleet_of(1, ROUTE_PREDICTED);
    uint64_t link;
    const struct wire_heartbeat on = {.draining = true}, off = {.draining = false};
    hello(fleet, 1, "a", "m", 1, 0);
    assert_int_equal(fleet_drain(fleet, "a", true, 0, &link), ERR_OK);
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
    struct fleet *fleet = fleet_of(1, ROUTE_PREDICTED);
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

static bool is_current(const struct fleet *fleet, uint8_t version)
{
    struct digest wanted = digest(version);
    return digest_equal(&fleet_find_model(fleet, "m", 1)->model, &wanted);
}

static void a_node_that_stands_in_for_itself_takes_over_when_it_is_told_to(void **state)
{
    (void)state;
    struct fleet *fleet = fleet_of(1, ROUTE_PREDICTED);
    hello(fleet, 1, "a", "m", 1, 0);
    assert_int_equal(hello_again(fleet, 2, "a", 2, 9), ERR_CONFLICT); // for somebody else
    assert_int_equal(hello_again(fleet, 2, "a", 2, 1), ERR_OK);
    assert_true(is_current(fleet, 1)); // its text pack may be on its way
    assert_int_equal(pick(fleet, 1), 1);
    fleet_take_over(fleet, 2, 5);
    assert_true(is_current(fleet, 2));
    assert_int_equal(pick(fleet, 2), 2);
    assert_int_equal(fleet_find_node(fleet, 1)->state, FLEET_DRAINING);
    assert_int_equal(fleet_find_node(fleet, 2)->replaces, 0);
    fleet_heartbeat(fleet, 1, &(struct wire_heartbeat){.draining = false}, 6); // it does not know
    assert_int_equal(fleet_find_node(fleet, 1)->state, FLEET_DRAINING);
    fleet_down(fleet, 1, 7);
    assert_true(is_current(fleet, 2));
    // and back again
    assert_int_equal(hello_again(fleet, 3, "a", 1, 2), ERR_OK);
    fleet_take_over(fleet, 3, 8);
    assert_true(is_current(fleet, 1));
    fleet_free(fleet);
}

static void a_model_takes_over_when_half_of_the_nodes_have_it(void **state)
{
    (void)state;
    struct fleet *fleet = fleet_of(1, ROUTE_PREDICTED);
    static const char *const names[] = {"a", "b", "c"};
    for (uint64_t i = 0; i < 3; i++)
        hello(fleet, 1 + i, names[i], "m", 1, 0);
    hello_again(fleet, 11, "a", 2, 1);
    fleet_take_over(fleet, 11, 1);
    assert_true(is_current(fleet, 1)); // two have the old one
    hello_again(fleet, 12, "b", 2, 2);
    fleet_take_over(fleet, 12, 2);
    assert_true(is_current(fleet, 2)); // two have the newer one
    fleet_down(fleet, 11, 3);
    assert_true(is_current(fleet, 2)); // it does not go back by itself
    fleet_free(fleet);
}

static void a_set_that_is_gone_is_forgotten_in_time(void **state)
{
    (void)state;
    struct fleet *fleet = fleet_of(1, ROUTE_PREDICTED);
    struct digest first = digest(1), second = digest(2);
    hello(fleet, 1, "a", "m", 1, 0);
    hello(fleet, 2, "b", "m", 2, 0);
    fleet_down(fleet, 1, CLOCK_SECOND);
    fleet_heartbeat(fleet, 2, &(struct wire_heartbeat){0}, SETS_FORGET_NS);
    assert_true(digest_equal(&fleet_find_model(fleet, "m", 1)->model, &first));
    fleet_heartbeat(fleet, 2, &(struct wire_heartbeat){0}, SETS_FORGET_NS + CLOCK_SECOND);
    assert_true(digest_equal(&fleet_find_model(fleet, "m", 1)->model, &second));
    assert_int_equal(fleet_model_count(fleet), 1);
    fleet_free(fleet);
}

static void a_restart_in_time_changes_nothing(void **state)
{
    (void)state;
    struct fleet *fleet = fleet_of(1, ROUTE_PREDICTED);
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
    struct fleet *fleet = fleet_of(1, ROUTE_PREDICTED);
    hello(fleet, 9, "a", "m", 1, 0);
    assert_int_equal(fleet_find_model(fleet, "m", 1)->context_length, 1009);
    hello(fleet, 2, "b", "m", 1, 0);
    assert_int_equal(fleet_find_model(fleet, "m", 1)->context_length, 1002);
    fleet_down(fleet, 2, 0);
    assert_int_equal(fleet_find_model(fleet, "m", 1)->context_length, 1009);
    fleet_free(fleet);
}

static const uint64_t blocks[] = {101, 102, 103, 104};

static enum err tell(struct fleet *fleet, uint64_t link, uint64_t sequence, size_t added)
{
    struct wire_cache_delta delta = {
        .sequence = sequence, .reset = sequence == 0, .added = blocks, .added_count = added};
    return fleet_cache_delta(fleet, link, &delta, 1);
}

static struct fleet_choice pick_for(struct fleet *fleet, uint32_t tokens, size_t hashes)
{
    struct fleet_need what = need(1);
    struct fleet_choice choice = {0};
    what.tokens = tokens;
    what.hashes = blocks;
    what.hash_count = hashes;
    what.now_ns = 2;
    if (fleet_pick(fleet, &what, &choice) != ERR_OK) fail_msg("%s", err_text());
    return choice;
}

static void a_prompt_goes_where_its_blocks_are_until_the_queue_costs_more(void **state)
{
    (void)state;
    struct fleet *fleet = fleet_of(1, ROUTE_PREDICTED);
    hello(fleet, 1, "a", "m", 1, 0);
    hello(fleet, 2, "b", "m", 1, 0);
    struct wire_load idle = {.prefill_rate = 1000};
    fleet_load(fleet, 1, &idle, 1);
    fleet_load(fleet, 2, &idle, 1);
    assert_int_equal(tell(fleet, 2, 0, 4), ERR_OK);
    struct fleet_choice choice = pick_for(fleet, 140, 4);
    assert_int_equal(choice.link, 2);
    assert_int_equal(choice.uncached, 140 - 4 * WIRE_BLOCK_TOKENS);
    assert_in_range(choice.wait_ns, 12 * CLOCK_MS, 13 * CLOCK_MS);
    fleet_load(fleet, 2, &(struct wire_load){.prefill_rate = 1000, .waiting_tokens = 120}, 1);
    assert_int_equal(pick_for(fleet, 140, 4).link, 2); // 132 ms there, 140 elsewhere
    fleet_load(fleet, 2, &(struct wire_load){.prefill_rate = 1000, .waiting_tokens = 160}, 1);
    choice = pick_for(fleet, 140, 4);
    assert_int_equal(choice.link, 1);
    assert_int_equal(choice.uncached, 140);
    // A faster node is worth a longer queue.
    fleet_load(fleet, 2, &(struct wire_load){.prefill_rate = 9000, .waiting_tokens = 160}, 1);
    assert_int_equal(pick_for(fleet, 140, 4).link, 2);
    fleet_free(fleet);
}

static void what_was_sent_is_expected_to_be_there(void **state)
{
    (void)state;
    struct fleet *fleet = fleet_of(1, ROUTE_PREDICTED);
    hello(fleet, 1, "a", "m", 1, 0);
    hello(fleet, 2, "b", "m", 1, 0);
    uint64_t first = pick_for(fleet, 140, 4).link;
    fleet_expect(fleet, first, blocks, 4, 2);
    for (int i = 0; i < 20; i++)
        assert_int_equal(pick_for(fleet, 140, 4).link, first);
    fleet_free(fleet);
}

static void a_gap_in_the_deltas_is_noticed_and_a_lost_node_forgotten(void **state)
{
    (void)state;
    struct fleet *fleet = fleet_of(1, ROUTE_PREDICTED);
    hello(fleet, 1, "a", "m", 1, 0);
    assert_int_equal(tell(fleet, 1, 0, 2), ERR_OK);
    assert_int_equal(tell(fleet, 1, 1, 4), ERR_OK);
    assert_int_equal(fleet_index_stats(fleet).entries, 4);
    assert_int_equal(tell(fleet, 1, 3, 1), ERR_FORMAT);
    fleet_down(fleet, 1, 5);
    assert_int_equal(fleet_index_stats(fleet).entries, 0);
    hello(fleet, 7, "a", "m", 1, 6);
    assert_int_equal(pick_for(fleet, 140, 4).uncached, 140);
    assert_int_equal(tell(fleet, 7, 0, 3), ERR_OK);
    assert_int_equal(pick_for(fleet, 140, 4).uncached, 140 - 3 * WIRE_BLOCK_TOKENS);
    fleet_free(fleet);
}

static void a_crowd_that_waits_for_places_is_predicted_by_how_fast_they_free_up(void **state)
{
    (void)state;
    struct fleet *fleet = fleet_of(1, ROUTE_PREDICTED);
    hello(fleet, 1, "a", "m", 1, 0);
    for (int i = 0; i < 3; i++)
        fleet_charge(fleet, 1, 1);
    fleet_release(fleet, 1, 1, true, 1 * CLOCK_SECOND);
    fleet_release(fleet, 1, 1, true, 2 * CLOCK_SECOND);
    fleet_load(fleet, 1, &(struct wire_load){.running = 1, .waiting = 3, .prefill_rate = 1000}, 3);
    // Three wait; one of four there is ours, and one of ours ended in a second.
    assert_in_range(pick_for(fleet, 10, 0).wait_ns, 700 * CLOCK_MS, 800 * CLOCK_MS);
    fleet_free(fleet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prompt_goes_where_its_blocks_are_until_the_queue_costs_more),
        cmocka_unit_test(what_was_sent_is_expected_to_be_there),
        cmocka_unit_test(a_gap_in_the_deltas_is_noticed_and_a_lost_node_forgotten),
        cmocka_unit_test(a_crowd_that_waits_for_places_is_predicted_by_how_fast_they_free_up),
        cmocka_unit_test(a_request_stays_within_its_regions),
        cmocka_unit_test(a_stranger_is_refused_with_a_reason),
        cmocka_unit_test(there_is_an_end_to_nodes_and_models),
        cmocka_unit_test(the_least_loaded_node_is_chosen),
        cmocka_unit_test(near_equals_share_by_chance),
        cmocka_unit_test(credits_end_in_busy_and_drains_in_unavailable),
        cmocka_unit_test(a_drain_is_told_by_any_scheduler),
        cmocka_unit_test(a_second_digest_waits_until_it_is_promoted),
        cmocka_unit_test(a_node_that_stands_in_for_itself_takes_over_when_it_is_told_to),
        cmocka_unit_test(a_model_takes_over_when_half_of_the_nodes_have_it),
        cmocka_unit_test(a_set_that_is_gone_is_forgotten_in_time),
        cmocka_unit_test(a_restart_in_time_changes_nothing),
        cmocka_unit_test(the_context_is_that_of_the_smallest_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

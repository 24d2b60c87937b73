#include "scheduler/core/shards.h"
#include "tests/test.h"
#include "tests/unit/scheduler/core/sky.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

enum {
    NODES = 7,
    SHARDS = 400
};

static uint64_t hashes[NODES];

static void given_names(void)
{
    for (size_t i = 0; i < NODES; i++) {
        char name[16];
        snprintf(name, sizeof name, "node-%zu", i);
        hashes[i] = shard_node_hash(name);
    }
}

static void a_shard_lies_on_two_nodes_and_all_nodes_have_about_as_many(void **state)
{
    size_t counts[NODES] = {0};
    (void)state;
    given_names();
    for (uint32_t k = 0; k < SHARDS; k++) {
        size_t chosen[SHARD_COPIES];
        assert_int_equal(shard_place(shard_id("vectors:t:n", 1, k), hashes, NODES, chosen), 2);
        assert_int_not_equal(chosen[0], chosen[1]);
        counts[chosen[0]]++;
        counts[chosen[1]]++;
    }
    for (size_t i = 0; i < NODES; i++)
        assert_in_range(counts[i], 2 * SHARDS / NODES * 2 / 3, 2 * SHARDS / NODES * 3 / 2);
    assert_int_equal(shard_place(1, hashes, 1, (size_t[SHARD_COPIES]){0}), 1);
    assert_int_equal(shard_place(1, hashes, 0, (size_t[SHARD_COPIES]){0}), 0);
}

static void a_node_that_goes_moves_its_own_shards_alone(void **state)
{
    (void)state;
    given_names();
    for (uint32_t k = 0; k < SHARDS; k++) {
        size_t before[SHARD_COPIES], after[SHARD_COPIES];
        uint64_t shard = shard_id("vectors:t:n", 1, k);
        (void)shard_place(shard, hashes, NODES, before);
        (void)shard_place(shard, hashes, NODES - 1, after); // the last one goes
        if (before[0] != NODES - 1 && before[1] != NODES - 1)
            assert_memory_equal(before, after, sizeof before);
        else // who stays had it before
            assert_true(after[0] == before[0] || after[0] == before[1] || after[1] == before[0] ||
                        after[1] == before[1]);
    }
}

static void a_shard_is_named_by_its_index_its_epoch_and_its_place(void **state)
{
    (void)state;
    uint64_t one = shard_id("vectors:t:n", 1, 0);
    assert_true(one == shard_id("vectors:t:n", 1, 0));
    assert_true(one != shard_id("vectors:t:m", 1, 0));
    assert_true(one != shard_id("vectors:t:n", 2, 0));
    assert_true(one != shard_id("vectors:t:n", 1, 1));
}

static void as_few_nodes_are_asked_as_can_be(void **state)
{
    static const bool held[] = {1, 1, 0, 0, //
                                0, 1, 1, 1, //
                                0, 0, 1, 1};
    uint16_t takers[4];
    (void)state;
    assert_int_equal(shard_cover(held, 3, 4, 0, takers), 0);
    assert_int_equal(takers[0], 0);
    for (size_t shard = 1; shard < 4; shard++)
        assert_int_equal(takers[shard], 1);
}

static void what_nobody_holds_is_nobodys_and_equal_nodes_take_turns(void **state)
{
    static const bool held[] = {1, 0, 1, 0};
    uint16_t takers[2];
    bool asked[2] = {0};
    (void)state;
    for (uint64_t turn = 0; turn < 2; turn++) {
        assert_int_equal(shard_cover(held, 2, 2, turn, takers), 1);
        assert_int_equal(takers[1], SHARD_NOBODY);
        asked[takers[0]] = true;
    }
    assert_true(asked[0] && asked[1]);
    assert_int_equal(shard_cover(held, 0, 2, 0, takers), 2);
}

// ---- flights -----------------------------------------------------------------------------------

static const uint64_t two_shards[] = {7, 9};

static struct flight_order given_scan(void)
{
    static const float query[] = {1, 0};
    return (struct flight_order){.kind = WIRE_SCAN,
                                 .sampling = {.repetition_penalty = 1},
                                 .top_count = 3,
                                 .query = query,
                                 .query_size = 2,
                                 .shards = two_shards,
                                 .shard_count = 2};
}

static size_t lists; // that came

static void see_list(void *argument, const struct flight_whole *whole)
{
    (void)argument;
    lists++;
    assert_int_equal(whole->id_count, 2);
    assert_int_equal(whole->ids[0], 4);
    assert_true(whole->scores[1] == 1);
}

static enum err start_scan(const struct flight_order *order)
{
    uint64_t flight;
    struct flight_events events = {.end = sky_events.end, .whole = see_list};
    lists = 0;
    return flight_start(flights, order, &events, &seen, 0, &flight);
}

static void given_shards(uint64_t link, uint64_t first_version, uint64_t second_version)
{
    struct fleet_shard shards[] = {{.shard = 9, .version = second_version},
                                   {.shard = 7, .version = first_version}};
    fleet_shards(fleet, link, shards, 2);
}

static void give_list(const struct sent *to)
{
    static const int32_t ids[] = {4, 2};
    static const float scores[] = {2, 1};
    struct wire_result result = {.key = to->key, .ids = ids, .id_count = 2, .logprobs = scores};
    flights_result(flights, to->link, &result, 1);
}

static void the_shelves_of_all_nodes_are_summed_up(void **state)
{
    struct fleet_shelves shelves;
    (void)state;
    fleet_shelves(fleet, &shelves);
    assert_int_equal(shelves.shards + shelves.sum.memory, 0);
    given_node(1, "a", 4);
    given_node(2, "b", 4);
    given_shards(1, 5, 0);
    fleet_shards(fleet, 2, &(struct fleet_shard){.shard = 7, .version = 5, .rows = 30}, 1);
    fleet_shelf(fleet, 1, &(struct fleet_shelf){.used = 10, .memory = 100, .refused = 1});
    fleet_shelf(fleet, 2, &(struct fleet_shelf){.used = 20, .memory = 100});
    fleet_shelf(fleet, 3, &(struct fleet_shelf){.used = 40}); // no node
    fleet_shelves(fleet, &shelves);
    assert_int_equal(shelves.shards, 3);
    assert_int_equal(shelves.rows, 30);
    assert_int_equal(shelves.sum.used, 30);
    assert_int_equal(shelves.sum.memory, 200);
    assert_int_equal(shelves.sum.refused, 1);
    fleet_down(fleet, 2, 1);
    fleet_shelves(fleet, &shelves);
    assert_int_equal(shelves.shards, 2);
    assert_int_equal(shelves.sum.used, 10);
}

static void a_scan_goes_only_to_a_node_that_holds_all_of_its_shards_whole(void **state)
{
    struct flight_order order = given_scan();
    (void)state;
    given_node(1, "a", 4);
    given_node(2, "b", 4);
    assert_int_equal(start_scan(&order), ERR_UNAVAILABLE);
    given_shards(1, 5, 0); // one is not whole
    assert_int_equal(start_scan(&order), ERR_UNAVAILABLE);
    given_shards(2, 5, 5);
    assert_int_equal(start_scan(&order), ERR_OK);
    const struct sent *submit = last(WIRE_SUBMIT);
    assert_int_equal(submit->link, 2);
    assert_int_equal(submit->submit.kind, WIRE_SCAN);
    assert_int_equal(submit->submit.shard_count, 2);
    assert_int_equal(submit->submit.query_size, 2);
    give_list(submit);
    assert_int_equal(lists, 1);
    finish(submit, WIRE_FINISH_STOP, ERR_OK, 0);
    assert_int_equal(seen.ends, 1);
    assert_int_equal(seen.end.err, ERR_OK);
}

static void a_scan_whose_node_is_lost_goes_to_another_holder_or_ends_at_once(void **state)
{
    struct flight_order order = given_scan();
    (void)state;
    given_node(1, "a", 4);
    given_node(2, "b", 4);
    given_shards(1, 5, 5);
    assert_int_equal(start_scan(&order), ERR_OK);
    given_shards(2, 5, 5);
    lose(1, 1);
    assert_int_equal(last(WIRE_SUBMIT)->link, 2);
    assert_int_equal(seen.ends, 0);
    lose(2, 2);
    assert_int_equal(seen.ends, 1);
    assert_int_equal(seen.end.err, ERR_UNAVAILABLE);
}

static void a_list_that_is_longer_than_was_asked_for_is_a_contradiction(void **state)
{
    struct flight_order order = given_scan();
    (void)state;
    order.top_count = 1;
    given_node(1, "a", 4);
    given_shards(1, 5, 5);
    assert_int_equal(start_scan(&order), ERR_OK);
    give_list(last(WIRE_SUBMIT));
    assert_int_equal(quarantined, 1);
    assert_int_equal(seen.ends, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shard_lies_on_two_nodes_and_all_nodes_have_about_as_many),
        cmocka_unit_test(a_node_that_goes_moves_its_own_shards_alone),
        cmocka_unit_test(a_shard_is_named_by_its_index_its_epoch_and_its_place),
        cmocka_unit_test(as_few_nodes_are_asked_as_can_be),
        cmocka_unit_test(what_nobody_holds_is_nobodys_and_equal_nodes_take_turns),
        SKY_TEST(the_shelves_of_all_nodes_are_summed_up),
        SKY_TEST(a_scan_goes_only_to_a_node_that_holds_all_of_its_shards_whole),
        SKY_TEST(a_scan_whose_node_is_lost_goes_to_another_holder_or_ends_at_once),
        SKY_TEST(a_list_that_is_longer_than_was_asked_for_is_a_contradiction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

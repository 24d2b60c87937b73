#include "scheduler/core/fleet.h"
#include "scheduler/evictions.h"
#include "tests/test.h"

#include "wire/message.h"

#include "base/clock.h"
#include "base/mem.h"

#include <string.h>

enum {
    NODES = 3,
    SAID_MAX = 256
};

static struct stage {
    struct fleet *fleet;
    struct evictions *evictions;

    struct {
        uint64_t link, salt, serial;
    } said[SAID_MAX];

    size_t said_count;
    int ends, alls;
} stage;

static enum err send(void *owner, uint64_t link, const struct wire_message *message, bool urgent)
{
    struct stage *s = owner;
    assert_false(urgent); // it must not overtake a SUBMIT
    assert_int_equal(message->type, WIRE_EVICT);
    assert_true(s->said_count < SAID_MAX);
    s->said[s->said_count].link = link;
    s->said[s->said_count].salt = message->evict.salt;
    s->said[s->said_count++].serial = message->evict.serial;
    return ERR_OK;
}

static void on_end(void *argument, bool all)
{
    struct stage *s = argument;
    s->ends++;
    s->alls += all;
}

static void add_node(uint64_t link)
{
    char name[] = "node-0";
    struct wire_model model = {.name = {"m", 1}, .kinds = 1u << WIRE_GENERATE};
    name[5] = (char)('0' + link);
    struct wire_hello hello = {.protocol = WIRE_PROTOCOL,
                               .node = {name, sizeof name - 1},
                               .models = &model,
                               .model_count = 1,
                               .credits = 1};
    assert_int_equal(fleet_hello(stage.fleet, link, &hello, 1), ERR_OK);
}

static int given(void **state)
{
    (void)state;
    stage = (struct stage){.fleet = fleet_new(&(struct fleet_options){.seed = 1})};
    for (uint64_t link = 1; link <= NODES; link++)
        add_node(link);
    stage.evictions = evictions_new(stage.fleet, &(struct evictions_seam){&stage, send});
    return 0;
}

static int end(void **state)
{
    (void)state;
    evictions_free(stage.evictions);
    fleet_free(stage.fleet);
    return 0;
}

static uint64_t begin(uint64_t salt)
{
    assert_int_equal(evictions_begin(stage.evictions, salt, CLOCK_SECOND, on_end, &stage), ERR_OK);
    return stage.said[stage.said_count - 1].serial;
}

static void it_ends_with_the_last_answer(void **state)
{
    (void)state;
    uint64_t serial = begin(77), other = begin(78);
    assert_int_equal(stage.said_count, 2 * NODES);
    for (size_t i = 0; i < NODES; i++)
        assert_int_equal(stage.said[i].salt, 77);
    evictions_said(stage.evictions, 1, serial);
    evictions_said(stage.evictions, 1, serial); // twice is once
    evictions_said(stage.evictions, 3, serial);
    evictions_said(stage.evictions, 2, other);
    evictions_said(stage.evictions, 2, 999); // nobody's
    assert_int_equal(stage.ends, 0);
    evictions_said(stage.evictions, 2, serial);
    assert_int_equal(stage.ends, 1);
    assert_int_equal(stage.alls, 1);
}

static void a_node_that_goes_away_makes_it_uncertain(void **state)
{
    (void)state;
    uint64_t serial = begin(77);
    evictions_down(stage.evictions, 2);
    evictions_said(stage.evictions, 1, serial);
    evictions_said(stage.evictions, 3, serial);
    assert_int_equal(stage.ends, 1);
    assert_int_equal(stage.alls, 0);
    // When it is back it is told, and nobody waits for that.
    size_t before = stage.said_count;
    evictions_up(stage.evictions, 2);
    assert_int_equal(stage.said_count, before + 1);
    assert_true(stage.said[before].salt == 77 && stage.said[before].serial == 0);
}

static void silence_ends_it_after_it_was_asked_again(void **state)
{
    (void)state;
    uint64_t serial = begin(77);
    evictions_said(stage.evictions, 1, serial);
    evictions_tick(stage.evictions, CLOCK_SECOND + 100 * CLOCK_MS);
    assert_int_equal(stage.said_count, NODES);
    evictions_tick(stage.evictions, CLOCK_SECOND + EVICTION_AGAIN_MS * CLOCK_MS);
    assert_int_equal(stage.said_count, NODES + 2);
    evictions_tick(stage.evictions, CLOCK_SECOND + (EVICTION_MS - 1) * CLOCK_MS);
    assert_int_equal(stage.ends, 0);
    evictions_tick(stage.evictions, CLOCK_SECOND + EVICTION_MS * CLOCK_MS);
    assert_int_equal(stage.ends, 1);
    assert_int_equal(stage.alls, 0);
}

static void without_nodes_nothing_is_left_anywhere(void **state)
{
    (void)state;
    for (uint64_t link = 1; link <= NODES; link++)
        fleet_down(stage.fleet, link, 2);
    assert_int_equal(evictions_begin(stage.evictions, 77, 5, on_end, &stage), ERR_OK);
    assert_int_equal(stage.ends, 0); // later
    evictions_tick(stage.evictions, 6);
    assert_int_equal(stage.alls, 1);
}

static void there_are_not_more_than_have_room(void **state)
{
    (void)state;
    for (uint64_t link = 1; link <= NODES; link++)
        fleet_down(stage.fleet, link, 2);
    for (uint64_t i = 0; i < EVICTIONS_MAX; i++)
        assert_int_equal(evictions_begin(stage.evictions, i, 5, on_end, &stage), ERR_OK);
    assert_int_equal(evictions_begin(stage.evictions, 7, 5, on_end, &stage), ERR_BUSY);
    evictions_up(stage.evictions, 9);
    assert_int_equal(stage.said_count, EVICTIONS_KEPT);
    assert_int_equal(stage.said[EVICTIONS_KEPT - 1].salt, EVICTIONS_MAX - 1);
    evictions_free(stage.evictions);
    assert_int_equal(stage.ends, EVICTIONS_MAX);
    assert_int_equal(stage.alls, 0);
    stage.evictions = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_ends_with_the_last_answer, given, end),
        cmocka_unit_test_setup_teardown(a_node_that_goes_away_makes_it_uncertain, given, end),
        cmocka_unit_test_setup_teardown(silence_ends_it_after_it_was_asked_again, given, end),
        cmocka_unit_test_setup_teardown(without_nodes_nothing_is_left_anywhere, given, end),
        cmocka_unit_test_setup_teardown(there_are_not_more_than_have_room, given, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

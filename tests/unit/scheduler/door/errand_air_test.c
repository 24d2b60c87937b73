/* Who may send a text: tenants alike, whatever the number of their errands. */
#include "scheduler/door/errand.h"
#include "scheduler/door/errand_air.h"
#include "tests/test.h"

/* An errand of so many texts, over nodes with so many places. */
struct player {
    struct errand_turn turn;
    size_t left, sent;
    size_t *places;
};

static const struct digest model = {{1}}, other_model = {{2}};

static enum errand_took take(void *owner)
{
    struct player *player = owner;
    if (player->left == 0) return ERRAND_TOOK_NOTHING;
    if (*player->places == 0) return ERRAND_TOOK_FULL;
    --*player->places;
    player->left--;
    player->sent++;
    return ERRAND_TOOK;
}

static void begin(struct errands *all, struct player *player, uint64_t tag, size_t most)
{
    player->turn = (struct errand_turn){
        .tag = tag, .model = &model, .most = most, .take = take, .owner = player};
    errand_turn_begin(all, &player->turn);
}

static void land(struct errands *all, struct player *player)
{
    errand_turn_landed(all, &player->turn);
    ++*player->places;
    errands_go(all);
}

static void a_tenant_has_no_more_in_the_air_for_more_errands(void **state)
{
    (void)state;
    size_t places = 1000;
    struct errands *all = errands_new();
    struct player players[3] = {{.left = 100, .places = &places},
                                {.left = 100, .places = &places},
                                {.left = 100, .places = &places}};
    for (size_t i = 0; i < 3; i++)
        begin(all, &players[i], 7, 8);
    errands_go(all);
    assert_int_equal(errands_in_air(all), 8);
    for (size_t i = 0; i < 3; i++)
        assert_in_range(players[i].sent, 2, 3);
    for (size_t i = 0; i < 3; i++)
        errand_turn_end(all, &players[i].turn);
    assert_int_equal(errands_in_air(all), 0);
    errands_free(all);
}

static void whoever_comes_late_gets_the_next_places(void **state)
{
    (void)state;
    size_t places = 8;
    struct errands *all = errands_new();
    struct player busy[2] = {{.left = 100, .places = &places}, {.left = 100, .places = &places}};
    struct player late = {.left = 100, .places = &places};
    begin(all, &busy[0], 1, 64);
    begin(all, &busy[1], 1, 64);
    errands_go(all);
    assert_int_equal(busy[0].sent + busy[1].sent, 8);
    begin(all, &late, 2, 64);
    errands_go(all);
    assert_int_equal(late.sent, 0); // the nodes are full
    for (size_t i = 0; i < 4; i++)
        land(all, &busy[i % 2]);
    assert_int_equal(late.sent, 4);
    errand_turn_end(all, &late.turn); // what it had is for the others
    places += 4;
    errands_go(all);
    assert_int_equal(busy[0].turn.in_air + busy[1].turn.in_air, 8);
    errand_turn_end(all, &busy[0].turn);
    errand_turn_end(all, &busy[1].turn);
    errands_free(all);
}

static void all_tenants_together_leave_places_to_chats(void **state)
{
    (void)state;
    size_t places = 1000;
    struct errands *all = errands_new();
    struct player players[4], other = {.left = 100, .places = &places};
    for (size_t i = 0; i < 4; i++) {
        players[i] = (struct player){.left = 100, .places = &places};
        begin(all, &players[i], i, 8);
    }
    begin(all, &other, 9, 8);
    other.turn.model = &other_model;
    errands_go(all);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(players[i].sent, 4);
    assert_int_equal(other.sent, 8);
    for (size_t i = 0; i < 4; i++)
        errand_turn_end(all, &players[i].turn);
    errand_turn_end(all, &other.turn);
    errands_free(all);
}

static void a_model_whose_nodes_are_full_holds_no_other_up(void **state)
{
    (void)state;
    size_t none = 0, places = 8;
    struct errands *all = errands_new();
    struct player stuck = {.left = 5, .places = &none}, free_one = {.left = 5, .places = &places};
    begin(all, &stuck, 1, 64);
    begin(all, &free_one, 2, 64);
    free_one.turn.model = &other_model;
    errands_go(all);
    assert_int_equal(stuck.sent, 0);
    assert_int_equal(free_one.sent, 5);
    errand_turn_end(all, &stuck.turn);
    errand_turn_end(all, &free_one.turn);
    errand_turn_end(all, &free_one.turn); // twice is once
    errands_free(all);
}

static void numbers_are_lent_up_to_the_bound(void **state)
{
    (void)state;
    struct errands *all = errands_new();
    assert_int_equal(errands_lend(all, ERRANDS_NUMBERS_MAX - 1), ERR_OK);
    assert_int_equal(errands_lend(all, 2), ERR_BUSY);
    assert_int_equal(errands_lend(all, 1), ERR_OK);
    errands_return(all, ERRANDS_NUMBERS_MAX);
    assert_int_equal(errands_lend(all, 2), ERR_OK);
    errands_return(all, 2);
    errands_free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tenant_has_no_more_in_the_air_for_more_errands),
        cmocka_unit_test(whoever_comes_late_gets_the_next_places),
        cmocka_unit_test(all_tenants_together_leave_places_to_chats),
        cmocka_unit_test(a_model_whose_nodes_are_full_holds_no_other_up),
        cmocka_unit_test(numbers_are_lent_up_to_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

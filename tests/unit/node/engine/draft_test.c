#include "node/engine/draft.h"
#include "tests/test.h"

/* A machine on which reading the weights costs 10 ms, and each row beyond `free_rows` one more. */
static struct pace given_pace(uint32_t free_rows)
{
    struct pace pace;
    pace_init(&pace, &(struct pace_options){.stretch_percent = 170});
    for (uint32_t rows = 1; rows <= 1024; rows *= 2) {
        double ms = rows <= free_rows ? 10 : 10 + rows - free_rows;
        pace_calibrate(&pace, PACE_BODY, &(struct pace_step){.rows = rows}, ms);
    }
    pace_calibrate(&pace, PACE_HEAD, &(struct pace_step){.rows = 1, .logits = 1}, 10.001);
    pace_calibrate(&pace, PACE_HEAD, &(struct pace_step){.rows = 1024, .logits = 1024}, 0);
    return pace;
}

static struct pace_step given_plain(uint32_t sequences)
{
    struct pace_step step = {0};
    for (uint32_t i = 0; i < sequences; i++)
        pace_add(&step, 100, 1, 1);
    return step;
}

static void drafts_that_come_true_fill_rows_that_cost_nothing(void **state)
{
    (void)state;
    struct pace pace = given_pace(8);
    struct pace_step plain = given_plain(1);
    struct draft_offer offer = {.count = 7, .position = 100, .rate = 0.9f};
    assert_int_equal(draft_choose(&pace, &plain, 1, &offer, 1, 100), 7);
    assert_int_equal(offer.taken, 7);
}

static void drafts_that_do_not_are_left_out(void **state)
{
    (void)state;
    struct pace pace = given_pace(1);
    struct pace_step plain = given_plain(1);
    struct draft_offer offer = {.count = 7, .position = 100, .rate = 0.02f, .taken = 5};
    assert_int_equal(draft_choose(&pace, &plain, 1, &offer, 1, 100), 0);
    assert_int_equal(offer.taken, 0);
}

static void a_full_batch_drafts_nothing(void **state)
{
    (void)state;
    struct pace pace = given_pace(1); // by the row
    struct pace_step plain = given_plain(64);
    struct draft_offer offers[64];
    for (size_t i = 0; i < 64; i++)
        offers[i] = (struct draft_offer){.count = 4, .position = 100, .rate = 0.5f};
    assert_int_equal(draft_choose(&pace, &plain, 64, offers, 64, 100), 0);
}

static void the_better_chance_gets_the_rows(void **state)
{
    (void)state;
    struct pace pace = given_pace(8);
    struct pace_step plain = given_plain(2);
    struct draft_offer offers[] = {
        {.count = 7, .position = 100, .rate = 0.3f},
        {.count = 7, .position = 100, .rate = 0.9f},
    };
    assert_int_equal(draft_choose(&pace, &plain, 2, offers, 2, 6), 6);
    assert_int_equal(offers[0].taken, 0); // 0.9 to the 6th is more than 0.3
    assert_int_equal(offers[1].taken, 6);
}

static void rows_are_bounded_and_without_a_pace_all_of_them_are_taken(void **state)
{
    (void)state;
    struct pace_step plain = given_plain(2);
    struct draft_offer offers[] = {
        {.count = 7, .position = 100, .rate = 0.3f},
        {.count = 2, .position = 100, .rate = 0.9f},
    };
    assert_int_equal(draft_choose(NULL, &plain, 2, offers, 2, 5), 5);
    assert_int_equal(draft_choose(NULL, &plain, 2, offers, 2, 100), 9);
    assert_int_equal(draft_choose(NULL, &plain, 2, offers, 2, 0), 0);
    assert_int_equal(offers[0].taken + offers[1].taken, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drafts_that_come_true_fill_rows_that_cost_nothing),
        cmocka_unit_test(drafts_that_do_not_are_left_out),
        cmocka_unit_test(a_full_batch_drafts_nothing),
        cmocka_unit_test(the_better_chance_gets_the_rows),
        cmocka_unit_test(rows_are_bounded_and_without_a_pace_all_of_them_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

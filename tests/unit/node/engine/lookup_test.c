#include "node/engine/lookup.h"
#include "tests/test.h"

#include "base/rand.h"

#include <stdbool.h>
#include <string.h>

enum {
    IDS_MAX = 6000
};

static int32_t ids[IDS_MAX];

static void assert_draft(const struct lookup_draft *draft, const int32_t *wanted, uint32_t count)
{
    assert_int_equal(draft->count, count);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(draft->ids[i], wanted[i]);
}

static void what_followed_the_same_ids_is_proposed(void **state)
{
    (void)state;
    static const int32_t text[] = {1, 2, 3, 4, 5, 6, 7, 1, 2, 3};
    struct lookup lookup;
    struct lookup_draft draft;
    lookup_init(&lookup);
    lookup_propose(&lookup, text, 7, 4, &draft);
    assert_int_equal(draft.count, 0); // the last ids have not come before
    lookup_propose(&lookup, text, 10, 4, &draft);
    assert_int_equal(draft.level, 0);
    assert_draft(&draft, (int32_t[]){4, 5, 6, 7}, 4);
    lookup_fini(&lookup);
}

static void two_ids_are_enough_where_three_have_not_come(void **state)
{
    (void)state;
    static const int32_t text[] = {1, 2, 3, 4, 9, 2, 3};
    struct lookup lookup;
    struct lookup_draft draft;
    lookup_init(&lookup);
    lookup_propose(&lookup, text, 7, 2, &draft);
    assert_int_equal(draft.level, 1);
    assert_draft(&draft, (int32_t[]){4, 9}, 2);
    lookup_fini(&lookup);
}

static void the_latest_occurrence_counts(void **state)
{
    (void)state;
    static const int32_t text[] = {1, 2, 3, 4, 1, 2, 3, 8, 1, 2, 3};
    struct lookup lookup;
    struct lookup_draft draft;
    lookup_init(&lookup);
    lookup_propose(&lookup, text, 11, 1, &draft);
    assert_draft(&draft, (int32_t[]){8}, 1);
    lookup_fini(&lookup);
}

static void a_loop_is_followed_beyond_its_end(void **state)
{
    (void)state;
    static const int32_t text[] = {5, 6, 5, 6, 5, 6};
    struct lookup lookup;
    struct lookup_draft draft;
    lookup_init(&lookup);
    lookup_propose(&lookup, text, 6, 5, &draft);
    assert_draft(&draft, (int32_t[]){5, 6, 5, 6, 5}, 5);
    lookup_fini(&lookup);
}

static void a_short_text_proposes_nothing(void **state)
{
    (void)state;
    static const int32_t text[] = {5, 5, 5};
    struct lookup lookup;
    struct lookup_draft draft;
    lookup_init(&lookup);
    for (uint32_t count = 0; count < 3; count++) {
        lookup_propose(&lookup, text, count, 4, &draft);
        assert_int_equal(draft.count, 0);
    }
    lookup_propose(&lookup, text, 3, 2, &draft);
    assert_draft(&draft, (int32_t[]){5, 5}, 2);
    lookup_fini(&lookup);
}

/* The plain way: the last occurrence of the last n ids that has something behind it. */
static uint32_t search(uint32_t id_count, uint32_t n)
{
    for (uint32_t at = id_count; at-- > n;) {
        if (memcmp(ids + at - n, ids + id_count - n, n * sizeof *ids) == 0) return at;
    }
    return 0;
}

/* A proposal is always what followed the same ids; and few are lost to ids that share a slot. */
static void every_proposal_is_true_of_a_long_text_and_most_are_found(void **state)
{
    (void)state;
    struct rand rand;
    rand_init(&rand, 1);
    struct lookup lookup;
    struct lookup_draft draft;
    lookup_init(&lookup);
    uint32_t found = 0;
    uint32_t there = 0;
    for (uint32_t count = 0; count < IDS_MAX; count++) {
        ids[count] = (int32_t)rand_below(&rand, 30);
        if (count < 10) continue;
        lookup_propose(&lookup, ids, count, 4, &draft);
        uint32_t exact = search(count, 3);
        if (exact == 0) exact = search(count, 2);
        there += exact > 0;
        if (draft.count == 0) continue;
        found++;
        assert_true(exact > 0);
        uint32_t n = draft.level == 0 ? 3 : 2;
        bool occurs = false; // as an occurrence, if not the latest one
        for (uint32_t at = n; at < count && !occurs; at++) {
            occurs = memcmp(ids + at - n, ids + count - n, n * sizeof *ids) == 0 &&
                     ids[at] == draft.ids[0];
        }
        assert_true(occurs);
    }
    assert_true(there > 4000 && found > there * 9 / 10);
    lookup_fini(&lookup);
}

static void another_sequence_begins_with_nothing(void **state)
{
    (void)state;
    static const int32_t text[] = {1, 2, 3, 4, 1, 2, 3};
    struct lookup lookup;
    struct lookup_draft draft;
    lookup_init(&lookup);
    lookup_propose(&lookup, text, 7, 1, &draft);
    assert_int_equal(draft.count, 1);
    lookup_judge(&lookup, 0, 0, 1);
    lookup_reset(&lookup);
    lookup_propose(&lookup, text, 4, 1, &draft);
    assert_int_equal(draft.count, 0);
    assert_true(lookup.rate[0] == lookup.rate[1]);
    lookup_fini(&lookup);
}

static void rates_follow_what_comes_true(void **state)
{
    (void)state;
    struct lookup lookup;
    lookup_init(&lookup);
    for (int i = 0; i < 40; i++) {
        lookup_judge(&lookup, 0, 4, 4); // all of them
        lookup_judge(&lookup, 1, 0, 4); // the first was wrong: one trial, one miss
    }
    assert_true(lookup.rate[0] > 0.99f);
    assert_true(lookup.rate[1] < 0.01f && lookup.rate[1] > 0);
    for (int i = 0; i < 60; i++)
        lookup_judge(&lookup, 0, 1, 4); // a hit and a miss
    assert_true(lookup.rate[0] > 0.4f && lookup.rate[0] < 0.6f);
    lookup_fini(&lookup);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_followed_the_same_ids_is_proposed),
        cmocka_unit_test(two_ids_are_enough_where_three_have_not_come),
        cmocka_unit_test(the_latest_occurrence_counts),
        cmocka_unit_test(a_loop_is_followed_beyond_its_end),
        cmocka_unit_test(a_short_text_proposes_nothing),
        cmocka_unit_test(every_proposal_is_true_of_a_long_text_and_most_are_found),
        cmocka_unit_test(another_sequence_begins_with_nothing),
        cmocka_unit_test(rates_follow_what_comes_true),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

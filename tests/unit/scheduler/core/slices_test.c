#include "scheduler/core/slices.h"
#include "tests/test.h"

#include "base/rand.h"

#include <stdlib.h>
#include <string.h>

enum {
    ROWS = 1000,
    MOST = 50
};

static void there_are_no_more_slices_than_are_needed_or_nodes(void **state)
{
    (void)state;
    assert_int_equal(slices_count(1000, 0, 8), 1);
    assert_int_equal(slices_count(1000, 1000, 8), 1);
    assert_int_equal(slices_count(1001, 1000, 8), 2);
    assert_int_equal(slices_count(1001, 1000, 1), 1);
    assert_int_equal(slices_count(1001, 1000, 0), 1);
    assert_int_equal(slices_count(10000, 1000, 3), 3);
    assert_int_equal(slices_count(UINT32_MAX, 1, 1000), SLICES_MAX);
}

static void slices_are_all_rows_and_each_once(void **state)
{
    (void)state;
    for (uint32_t rows = 1; rows < 5000; rows += 37) {
        for (size_t count = 2; count <= SLICES_MAX; count++) {
            uint32_t at = 0;
            for (size_t i = 0; i < count; i++) {
                struct slice slice = slices_at(rows, count, i);
                assert_int_equal(slice.begin, at);
                assert_true(slice.begin % SLICES_ALIGN == 0 && slice.end >= slice.begin);
                at = slice.end;
            }
            assert_int_equal(at, rows);
        }
    }
    struct slice all = slices_at(77, 1, 0);
    assert_true(all.begin == 0 && all.end == 0);
}

struct scored {
    int32_t row;
    float score;
};

static int by_rank(const void *a, const void *b)
{
    const struct scored *left = a, *right = b;
    if (left->score != right->score) return left->score > right->score ? -1 : 1;
    return left->row < right->row ? -1 : 1;
}

/* The best of the rows from begin on; few scores, so that there are many ties. */
static size_t rank(const struct scored *all, struct slice slice, int32_t *rows, float *scores)
{
    struct scored mine[ROWS];
    size_t count = slice.end - slice.begin;
    memcpy(mine, all + slice.begin, count * sizeof *mine);
    qsort(mine, count, sizeof *mine, by_rank);
    if (count > MOST) count = MOST;
    for (size_t i = 0; i < count; i++) {
        rows[i] = mine[i].row;
        scores[i] = mine[i].score;
    }
    return count;
}

static void the_best_of_the_slices_are_the_best_of_all_with_ties_to_the_lower_row(void **state)
{
    (void)state;
    struct rand rand;
    struct scored all[ROWS];
    int32_t want_rows[MOST], rows[SLICES_MAX][MOST], got_rows[MOST];
    float want_scores[MOST], scores[SLICES_MAX][MOST], got_scores[MOST];
    rand_init(&rand, 7);
    for (int round = 0; round < 100; round++) {
        for (int32_t i = 0; i < ROWS; i++)
            all[i] = (struct scored){i, (float)rand_below(&rand, 30)};
        size_t want = rank(all, (struct slice){0, ROWS}, want_rows, want_scores);
        size_t count = 2 + (size_t)rand_below(&rand, SLICES_MAX - 1);
        struct slices_list lists[SLICES_MAX];
        for (size_t i = 0; i < count; i++)
            lists[i] = (struct slices_list){
                rows[i], scores[i], rank(all, slices_at(ROWS, count, i), rows[i], scores[i])};
        assert_int_equal(slices_merge(lists, count, MOST, got_rows, got_scores), want);
        assert_memory_equal(got_rows, want_rows, sizeof got_rows);
        assert_memory_equal(got_scores, want_scores, sizeof got_scores);
    }
}

static void lists_may_be_short_or_empty(void **state)
{
    (void)state;
    static const int32_t rows[] = {4, 9};
    static const float scores[] = {2, 1};
    struct slices_list lists[] = {{NULL, NULL, 0}, {rows, scores, 2}};
    int32_t got[4];
    float got_scores[4];
    assert_int_equal(slices_merge(lists, 2, 4, got, got_scores), 2);
    assert_int_equal(got[0], 4);
    assert_int_equal(slices_merge(lists, 1, 4, got, got_scores), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_are_no_more_slices_than_are_needed_or_nodes),
        cmocka_unit_test(slices_are_all_rows_and_each_once),
        cmocka_unit_test(the_best_of_the_slices_are_the_best_of_all_with_ties_to_the_lower_row),
        cmocka_unit_test(lists_may_be_short_or_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

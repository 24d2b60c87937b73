#include "scheduler/features/search/ranking.h"
#include "tests/test.h"

#include <math.h>
#include <string.h>

/* A list of documents by their numbers, their scores falling from 10. */
static void given_list(struct ranked *items, const uint32_t *numbers, size_t count)
{
    memset(items, 0, count * sizeof *items);
    for (size_t i = 0; i < count; i++)
        items[i] = (struct ranked){
            .number = numbers[i], .serial = 100 + numbers[i], .score = 10 - (double)i};
}

static void what_two_lists_agree_on_comes_first(void **state)
{
    (void)state;
    struct ranked words[3], vectors[3], out[8];
    given_list(words, (const uint32_t[]){1, 2, 3}, 3);
    given_list(vectors, (const uint32_t[]){4, 2, 5}, 3);
    const struct ranking_list lists[] = {{words, 3, 0.5, RANKING_LEXICAL},
                                         {vectors, 3, 0.5, RANKING_VECTOR}};
    assert_int_equal(ranking_fuse(lists, 2, out, 8), 5);
    assert_int_equal(out[0].number, 2);
    assert_int_equal(out[1].number, 1); // of equal scores the lower number
    assert_int_equal(out[2].number, 4);
    assert_int_equal(out[3].number, 3);
    assert_int_equal(out[4].number, 5);
    assert_int_equal(out[0].parts[RANKING_LEXICAL].rank, 2);
    assert_int_equal(out[0].parts[RANKING_VECTOR].rank, 2);
    assert_true(out[0].parts[RANKING_LEXICAL].score == 9);
    assert_int_equal(out[1].parts[RANKING_VECTOR].rank, 0);
    assert_int_equal(ranking_fuse(lists, 2, out, 2), 2);
    assert_int_equal(out[1].number, 1);
}

static void weights_decide_which_list_is_believed(void **state)
{
    (void)state;
    struct ranked words[2], vectors[2], out[4];
    given_list(words, (const uint32_t[]){1, 2}, 2);
    given_list(vectors, (const uint32_t[]){2, 1}, 2);
    struct ranking_list lists[] = {{words, 2, 0.3, RANKING_LEXICAL},
                                   {vectors, 2, 0.7, RANKING_VECTOR}};
    assert_int_equal(ranking_fuse(lists, 2, out, 4), 2);
    assert_int_equal(out[0].number, 2);
    lists[0].weight = 0.8;
    assert_int_equal(ranking_fuse(lists, 2, out, 4), 2);
    assert_int_equal(out[0].number, 1);
}

static void parts_add_up_to_the_score(void **state)
{
    (void)state;

    enum {
        COUNT = 300
    };

    static struct ranked lists[RANKING_PARTS][COUNT], out[COUNT];
    struct ranking_list all[RANKING_PARTS];
    uint32_t numbers[COUNT];
    for (size_t part = 0; part < RANKING_PARTS; part++) {
        size_t count = COUNT - part * 70;
        for (size_t i = 0; i < count; i++)
            numbers[i] = (uint32_t)((i * 7 + part * 31) % COUNT);
        given_list(lists[part], numbers, count);
        all[part] = (struct ranking_list){lists[part], count, 0.25 * (double)(part + 1),
                                          (enum ranking_part)part};
    }
    size_t count = ranking_fuse(all, RANKING_PARTS, out, COUNT);
    assert_int_equal(count, COUNT);
    for (size_t i = 0; i < count; i++) {
        double sum = 0;
        for (size_t part = 0; part < RANKING_PARTS; part++) {
            uint32_t rank = out[i].parts[part].rank;
            double want = rank ? all[part].weight / (RANKING_K + rank) : 0;
            assert_true(out[i].parts[part].adds == want);
            sum += want;
        }
        assert_true(out[i].score == sum);
        if (i > 0) assert_true(out[i - 1].score >= out[i].score);
    }
}

/* A list of the first few, whatever its order, never lets others get before them. */
static void those_that_were_judged_stay_before_the_others(void **state)
{
    (void)state;
    struct ranked words[50], judged[20], out[50];
    uint32_t numbers[50];
    for (uint32_t i = 0; i < 50; i++)
        numbers[i] = i;
    given_list(words, numbers, 50);
    for (uint32_t i = 0; i < 20; i++)
        numbers[i] = 19 - i;
    given_list(judged, numbers, 20);
    const struct ranking_list lists[] = {{words, 50, 1, RANKING_LEXICAL},
                                         {judged, 20, 2, RANKING_RERANK}};
    assert_int_equal(ranking_fuse(lists, 2, out, 50), 50);
    assert_int_equal(out[0].number, 19);
    for (size_t i = 0; i < 50; i++)
        assert_true((out[i].number < 20) == (i < 20));
}

static void nothing_is_made_of_nothing(void **state)
{
    (void)state;
    struct ranked out[1];
    const struct ranking_list lists[] = {{NULL, 0, 1, RANKING_LEXICAL}};
    assert_int_equal(ranking_fuse(lists, 1, out, 1), 0);
    assert_string_equal(ranking_part_name(RANKING_PERSONAL), "personal");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_two_lists_agree_on_comes_first),
        cmocka_unit_test(weights_decide_which_list_is_believed),
        cmocka_unit_test(parts_add_up_to_the_score),
        cmocka_unit_test(those_that_were_judged_stay_before_the_others),
        cmocka_unit_test(nothing_is_made_of_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "scheduler/features/search/hybrid.h"
#include "tests/test.h"

#include <string.h>

/* What the machine asked for, in order: "R" rank, "G" gather, "A" answer, one visit as "[RG]"; "+vector", "-rerank". */
struct stage {
    struct hybrid hybrid;
    char said[256];
    int inside
        [RANKING_PARTS]; // how a part settles from inside of begin(): 0 not, 1 there, -1 missing
};

static void say(struct stage *stage, const char *what)
{
    size_t size = strlen(stage->said);
    snprintf(stage->said + size, sizeof stage->said - size, "%s", what);
}

static void on_work(void *owner, unsigned work)
{
    say(owner, "[");
    if (work & HYBRID_RANK) say(owner, "R");
    if (work & HYBRID_GATHER) say(owner, "G");
    if (work & HYBRID_ANSWER) say(owner, "A");
    say(owner, "]");
}

static void on_begin(void *owner, enum ranking_part part)
{
    struct stage *stage = owner;
    say(stage, "+");
    say(stage, ranking_part_name(part));
    if (stage->inside[part] != 0) hybrid_settle(&stage->hybrid, part, stage->inside[part] > 0);
}

static void on_drop(void *owner, enum ranking_part part)
{
    say(owner, "-");
    say(owner, ranking_part_name(part));
}

static const struct hybrid_wishes everything = {
    .hybrid = true, .rerank = true, .ratio = 0.4, .rerank_weight = 2, .personal = 0.5};

static void given(struct stage *stage, const struct hybrid_wishes *wishes, bool has_words)
{
    const struct hybrid_seams seams = {stage, on_work, on_begin, on_drop};
    hybrid_init(&stage->hybrid, wishes, &seams, has_words);
}

static void says(struct stage *stage, const char *want)
{
    assert_string_equal(stage->said, want);
    stage->said[0] = '\0';
}

static void a_search_for_everything_takes_three_visits(void **state)
{
    (void)state;
    struct stage stage = {0};
    given(&stage, &everything, true);
    hybrid_start(&stage.hybrid);
    says(&stage, "+vector[R]");
    hybrid_worked(&stage.hybrid);
    says(&stage, "");
    hybrid_settle(&stage.hybrid, RANKING_VECTOR, true);
    says(&stage, "[G]");
    hybrid_worked(&stage.hybrid);
    says(&stage, "+rerank+personal");
    hybrid_settle(&stage.hybrid, RANKING_PERSONAL, true);
    says(&stage, "");
    hybrid_settle(&stage.hybrid, RANKING_RERANK, true);
    says(&stage, "[A]");
    assert_true(hybrid_weight(&stage.hybrid, RANKING_LEXICAL) == 1 - 0.4);
    assert_true(hybrid_weight(&stage.hybrid, RANKING_VECTOR) == 0.4);
    assert_true(hybrid_weight(&stage.hybrid, RANKING_RERANK) == 2);
    assert_true(hybrid_weight(&stage.hybrid, RANKING_PERSONAL) == 0.5);
    hybrid_worked(&stage.hybrid);
    assert_int_equal(stage.hybrid.state, HYBRID_ENDED);
}

static void vectors_may_be_there_before_the_words(void **state)
{
    (void)state;
    struct stage stage = {0};
    given(&stage, &(struct hybrid_wishes){.hybrid = true, .ratio = 0.5}, true);
    hybrid_start(&stage.hybrid);
    hybrid_settle(&stage.hybrid, RANKING_VECTOR, true);
    says(&stage, "+vector[R]");
    hybrid_worked(&stage.hybrid);
    says(&stage, "[A]");
}

static void vectors_that_were_too_few_are_searched_again(void **state)
{
    (void)state;
    struct stage stage = {0};
    given(&stage, &everything, true);
    hybrid_start(&stage.hybrid);
    hybrid_settle(&stage.hybrid, RANKING_VECTOR, true);
    hybrid_worked(&stage.hybrid);
    says(&stage, "+vector[R][G]");
    hybrid_again(&stage.hybrid);
    says(&stage, "");
    hybrid_settle(&stage.hybrid, RANKING_VECTOR, true);
    says(&stage, "[G]");
    hybrid_worked(&stage.hybrid);
    says(&stage, "+rerank+personal");
}

static void words_alone_take_one_visit(void **state)
{
    (void)state;
    struct stage stage = {0};
    given(&stage, &(struct hybrid_wishes){.hybrid = true, .ratio = 0}, true);
    hybrid_start(&stage.hybrid);
    says(&stage, "[RA]");
    hybrid_worked(&stage.hybrid);
    assert_int_equal(stage.hybrid.state, HYBRID_ENDED);
    assert_false(hybrid_lacks(&stage.hybrid, RANKING_VECTOR));
}

static void judges_without_vectors_take_two(void **state)
{
    (void)state;
    struct stage stage = {0};
    given(&stage, &(struct hybrid_wishes){.personal = 1}, true);
    hybrid_start(&stage.hybrid);
    says(&stage, "[RG]");
    hybrid_worked(&stage.hybrid);
    says(&stage, "+personal");
    hybrid_settle(&stage.hybrid, RANKING_PERSONAL, true);
    says(&stage, "[A]");
}

static void without_words_nothing_is_compared(void **state)
{
    (void)state;
    struct stage stage = {0};
    given(&stage, &everything, false);
    hybrid_start(&stage.hybrid);
    says(&stage, "[RG]");
    hybrid_worked(&stage.hybrid);
    says(&stage, "+personal");
    hybrid_settle(&stage.hybrid, RANKING_PERSONAL, true);
    assert_false(hybrid_lacks(&stage.hybrid, RANKING_VECTOR));
    assert_true(hybrid_weight(&stage.hybrid, RANKING_LEXICAL) <
                hybrid_weight(&stage.hybrid, RANKING_PERSONAL) / 1000);
}

static void what_is_missing_at_once_is_not_waited_for(void **state)
{
    (void)state;
    struct stage stage = {.inside = {[RANKING_VECTOR] = -1, [RANKING_RERANK] = -1}};
    stage.inside[RANKING_PERSONAL] = 1;
    given(&stage, &everything, true);
    hybrid_start(&stage.hybrid);
    says(&stage, "+vector[RG]");
    hybrid_worked(&stage.hybrid);
    says(&stage, "+rerank+personal[A]");
    assert_true(hybrid_lacks(&stage.hybrid, RANKING_VECTOR));
    assert_true(hybrid_lacks(&stage.hybrid, RANKING_RERANK));
    assert_false(hybrid_lacks(&stage.hybrid, RANKING_PERSONAL));
    assert_true(hybrid_weight(&stage.hybrid, RANKING_LEXICAL) == 1);
    assert_true(hybrid_weight(&stage.hybrid, RANKING_VECTOR) == 0);
}

static void what_is_out_when_time_is_up_is_missing(void **state)
{
    (void)state;
    struct stage stage = {0};
    given(&stage, &everything, true);
    hybrid_start(&stage.hybrid);
    says(&stage, "+vector[R]");
    hybrid_hurry(&stage.hybrid);
    says(&stage, "-vector");
    hybrid_worked(&stage.hybrid);
    says(&stage, "[G]");
    hybrid_worked(&stage.hybrid);
    says(&stage, "+rerank+personal");
    hybrid_settle(&stage.hybrid, RANKING_PERSONAL, true);
    hybrid_hurry(&stage.hybrid);
    says(&stage, "-rerank[A]");
    hybrid_settle(&stage.hybrid, RANKING_RERANK, true); // too late
    hybrid_hurry(&stage.hybrid);
    says(&stage, "");
    assert_true(hybrid_lacks(&stage.hybrid, RANKING_RERANK));
    assert_true(hybrid_weight(&stage.hybrid, RANKING_PERSONAL) == 0.5);
}

static void an_end_drops_what_is_out_and_nothing_follows(void **state)
{
    (void)state;
    struct stage stage = {0};
    given(&stage, &everything, true);
    hybrid_start(&stage.hybrid);
    says(&stage, "+vector[R]");
    hybrid_end(&stage.hybrid);
    says(&stage, "-vector");
    hybrid_worked(&stage.hybrid);
    hybrid_settle(&stage.hybrid, RANKING_VECTOR, true);
    hybrid_end(&stage.hybrid);
    says(&stage, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_search_for_everything_takes_three_visits),
        cmocka_unit_test(vectors_may_be_there_before_the_words),
        cmocka_unit_test(vectors_that_were_too_few_are_searched_again),
        cmocka_unit_test(words_alone_take_one_visit),
        cmocka_unit_test(judges_without_vectors_take_two),
        cmocka_unit_test(without_words_nothing_is_compared),
        cmocka_unit_test(what_is_missing_at_once_is_not_waited_for),
        cmocka_unit_test(what_is_out_when_time_is_up_is_missing),
        cmocka_unit_test(an_end_drops_what_is_out_and_nothing_follows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

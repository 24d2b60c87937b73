#include "scheduler/door/json.h"
#include "scheduler/door/search_ask.h"
#include "tests/test.h"

#include <string.h>

static struct search_ask ask;

static void read_body(const char *body)
{
    if (search_ask_read(&ask, body, strlen(body))) fail_msg("%s: %s", body, err_text());
}

static void words_alone_wish_for_nothing(void **state)
{
    (void)state;
    read_body("{\"q\": \"a\", \"rerank\": false, \"personalize\": false}");
    assert_false(hybrid_is_asked(&ask.wishes));
    assert_int_equal(ask.search.depth, 20);
    assert_false(ask.search.show_parts);
    search_ask_fini(&ask);
    read_body("{\"q\": \"a\", \"personalize\": 0}");
    assert_false(hybrid_is_asked(&ask.wishes));
    search_ask_fini(&ask);
}

static void wishes_have_presets(void **state)
{
    (void)state;
    read_body("{\"q\": \"a\", \"hybrid\": {}, \"rerank\": true, \"personalize\": true}");
    assert_true(ask.wishes.hybrid && ask.wishes.rerank);
    assert_true(ask.wishes.ratio == 0.3 && ask.wishes.personal == 0.5);
    assert_int_equal(ask.wishes.rerank_depth, 20);
    assert_true(ask.wishes.rerank_weight == 2);
    assert_null(ask.wishes.embedder);
    assert_null(ask.wishes.reranker);
    assert_int_equal(ask.search.depth, HYBRID_LIST_LEAST);
    assert_int_equal(ask.search.limit, 20);
    assert_true(ask.search.show_parts);
    search_ask_fini(&ask);
}

static void wishes_are_read(void **state)
{
    (void)state;
    read_body("{\"q\": \"a\", \"limit\": 500, \"offset\": 40,"
              " \"hybrid\": {\"semantic_ratio\": 0.25, \"model\": \"e\"},"
              " \"rerank\": {\"model\": \"r\", \"depth\": 100, \"weight\": 7.5},"
              " \"personalize\": 0.125}");
    assert_true(ask.wishes.ratio == 0.25 && ask.wishes.personal == 0.125);
    assert_string_equal(ask.wishes.embedder, "e");
    assert_string_equal(ask.wishes.reranker, "r");
    assert_int_equal(ask.wishes.rerank_depth, 100);
    assert_true(ask.wishes.rerank_weight == 7.5);
    assert_int_equal(ask.search.depth, 540);
    search_ask_fini(&ask);
    read_body("{\"hybrid\": {\"semanticRatio\": 1}}");
    assert_true(ask.wishes.ratio == 1);
    search_ask_fini(&ask);
}

static void meilisearch_and_snake_case_say_the_same(void **state)
{
    (void)state;
    read_body(
        "{\"q\": \"a\", \"attributes_to_retrieve\": [\"t\"], \"attributes_to_highlight\": [\"t\"],"
        " \"highlight_pre_tag\": \"[\", \"highlightPostTag\": \"]\", \"show_ranking_score\": true,"
        " \"matching_strategy\": \"all\", \"minVersion\": 7, \"deadlineMs\": 50,"
        " \"hybrid\": {\"semanticRatio\": 0.25, \"embedder\": \"default\"}}");
    assert_true(ask.search.retrieve_some && ask.search.retrieve_count == 1);
    assert_int_equal(ask.search.highlight_count, 1);
    assert_string_equal(ask.search.before, "[");
    assert_string_equal(ask.search.after, "]");
    assert_true(ask.search.show_score && ask.search.all);
    assert_int_equal(ask.min_version, 7);
    assert_int_equal(ask.deadline_ms, 50);
    assert_true(ask.wishes.ratio == 0.25);
    assert_null(ask.wishes.embedder);
    search_ask_fini(&ask);
    read_body("{\"hybrid\": {\"embedder\": \"e\"}}");
    assert_string_equal(ask.wishes.embedder, "e");
    search_ask_fini(&ask);
}

static void pages_are_places(void **state)
{
    (void)state;
    read_body("{\"page\": 3, \"hitsPerPage\": 7}");
    assert_int_equal(ask.search.offset, 14);
    assert_int_equal(ask.search.limit, 7);
    assert_int_equal(ask.page, 3);
    search_ask_fini(&ask);
    read_body("{\"hits_per_page\": 5}");
    assert_int_equal(ask.search.offset, 0);
    assert_int_equal(ask.search.limit, 5);
    assert_int_equal(ask.page, 1);
    search_ask_fini(&ask);
    read_body("{\"limit\": 5}");
    assert_int_equal(ask.page, 0);
    search_ask_fini(&ask);
}

static void highlight_takes_three_shapes(void **state)
{
    (void)state;
    read_body("{\"highlight\": true}");
    assert_true(ask.search.highlight_all);
    search_ask_fini(&ask);
    read_body("{\"highlight\": [\"t\", \"u\"]}");
    assert_int_equal(ask.search.highlight_count, 2);
    assert_false(ask.search.highlight_all);
    search_ask_fini(&ask);
    read_body(
        "{\"highlight\": {\"attributes\": [\"t\"], \"pre_tag\": \"<b>\", \"postTag\": \"</b>\"}}");
    assert_int_equal(ask.search.highlight_count, 1);
    assert_false(ask.search.highlight_all);
    assert_string_equal(ask.search.before, "<b>");
    assert_string_equal(ask.search.after, "</b>");
    search_ask_fini(&ask);
    read_body("{\"highlight\": {\"pre_tag\": \"<b>\"}}");
    assert_true(ask.search.highlight_all);
    assert_string_equal(ask.search.after, "</em>");
    search_ask_fini(&ask);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{\"hybrid\": 0.5}", "hybrid"},
        {"{\"hybrid\": {\"ratio\": 0.5}}", "hybrid"},
        {"{\"hybrid\": {\"semantic_ratio\": 1.5}}", "hybrid.semantic_ratio"},
        {"{\"hybrid\": {\"model\": \"\"}}", "hybrid.model"},
        {"{\"rerank\": \"yes\"}", "rerank"},
        {"{\"rerank\": {\"depth\": 0}}", "rerank.depth"},
        {"{\"rerank\": {\"depth\": 101}}", "rerank.depth"},
        {"{\"rerank\": {\"weight\": -1}}", "rerank.weight"},
        {"{\"rerank\": {\"top\": 1}}", "rerank"},
        {"{\"personalize\": 2}", "personalize"},
        {"{\"personalize\": {}}", "personalize"},
        {"{\"personalize\": true, \"sort\": [\"price:asc\"]}", "sort"},
        {"{\"hybrid\": {}, \"sort\": [\"price:asc\"]}", "sort"},
        {"{\"vector\": [1]}", "vector"},
        {"{\"bogus\": 1}", "bogus"},
        {"{\"showRankingScore\": true, \"show_ranking_score\": true}", "showRankingScore"},
        {"{\"hybrid\": {\"semanticRatio\": 1, \"semantic_ratio\": 1}}", "hybrid"},
        {"{\"page\": 1, \"limit\": 1}", "page"},
        {"{\"page\": 0}", "page"},
        {"{\"page\": 11, \"hitsPerPage\": 1000}", "page"},
        {"{\"hitsPerPage\": 0}", "hitsPerPage"},
        {"{\"highlight\": 1}", "highlight"},
        {"{\"highlight\": {\"tag\": \"b\"}}", "highlight"},
        {"{\"highlight\": {\"attributes\": 1}}", "highlight.attributes"},
        {"{\"highlight\": true, \"attributesToHighlight\": [\"t\"]}", "highlight"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_param_clear();
        assert_int_equal(search_ask_read(&ask, cases[i][0], strlen(cases[i][0])), ERR_INVALID);
        assert_string_equal(json_param(), cases[i][1]);
        search_ask_fini(&ask);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_alone_wish_for_nothing),
        cmocka_unit_test(wishes_have_presets),
        cmocka_unit_test(wishes_are_read),
        cmocka_unit_test(meilisearch_and_snake_case_say_the_same),
        cmocka_unit_test(pages_are_places),
        cmocka_unit_test(highlight_takes_three_shapes),
        cmocka_unit_test(what_is_wrong_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

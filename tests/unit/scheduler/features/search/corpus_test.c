#include "scheduler/features/filter.h"
#include "scheduler/features/search/corpus.h"
#include "tests/test.h"
#include "tests/unit/scheduler/features/search/corpus_scene.h"

#include "base/buf.h"

#include <string.h>

static struct corpus *given_shop(void)
{
    struct corpus *corpus =
        given_corpus("{\"fields\": {\"title\": 3, \"text\": 1}, \"facets\": [\"brand\", \"tags\"],"
                     "\"sortable\": [\"price\"], \"filterable\": [\"stock\"]}");
    put_record(corpus, "p1",
               "{\"id\":\"p1\",\"title\":\"智能手机\",\"text\":\"a "
               "phone\",\"brand\":\"华为\",\"price\":3999,\"tags\":[\"5g\",\"new\"]}");
    put_record(corpus, "p2",
               "{\"id\":\"p2\",\"title\":\"Wireless charger\",\"text\":\"for "
               "phones\",\"brand\":\"Anker\",\"price\":99.5,\"tags\":[\"new\"]}");
    put_record(corpus, "p3",
               "{\"id\":\"p3\",\"title\":\"Phone cable\",\"text\":\"a "
               "cable\",\"brand\":\"Anker\",\"price\":19}");
    put_record(corpus, "p4",
               "{\"id\":\"p4\",\"title\":\"Phone case\",\"text\":\"手机壳\",\"price\":null}");
    return corpus;
}

/* The ids of the hits, in order, parted by spaces. */
static void finds(struct corpus *corpus, struct corpus_search search, const char *want)
{
    json_t *answer = answer_of(corpus, search), *hit;
    struct buf got = {0};
    size_t at;
    json_array_foreach(json_object_get(answer, "hits"), at, hit)
    {
        if (at) buf_add_byte(&got, ' ');
        buf_add_text(&got, json_string_value(json_object_get(hit, "id")));
    }
    assert_string_equal(buf_text(&got), want);
    json_decref(answer);
    buf_fini(&got);
}

static void is_json(const json_t *value, const char *want)
{
    char *text =
        json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
    assert_string_equal(text, want);
    free(text);
}

static struct filter *given_filter(const char *text)
{
    struct filter *filter;
    if (filter_parse_text(&filter, text, strlen(text))) fail_msg("%s", err_text());
    return filter;
}

static void documents_are_found_replaced_and_dropped(void **state)
{
    (void)state;
    struct corpus *corpus = given_shop();
    finds(corpus, (struct corpus_search){.q = "手机"}, "p1 p4");
    finds(corpus, (struct corpus_search){.q = "cable"}, "p3");
    put_record(corpus, "p3", "{\"id\":\"p3\",\"title\":\"Adapter\"}");
    finds(corpus, (struct corpus_search){.q = "cable"}, "");
    finds(corpus, (struct corpus_search){.q = "adapter"}, "p3");
    assert_int_equal(corpus_drop(corpus, "p3", 2), ERR_OK);
    assert_int_equal(corpus_drop(corpus, "p3", 2), ERR_OK);
    finds(corpus, (struct corpus_search){.q = "adapter"}, "");
    assert_int_equal(corpus_count(corpus), 3);
    assert_int_equal(corpus_put(corpus, "x", 1, "[]", 2), ERR_FORMAT);
    assert_int_equal(corpus_put(corpus, "x", 1, "{", 1), ERR_FORMAT);
    finds(corpus, (struct corpus_search){.q = "phone"}, "p4 p2 p1");
    corpus_free(corpus);
}

static void without_a_query_all_documents_come_in_their_order(void **state)
{
    (void)state;
    struct corpus *corpus = given_shop();
    finds(corpus, (struct corpus_search){0}, "p1 p2 p3 p4");
    finds(corpus, (struct corpus_search){.q = " ", .offset = 1, .limit = 2}, "p2 p3");
    finds(corpus, (struct corpus_search){.offset = 9}, "");
    corpus_free(corpus);
}

static void filters_and_orders_read_attributes(void **state)
{
    (void)state;
    struct corpus *corpus = given_shop();
    struct filter *filter = given_filter("brand = anker AND price < 50");
    finds(corpus, (struct corpus_search){.q = "phone", .filter = filter}, "p3");
    finds(corpus, (struct corpus_search){.filter = filter}, "p3");
    filter_free(filter);
    struct corpus_search by_price = {
        .q = "phone 手机", .sorts = {{"price", false}}, .sort_count = 1};
    finds(corpus, by_price, "p3 p2 p1 p4");
    by_price.sorts[0].descending = true;
    finds(corpus, by_price, "p1 p2 p3 p4"); // what has no price comes last either way
    by_price.limit = 2;
    by_price.offset = 1;
    finds(corpus, by_price, "p2 p3");
    corpus_free(corpus);
}

static void what_the_index_does_not_have_is_refused_by_name(void **state)
{
    (void)state;
    struct corpus *corpus = given_shop();
    char param[SEARCH_PARAM_MAX];
    struct filter *filter = given_filter("colour = red");
    struct corpus_search search = {.filter = filter};
    assert_int_equal(corpus_check(corpus, &search, param), ERR_INVALID);
    assert_string_equal(param, "filter");
    assert_non_null(strstr(err_text(), "`colour` is not filterable"));
    filter_free(filter);
    search = (struct corpus_search){.facets = {"price"}, .facet_count = 1};
    assert_int_equal(corpus_check(corpus, &search, param), ERR_INVALID);
    assert_string_equal(param, "facets");
    search = (struct corpus_search){.sorts = {{"brand", true}}, .sort_count = 1};
    assert_int_equal(corpus_check(corpus, &search, param), ERR_INVALID);
    assert_non_null(strstr(err_text(), "these are: price"));
    filter = given_filter("stock > 0 AND brand = x AND price EXISTS AND tags = new");
    search = (struct corpus_search){.filter = filter, .facets = {"tags"}, .facet_count = 1};
    assert_int_equal(corpus_check(corpus, &search, param), ERR_OK);
    filter_free(filter);
    corpus_free(corpus);
}

static void facets_count_every_match_and_not_the_page_alone(void **state)
{
    (void)state;
    struct corpus *corpus = given_shop();
    struct corpus_search search = {.q = "phone 手机", .limit = 1, .all_facets = true};
    json_t *answer = answer_of(corpus, search);
    is_json(json_object_get(answer, "facetDistribution"),
            "{\"brand\":{\"Anker\":2,\"华为\":1},\"tags\":{\"5g\":1,\"new\":2}}");
    is_json(json_object_get(answer, "estimatedTotalHits"), "4");
    json_decref(answer);
    corpus_free(corpus);
    corpus = given_corpus("{\"facets\": [\"n\"]}");
    put_record(corpus, "a", "{\"n\": 2}");
    put_record(corpus, "b", "{\"n\": [3.5, true]}");
    answer = answer_of(corpus, (struct corpus_search){.facets = {"n"}, .facet_count = 1});
    is_json(json_object_get(answer, "facetDistribution"), "{\"n\":{\"2\":1,\"3.5\":1,\"true\":1}}");
    is_json(json_object_get(answer, "facetStats"), "{\"n\":{\"max\":3.5,\"min\":2.0}}");
    json_decref(answer);
    corpus_free(corpus);
}

static void what_was_found_is_marked(void **state)
{
    (void)state;
    struct corpus *corpus = given_corpus("{}");
    put_record(corpus, "a",
               "{\"title\":\"智慧型手機,Runners' <b>\",\"more\":[\"running "
               "shoes\",7],\"other\":\"running\"}");
    struct corpus_search search = {.q = "手机 run",
                                   .highlight = {"title", "more"},
                                   .highlight_count = 2,
                                   .before = "<em>",
                                   .after = "</em>"};
    json_t *answer = answer_of(corpus, search);
    const json_t *hit = json_array_get(json_object_get(answer, "hits"), 0);
    is_json(json_object_get(hit, "_formatted"),
            "{\"more\":[\"<em>running</em> shoes\",7],\"other\":\"running\","
            "\"title\":\"智慧型<em>手機</em>,Runners' <b>\"}");
    json_decref(answer);
    search.q = "\"智慧型手机\"";
    answer = answer_of(corpus, search);
    hit = json_array_get(json_object_get(answer, "hits"), 0);
    is_json(json_object_get(json_object_get(hit, "_formatted"), "title"),
            "\"<em>智慧型手機</em>,Runners' <b>\"");
    json_decref(answer);
    corpus_free(corpus);
}

static void a_hit_shows_what_was_asked_for(void **state)
{
    (void)state;
    struct corpus *corpus = given_shop();
    put_record(corpus, "p5", "{\"id\":\"p5\",\"title\":\"Zebra\",\"size\":{\"w\":1,\"h\":0.1}}");
    struct corpus_search search = {.q = "zebra",
                                   .retrieve = {"id", "size.h", "none"},
                                   .retrieve_count = 3,
                                   .retrieve_some = true,
                                   .show_score = true,
                                   .show_parts = true};
    json_t *answer = answer_of(corpus, search);
    json_t *hit = json_array_get(json_object_get(answer, "hits"), 0);
    double share = json_real_value(json_object_get(hit, "_rankingScore"));
    assert_true(share > 0 && share <= 1);
    const json_t *parts = json_object_get(hit, "_ranking");
    is_json(json_object_get(json_object_get(parts, "lexical"), "rank"), "1");
    json_object_del(hit, "_rankingScore");
    json_object_del(hit, "_ranking");
    is_json(hit, "{\"id\":\"p5\",\"size.h\":0.1}");
    json_decref(answer);
    corpus_free(corpus);
}

static void other_settings_are_in_force_when_every_document_was_read_again(void **state)
{
    (void)state;
    struct corpus *corpus = given_shop();
    struct filter *filter = given_filter("colour = red");
    struct corpus_search search = {.filter = filter};
    char param[SEARCH_PARAM_MAX];
    put_record(corpus, "p6", "{\"id\":\"p6\",\"name\":\"Umbrella\",\"colour\":\"red\"}");
    finds(corpus, (struct corpus_search){.q = "umbrella"}, "");
    assert_int_equal(
        corpus_configure(corpus,
                         given_settings("{\"fields\":[\"name\"],\"filterable\":[\"colour\"]}")),
        ERR_OK);
    assert_true(corpus_change(corpus, 2));
    finds(corpus, (struct corpus_search){.q = "umbrella"}, ""); // the old ones still are
    finds(corpus, (struct corpus_search){.q = "cable"}, "p3");
    while (corpus_change(corpus, 2))
        continue;
    finds(corpus, (struct corpus_search){.q = "umbrella"}, "p6");
    finds(corpus, (struct corpus_search){.q = "cable"}, "");
    assert_int_equal(corpus_check(corpus, &search, param), ERR_OK);
    finds(corpus, search, "p6");
    assert_int_equal(corpus_drop(corpus, "p6", 2), ERR_OK);
    finds(corpus, (struct corpus_search){.q = "umbrella"}, "");
    filter_free(filter);
    corpus_free(corpus);
}

static struct corpus *given_many(void)
{
    struct corpus *corpus = given_corpus("{\"fields\":[\"t\"]}");
    char id[16], record[64];
    for (int i = 0; i < 500; i++) {
        snprintf(id, sizeof id, "m%d", i);
        snprintf(record, sizeof record, "{\"id\":\"m%d\",\"t\":\"red w%d\",\"u\":\"blue\"}", i, i);
        put_record(corpus, id, record);
    }
    return corpus;
}

/* At any moment of it: before all is read, while what was before is being freed, by another change, and at the end. */
static void a_change_may_end_at_any_moment(void **state)
{
    (void)state;
    for (size_t steps = 0; steps < 600; steps += 7) {
        struct corpus *corpus = given_many();
        assert_int_equal(corpus_configure(corpus, given_settings("{\"fields\":[\"u\"]}")), ERR_OK);
        size_t left = steps;
        while (left > 0 && corpus_change(corpus, 1))
            left--;
        if (steps % 2 == 0 && left == 0 && steps >= 500) {
            finds(corpus, (struct corpus_search){.q = "red", .limit = 1}, "");
            finds(corpus, (struct corpus_search){.q = "blue", .limit = 1}, "m0");
            assert_int_equal(corpus_configure(corpus, given_settings("{\"fields\":[\"t\"]}")),
                             ERR_OK);
            while (corpus_change(corpus, 100))
                continue;
            finds(corpus, (struct corpus_search){.q = "w7", .limit = 1}, "m7");
        }
        if (steps % 3 == 0) (void)corpus_shed(corpus, steps);
        corpus_free(corpus);
    }
}

static void suggests(struct corpus *corpus, const char *q, const char *want)
{
    struct buf got = {0};
    corpus_suggest(corpus, q, strlen(q), 5, &got);
    assert_string_equal(buf_text(&got), want);
    buf_fini(&got);
}

static void the_last_word_is_completed(void **state)
{
    (void)state;
    struct corpus *corpus = given_shop();
    suggests(corpus, "wir", "[\"wireless\"]");
    suggests(corpus, "Red CHA", "[\"Red charger\"]");
    suggests(corpus, "手", "[\"手机\"]");
    suggests(corpus, "新的智能手", "[\"新的智能手机\"]");
    suggests(corpus, "买 shouj", "[\"买 手机\"]");
    suggests(corpus, "wireless ", "[]");
    suggests(corpus, "", "[]");
    suggests(corpus, "\xFF", "[]");
    suggests(corpus, "zzz", "[]");
    corpus_free(corpus);
}

static void settings_say_what_is_wrong(void **state)
{
    (void)state;

    static const struct {
        const char *text, *param;
    } cases[] = {
        {"{\"fields\": {\"title\": \"3\"}}", "fields.title"},
        {"{\"fields\": {\"title\": 0}}", "fields.title"},
        {"{\"fields\": []}", "fields"},
        {"{\"fields\": [\"_id\"]}", "fields"},
        {"{\"fields\": \"title\"}", "fields"},
        {"{\"facets\": [7]}", "facets"},
        {"{\"language\": \"de\"}", "language"},
        {"{\"language\": 7}", "language"},
        {"{\"stop_words\": \"the\"}", "stop_words"},
        {"{\"typos\": {\"one\": 9, \"two\": 5}}", "typos.two"},
        {"{\"typos\": true}", "typos"},
        {"{\"bm25\": {\"b\": 2}}", "bm25.b"},
        {"{\"primary_key\": \"\"}", "primary_key"},
        {"{\"colour\": 1}", "colour"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct search_settings *settings = NULL;
        char param[SEARCH_PARAM_MAX];
        json_t *object = json_loads(cases[i].text, 0, NULL);
        assert_non_null(object);
        assert_int_equal(search_settings_read(&settings, object, param), ERR_INVALID);
        assert_string_equal(param, cases[i].param);
        assert_int_equal(strncmp(err_text(), param, strlen(param)), 0);
        assert_null(settings);
        json_decref(object);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_are_found_replaced_and_dropped),
        cmocka_unit_test(without_a_query_all_documents_come_in_their_order),
        cmocka_unit_test(filters_and_orders_read_attributes),
        cmocka_unit_test(what_the_index_does_not_have_is_refused_by_name),
        cmocka_unit_test(facets_count_every_match_and_not_the_page_alone),
        cmocka_unit_test(what_was_found_is_marked),
        cmocka_unit_test(a_hit_shows_what_was_asked_for),
        cmocka_unit_test(other_settings_are_in_force_when_every_document_was_read_again),
        cmocka_unit_test(a_change_may_end_at_any_moment),
        cmocka_unit_test(the_last_word_is_completed),
        cmocka_unit_test(settings_say_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, given_tools, end_tools);
}

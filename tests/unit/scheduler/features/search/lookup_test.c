#include "scheduler/features/filter.h"
#include "scheduler/features/search/corpus.h"
#include "tests/test.h"
#include "tests/unit/scheduler/features/search/corpus_scene.h"

#include "base/buf.h"

#include <string.h>

static struct corpus *given_shop(void)
{
    static const char *const records[] = {
        "{\"id\":\"p1\",\"title\":\"智能手机\",\"text\":\"a phone\",\"price\":3999}",
        "{\"id\":\"p2\",\"title\":\"Wireless charger\",\"text\":\"for phones\",\"price\":99.5}",
        "{\"id\":\"p3\",\"title\":\"Phone cable\",\"text\":\"a cable\",\"price\":19}",
        "{\"id\":\"p4\",\"title\":\"Phone case\",\"text\":\"手机壳\",\"price\":null}"};
    struct corpus *corpus =
        given_corpus("{\"fields\": [\"title\", \"text\"], \"sortable\": [\"price\"]}");
    char id[3] = "p1";
    for (size_t i = 0; i < 4; i++, id[1]++)
        put_record(corpus, id, records[i]);
    return corpus;
}

static void add_id(struct buf *out, const char *id, size_t size)
{
    buf_add(out, id, size);
    buf_add_byte(out, ' ');
}

static void documents_of_other_lists_are_found_and_read(void **state)
{
    (void)state;
    struct corpus *corpus = given_shop();
    struct corpus_search search = {0};
    struct filter *filter;
    struct ranked item;
    struct buf out = {0};
    json_t *text = json_string("price < 100");
    assert_int_equal(filter_parse(&filter, text), ERR_OK);
    assert_true(corpus_find(corpus, "p1", 2, &item));
    size_t size;
    const char *id = corpus_id(corpus, &item, &size);
    assert_int_equal(size, 2);
    assert_memory_equal(id, "p1", 2);
    corpus_text(corpus, &item, 100, &out);
    assert_string_equal(buf_text(&out), "智能手机\na phone");
    buf_clear(&out);
    corpus_text(corpus, &item, 8, &out); // cut before the third character
    assert_string_equal(buf_text(&out), "智能");
    assert_false(corpus_find(corpus, "p9", 2, &item));
    search.filter = filter;
    assert_true(corpus_find(corpus, "p3", 2, &item));
    buf_clear(&out);
    size_t passing;
    assert_int_equal(corpus_pass(corpus, &search, &passing), ERR_OK);
    assert_int_equal(passing, 2);
    assert_true(corpus_passes(corpus, &item));
    corpus_each(corpus, add_id, &out);
    assert_string_equal(buf_text(&out), "p2 p3 ");
    assert_int_equal(corpus_drop(corpus, "p3", 2), ERR_OK);
    assert_null(corpus_id(corpus, &item, &size));
    filter_free(filter);
    json_decref(text);
    buf_fini(&out);
    corpus_free(corpus);
}

static void a_fused_list_is_answered_with_what_each_part_adds(void **state)
{
    (void)state;
    struct corpus *corpus = given_shop();
    struct corpus_search search = {.q = "cable", .q_size = 5, .limit = 10, .depth = 10};
    struct corpus_ranking *ranking;
    struct ranked vectors[2], fused[8];
    struct buf text = {0};
    size_t count;
    search.show_parts = search.show_score = true;
    assert_int_equal(corpus_rank(corpus, &search, &ranking), ERR_OK);
    assert_true(corpus_find(corpus, "p4", 2, &vectors[0]));
    assert_true(corpus_find(corpus, "p3", 2, &vectors[1]));
    const struct ranked *words = corpus_ranked(ranking, &count);
    assert_int_equal(count, 1);
    const struct ranking_list lists[] = {{words, count, 0.5, RANKING_LEXICAL},
                                         {vectors, 2, 0.5, RANKING_VECTOR}};
    count = ranking_fuse(lists, 2, fused, 8);
    corpus_rerank(ranking, fused, count, 1.0 / (RANKING_K + 1));
    buf_add_byte(&text, '{');
    corpus_answer(corpus, &search, ranking, &text);
    buf_add_byte(&text, '}');
    json_t *answer = json_loads(text.data, 0, NULL);
    json_t *hits = json_object_get(answer, "hits");
    assert_int_equal(json_array_size(hits), 2);
    assert_int_equal(json_integer_value(json_object_get(answer, "estimatedTotalHits")), 2);
    json_t *first = json_array_get(hits, 0), *parts = json_object_get(first, "_ranking");
    assert_string_equal(json_string_value(json_object_get(first, "id")), "p3");
    double sum = 0, score = json_number_value(json_object_get(parts, "score"));
    const char *names[] = {"lexical", "vector"};
    for (size_t i = 0; i < 2; i++)
        sum += json_number_value(json_object_get(json_object_get(parts, names[i]), "adds"));
    assert_true(score > 0 && sum - score < 1e-12 && score - sum < 1e-12);
    double share = json_number_value(json_object_get(first, "_rankingScore"));
    assert_true(share > 0.9 && share < 1);
    json_decref(answer);
    buf_fini(&text);
    corpus_ranking_free(ranking);
    corpus_free(corpus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_of_other_lists_are_found_and_read),
        cmocka_unit_test(a_fused_list_is_answered_with_what_each_part_adds),
    };
    return cmocka_run_group_tests(tests, given_tools, end_tools);
}

/* What may stand in the body of a rerank. */
#include "scheduler/door/json.h"
#include "scheduler/door/rerank_ask.h"
#include "tests/test.h"

#include <string.h>

static enum err parse(struct rerank_ask *ask, enum rerank_shape shape, const char *body)
{
    json_param_clear();
    return rerank_ask_parse(ask, shape, body, strlen(body));
}

static void documents_are_strings_or_objects_with_a_text(void **state)
{
    (void)state;
    struct rerank_ask ask;
    assert_int_equal(
        parse(&ask, RERANK_DOCUMENTS,
              "{\"query\":\"q\",\"documents\":[\"ab\",{\"text\":\"c\",\"title\":1}],\"top_n\":7,"
              "\"rank_fields\":[\"text\"],\"other\":1}"),
        ERR_OK);
    assert_int_equal(ask.count, 2);
    assert_int_equal(ask.top_count, 2);
    assert_int_equal(ask.texts[0].size, 2);
    assert_string_equal(ask.texts[1].text, "c");
    assert_int_equal(ask.text_tokens, 4096);
    assert_true(ask.truncate);
    assert_false(ask.with_texts);
    rerank_ask_fini(&ask);
    assert_int_equal(
        parse(&ask, RERANK_DOCUMENTS,
              "{\"query\":\"q\",\"documents\":[\"\"],\"top_n\":1,\"return_documents\":true,"
              "\"max_tokens_per_doc\":9,\"truncate\":false,\"raw_scores\":true}"),
        ERR_OK);
    assert_int_equal(ask.text_tokens, 9);
    assert_true(ask.with_texts && ask.is_raw && !ask.truncate);
    rerank_ask_fini(&ask);
}

static void texts_are_strings_and_are_not_cut_unless_asked(void **state)
{
    (void)state;
    struct rerank_ask ask;
    assert_int_equal(parse(&ask, RERANK_TEXTS, "{\"query\":\"q\",\"texts\":[\"a\",\"b\"]}"),
                     ERR_OK);
    assert_false(ask.truncate);
    assert_int_equal(ask.text_tokens, 0);
    assert_int_equal(ask.top_count, 2);
    rerank_ask_fini(&ask);
    assert_int_equal(
        parse(&ask, RERANK_TEXTS,
              "{\"query\":\"q\",\"texts\":[\"a\"],\"truncate\":true,\"raw_scores\":true,"
              "\"return_text\":true,\"truncation_direction\":\"Right\",\"model\":\"m\"}"),
        ERR_OK);
    assert_true(ask.truncate && ask.is_raw && ask.with_texts);
    assert_string_equal(ask.model, "m");
    rerank_ask_fini(&ask);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;

    static const struct {
        enum rerank_shape shape;
        const char *body, *param;
    } rows[] = {
        {RERANK_DOCUMENTS, "{\"documents\":[\"a\"]}", "query"},
        {RERANK_DOCUMENTS, "{\"query\":\"\",\"documents\":[\"a\"]}", "query"},
        {RERANK_DOCUMENTS, "{\"query\":[\"q\"],\"documents\":[\"a\"]}", "query"},
        {RERANK_DOCUMENTS, "{\"query\":\"q\"}", "documents"},
        {RERANK_DOCUMENTS, "{\"query\":\"q\",\"documents\":\"a\"}", "documents"},
        {RERANK_DOCUMENTS, "{\"query\":\"q\",\"documents\":[]}", "documents"},
        {RERANK_DOCUMENTS, "{\"query\":\"q\",\"documents\":[\"a\",1]}", "documents[1]"},
        {RERANK_DOCUMENTS, "{\"query\":\"q\",\"documents\":[{\"image\":\"a\"}]}", "documents[0]"},
        {RERANK_DOCUMENTS, "{\"query\":\"q\",\"documents\":[\"a\"],\"top_n\":0}", "top_n"},
        {RERANK_DOCUMENTS, "{\"query\":\"q\",\"documents\":[\"a\"],\"max_tokens_per_doc\":0}",
         "max_tokens_per_doc"},
        {RERANK_DOCUMENTS, "{\"query\":\"q\",\"documents\":[\"a\"],\"rank_fields\":[\"title\"]}",
         "rank_fields"},
        {RERANK_DOCUMENTS, "{\"query\":\"q\",\"documents\":[\"a\"],\"return_documents\":1}",
         "return_documents"},
        {RERANK_TEXTS, "{\"query\":\"q\",\"texts\":[{\"text\":\"a\"}]}", "texts[0]"},
        {RERANK_TEXTS, "{\"query\":\"q\",\"texts\":[\"a\"],\"truncation_direction\":\"left\"}",
         "truncation_direction"},
        {RERANK_TEXTS, "{\"query\":\"q\",\"texts\":[\"a\"],\"raw_scores\":\"yes\"}", "raw_scores"},
        {RERANK_TEXTS, "{\"query\":\"q\",\"texts\":[\"a\"],\"model\":\"\"}", "model"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rerank_ask ask;
        assert_int_equal(parse(&ask, rows[i].shape, rows[i].body), ERR_INVALID);
        assert_string_equal(json_param(), rows[i].param);
        rerank_ask_fini(&ask);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_are_strings_or_objects_with_a_text),
        cmocka_unit_test(texts_are_strings_and_are_not_cut_unless_asked),
        cmocka_unit_test(what_is_wrong_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What may stand in the body of a request for embeddings. */
#include "scheduler/core/sets.h"
#include "scheduler/door/embeddings_ask.h"
#include "scheduler/door/json.h"
#include "tests/test.h"

#include <string.h>

static const struct fleet_model model = {.vocab_size = 100, .vector_size = 8};

static enum err parse(struct embeddings_ask *ask, const char *body)
{
    json_param_clear();
    enum err err = embeddings_ask_parse(ask, body, strlen(body));
    return err ? err : embeddings_ask_check(ask, &model);
}

static void an_input_is_a_text_ids_or_a_list_of_those(void **state)
{
    (void)state;
    struct embeddings_ask ask;
    assert_int_equal(parse(&ask, "{\"input\":\"ab\",\"truncate\":true,\"user\":\"u\"}"), ERR_OK);
    assert_int_equal(ask.count, 1);
    assert_int_equal(ask.texts[0].size, 2);
    assert_int_equal(ask.dimensions, 8);
    assert_true(ask.truncate);
    assert_false(ask.base64);
    embeddings_ask_fini(&ask);
    assert_int_equal(parse(&ask, "{\"input\":[1,2,99],\"encoding_format\":\"base64\"}"), ERR_OK);
    assert_int_equal(ask.count, 1);
    assert_int_equal(ask.texts[0].id_count, 3);
    assert_true(ask.base64);
    embeddings_ask_fini(&ask);
    assert_int_equal(parse(&ask, "{\"input\":[[1],\"b\",[2,3]],\"dimensions\":4}"), ERR_OK);
    assert_int_equal(ask.count, 3);
    assert_int_equal(ask.texts[2].ids[1], 3);
    assert_string_equal(ask.texts[1].text, "b");
    assert_int_equal(ask.dimensions, 4);
    embeddings_ask_fini(&ask);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{}", "input"},
        {"{\"input\":[]}", "input"},
        {"{\"input\":{}}", "input"},
        {"{\"input\":7}", "input"},
        {"{\"input\":\"\"}", "input[0]"},
        {"{\"input\":[\"a\",[]]}", "input[1]"},
        {"{\"input\":[\"a\",[100]]}", "input[1]"},
        {"{\"input\":[\"a\",[4294967297]]}", "input[1]"},
        {"{\"input\":[1,\"a\"]}", "input[0]"},
        {"{\"input\":[\"a\",1]}", "input[1]"},
        {"{\"input\":\"a\",\"dimensions\":9}", "dimensions"},
        {"{\"input\":\"a\",\"dimensions\":0}", "dimensions"},
        {"{\"input\":\"a\",\"encoding_format\":\"int8\"}", "encoding_format"},
        {"{\"input\":\"a\",\"truncate\":1}", "truncate"},
        {"{\"input\":\"a\",\"model\":7}", "model"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct embeddings_ask ask;
        assert_int_equal(parse(&ask, rows[i][0]), ERR_INVALID);
        assert_string_equal(json_param(), rows[i][1]);
        embeddings_ask_fini(&ask);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_input_is_a_text_ids_or_a_list_of_those),
        cmocka_unit_test(what_is_wrong_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

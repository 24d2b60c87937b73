#include "scheduler/door/json.h"
#include "scheduler/door/recommend_ask.h"
#include "tests/test.h"

#include <string.h>

static void what_is_not_said_has_its_preset(void **state)
{
    (void)state;
    struct recommend_ask ask;
    assert_int_equal(recommend_ask_parse(&ask, "{}", 2), ERR_OK);
    assert_null(ask.session);
    assert_null(ask.model);
    assert_int_equal(ask.count, 10);
    assert_true(ask.exclude_seen);
    assert_false(ask.explain);
    assert_string_equal(ask.scenario, "");
    recommend_ask_fini(&ask);
}

static void all_that_can_be_said_is_read(void **state)
{
    (void)state;
    static const char body[] = "{\"session\":[\"a\",\"b\"],\"count\":100,\"exclude_seen\":false,"
                               "\"explain\":true,\"scenario\":\"home\",\"model\":\"m\",\"x\":1}";
    struct recommend_ask ask;
    assert_int_equal(recommend_ask_parse(&ask, body, sizeof body - 1), ERR_OK);
    assert_int_equal(json_array_size(ask.session), 2);
    assert_int_equal(ask.count, 100);
    assert_false(ask.exclude_seen);
    assert_true(ask.explain);
    assert_string_equal(ask.scenario, "home");
    assert_string_equal(ask.model, "m");
    recommend_ask_fini(&ask);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{\"session\":[]}", "session"},
        {"{\"session\":\"a\"}", "session"},
        {"{\"session\":[\"a\",\"\"]}", "session[1]"},
        {"{\"session\":[7]}", "session[0]"},
        {"{\"count\":0}", "count"},
        {"{\"count\":101}", "count"},
        {"{\"explain\":1}", "explain"},
        {"{\"exclude_seen\":\"no\"}", "exclude_seen"},
        {"{\"filter\":\"a = 1\"}", "filter"},
        {"{\"model\":\"\"}", "model"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct recommend_ask ask;
        json_param_clear();
        assert_int_equal(recommend_ask_parse(&ask, rows[i][0], strlen(rows[i][0])), ERR_INVALID);
        assert_string_equal(json_param(), rows[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_said_has_its_preset),
        cmocka_unit_test(all_that_can_be_said_is_read),
        cmocka_unit_test(what_is_wrong_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

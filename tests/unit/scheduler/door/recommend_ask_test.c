#include "scheduler/door/json.h"
#include "scheduler/door/recommend_ask.h"
#include "scheduler/features/filter.h"
#include "tests/test.h"

#include <stdbool.h>
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
    assert_null(ask.item);
    assert_null(ask.filter);
    assert_int_equal(ask.scenario, RECOMMEND_HOME);
    recommend_ask_fini(&ask);
}

static void all_that_can_be_said_is_read(void **state)
{
    (void)state;
    static const char body[] = "{\"session\":[\"a\",\"b\"],\"count\":100,\"exclude_seen\":false,"
                               "\"explain\":true,\"scenario\":\"home\",\"model\":\"m\",\"x\":1,"
                               "\"filter\":[\"price < 3\",[\"a = 1\",\"a = 2\"]]}";
    struct recommend_ask ask;
    assert_int_equal(recommend_ask_parse(&ask, body, sizeof body - 1), ERR_OK);
    assert_int_equal(json_array_size(ask.session), 2);
    assert_int_equal(ask.count, 100);
    assert_false(ask.exclude_seen);
    assert_true(ask.explain);
    assert_int_equal(ask.scenario, RECOMMEND_HOME);
    assert_non_null(ask.filter);
    assert_string_equal(ask.model, "m");
    recommend_ask_fini(&ask);
}

static void the_same_is_read_in_other_words(void **state)
{
    (void)state;
    static const char body[] =
        "{\"userId\":\"ann\",\"session\":[\"a\",7,12103],\"excludeSeen\":false,"
        "\"filters\":\"price < 3\"}";
    static const char about[] = "{\"scenario\":\"similar\",\"item\":12}";
    struct recommend_ask ask;
    assert_int_equal(recommend_ask_parse(&ask, body, sizeof body - 1), ERR_OK);
    assert_string_equal(ask.user, "ann");
    assert_false(ask.exclude_seen);
    assert_non_null(ask.filter);
    assert_string_equal(json_string_value(json_array_get(ask.session, 1)), "7");
    assert_string_equal(json_string_value(json_array_get(ask.session, 2)), "12103");
    recommend_ask_fini(&ask);
    assert_int_equal(recommend_ask_parse(&ask, about, sizeof about - 1), ERR_OK);
    assert_string_equal(ask.item, "12");
    recommend_ask_fini(&ask);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{\"session\":[]}", "session"},
        {"{\"session\":\"a\"}", "session"},
        {"{\"session\":[\"a\",\"\"]}", "session[1]"},
        {"{\"session\":[7.5]}", "session[0]"},
        {"{\"session\":[true]}", "session[0]"},
        {"{\"user\":7}", "user"},
        {"{\"user\":\"\"}", "user"},
        {"{\"filters\":\"a =\"}", "filter"},
        {"{\"filters\":\"a = 1\",\"filter\":\"a = 2\"}", "filter"},
        {"{\"excludeSeen\":true,\"exclude_seen\":true}", "exclude_seen"},
        {"{\"count\":0}", "count"},
        {"{\"count\":101}", "count"},
        {"{\"explain\":1}", "explain"},
        {"{\"exclude_seen\":\"no\"}", "exclude_seen"},
        {"{\"filter\":\"a =\"}", "filter"},
        {"{\"filter\":7}", "filter"},
        {"{\"filter\":\"a = 1; DROP\"}", "filter"},
        {"{\"scenario\":\"hom\"}", "scenario"},
        {"{\"scenario\":\"similar\"}", "item"},
        {"{\"item\":\"a\"}", "item"},
        {"{\"scenario\":\"also-bought\",\"item\":\"a\",\"session\":[\"b\"]}", "session"},
        {"{\"model\":\"\"}", "model"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct recommend_ask ask;
        json_param_clear();
        assert_int_equal(recommend_ask_parse(&ask, rows[i][0], strlen(rows[i][0])), ERR_INVALID);
        assert_string_equal(json_param(), rows[i][1]);
    }
}

static bool holds(const struct recommend_ask *ask, const char *text)
{
    json_t *document = json_loads(text, 0, NULL);
    assert_non_null(document);
    bool holds = !ask->filter || filter_holds(ask->filter, document);
    json_decref(document);
    return holds;
}

static struct recommend_ask parse(const char *body)
{
    struct recommend_ask ask;
    assert_int_equal(recommend_ask_parse(&ask, body, strlen(body)), ERR_OK);
    return ask;
}

static void scenarios_are_named_and_an_item_goes_with_two_of_them(void **state)
{
    (void)state;
    struct recommend_ask ask = parse("{\"scenario\":\"similar\",\"item\":\"a\"}");
    assert_int_equal(ask.scenario, RECOMMEND_SIMILAR);
    assert_string_equal(ask.item, "a");
    recommend_ask_fini(&ask);
    ask = parse("{\"scenario\":\"popular\",\"filter\":\" \"}");
    assert_int_equal(ask.scenario, RECOMMEND_POPULAR);
    assert_null(ask.filter); // it says nothing
    recommend_ask_fini(&ask);
    ask = parse("{\"scenario\":\"\"}");
    assert_int_equal(ask.scenario, RECOMMEND_HOME);
    recommend_ask_fini(&ask);
}

static void a_category_goes_beside_any_filter_and_cannot_break_out_of_it(void **state)
{
    (void)state;
    static const char *const bodies[] = {"{}", "{\"filter\":\"price < 9 OR price > 100\"}",
                                         "{\"filter\":[[\"price < 9\",\"price > 100\"]]}"};
    for (size_t i = 0; i < 3; i++) {
        struct recommend_ask ask = parse(bodies[i]);
        assert_int_equal(recommend_ask_within(&ask, "a\" OR price > 0 OR b=\"\\"), ERR_OK);
        assert_false(holds(&ask, "{\"price\":1,\"category\":\"a\"}"));
        assert_true(holds(&ask, "{\"price\":1,\"category\":\"a\\\" OR price > 0 OR b=\\\"\\\\\"}"));
        recommend_ask_fini(&ask);
        ask = parse(bodies[i]);
        assert_int_equal(recommend_ask_within(&ask, "pens"), ERR_OK);
        assert_true(holds(&ask, "{\"price\":1,\"category\":\"Pens\"}"));
        assert_true(holds(&ask, "{\"price\":1,\"attributes\":{\"categories\":[\"x\",\"pens\"]}}"));
        assert_int_equal(holds(&ask, "{\"price\":50,\"category\":\"pens\"}"), i == 0);
        recommend_ask_fini(&ask);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_said_has_its_preset),
        cmocka_unit_test(all_that_can_be_said_is_read),
        cmocka_unit_test(the_same_is_read_in_other_words),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(scenarios_are_named_and_an_item_goes_with_two_of_them),
        cmocka_unit_test(a_category_goes_beside_any_filter_and_cannot_break_out_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

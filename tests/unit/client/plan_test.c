#include "client/load/plan.h"
#include "tests/test.h"

#include "base/buf.h"

#include <jansson.h>

#include <string.h>

static void ranges_are_one_number_or_two(void **state)
{
    (void)state;
    struct range range;
    assert_int_equal(range_parse(&range, "--x", "7"), ERR_OK);
    assert_true(range.low == 7 && range.high == 7);
    assert_int_equal(range_parse(&range, "--x", "1-1000000"), ERR_OK);
    assert_true(range.low == 1 && range.high == 1000000);
    static const char *const wrong[] = {"",
                                        "0",
                                        "-",
                                        "5-",
                                        "-5",
                                        "9-5",
                                        "5x",
                                        "5-6x",
                                        "1-1000001",
                                        "5 - 6",
                                        "9999999999999999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(range_parse(&range, "--x", wrong[i]), ERR_INVALID);
        assert_non_null(strstr(err_text(), "--x"));
    }
}

static json_t *body_of(const struct plan *plan, uint64_t number)
{
    struct buf json = {0};
    plan_write(plan, number, &json);
    json_t *root = json_loadb(json.data, json.size, 0, NULL);
    assert_non_null(root);
    buf_fini(&json);
    return root;
}

static const char *prompt_of(const json_t *root)
{
    const json_t *message = json_array_get(json_object_get(root, "messages"), 0);
    return json_string_value(json_object_get(message, "content"));
}

static void requests_follow_from_seed_and_number(void **state)
{
    (void)state;
    struct plan plan = {.seed = 3,
                        .prompt_tokens = {10, 20},
                        .max_tokens = {5, 6},
                        .language = PROMPT_EN,
                        .model = "m",
                        .stream = true,
                        .temperature = -1};
    struct plan other = plan;
    other.seed = 4;
    bool seen[2] = {false, false};
    for (uint64_t number = 0; number < 100; number++) {
        json_t *a = body_of(&plan, number), *b = body_of(&plan, number),
               *c = body_of(&other, number);
        assert_true(json_equal(a, b));
        assert_string_not_equal(prompt_of(a), prompt_of(c));
        size_t words = 1;
        for (const char *at = prompt_of(a); *at; at++)
            words += *at == ' ';
        assert_true(words >= 10 && words <= 20);
        json_int_t most = json_integer_value(json_object_get(a, "max_tokens"));
        assert_true(most == 5 || most == 6);
        seen[most - 5] = true;
        assert_true(json_is_true(json_object_get(a, "stream")));
        assert_true(
            json_is_true(json_object_get(json_object_get(a, "stream_options"), "include_usage")));
        assert_null(json_object_get(a, "temperature"));
        json_decref(a);
        json_decref(b);
        json_decref(c);
    }
    assert_true(seen[0] && seen[1]);
    plan.stream = false;
    plan.temperature = 0;
    json_t *plain = body_of(&plan, 0);
    assert_true(json_is_false(json_object_get(plain, "stream")));
    assert_null(json_object_get(plain, "stream_options"));
    assert_non_null(json_object_get(plain, "temperature"));
    json_decref(plain);
}

static void four_words_are_enough_for_distinct_prompts(void **state)
{
    (void)state;
    json_t *seen = json_object();
    for (uint64_t number = 0; number < 20000; number++) {
        struct buf prompt = {0};
        prompt_write(&prompt, 9, number, 4, PROMPT_BOTH);
        assert_null(json_object_get(seen, prompt.data));
        json_object_set_new(seen, prompt.data, json_true());
        buf_fini(&prompt);
    }
    json_decref(seen);
}

static void extra_members_stand_in_every_body_and_win(void **state)
{
    (void)state;
    struct plan plan = {.prompt_tokens = {5, 5}, .max_tokens = {5, 5}, .model = "m"};
    assert_int_equal(extra_parse(&plan.extra, "{\"top_k\":40,\"seed\":7}"), ERR_OK);
    json_t *body = body_of(&plan, 3);
    assert_int_equal(json_integer_value(json_object_get(body, "top_k")), 40);
    assert_int_equal(json_integer_value(json_object_get(body, "seed")), 7);
    json_decref(body);
    json_decref(plan.extra);
    assert_int_equal(extra_parse(&plan.extra, ""), ERR_OK);
    assert_null(plan.extra);
    static const char *const wrong[] = {"[1]", "{", "top_k=40", "{} {}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(extra_parse(&plan.extra, wrong[i]), ERR_INVALID);
        assert_non_null(strstr(err_text(), "--extra"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_are_one_number_or_two),
        cmocka_unit_test(requests_follow_from_seed_and_number),
        cmocka_unit_test(four_words_are_enough_for_distinct_prompts),
        cmocka_unit_test(extra_members_stand_in_every_body_and_win),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

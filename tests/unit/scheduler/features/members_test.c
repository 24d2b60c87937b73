#include "scheduler/features/members.h"
#include "tests/test.h"

#include <string.h>

static const char *const known[] = {"semantic_ratio", "hitsPerPage", "q"};

static json_t *given(const char *text)
{
    json_t *object = json_loads(text, 0, NULL);
    assert_non_null(object);
    return object;
}

static void becomes(const char *text, const char *want)
{
    json_t *object = given(text), *wanted = given(want);
    assert_null(members_respell(object, known, 3));
    if (!json_equal(object, wanted)) fail_msg("%s is not %s", text, want);
    json_decref(object);
    json_decref(wanted);
}

static void a_member_has_one_name_in_every_spelling(void **state)
{
    (void)state;
    becomes("{}", "{}");
    becomes("{\"q\": 1, \"semantic_ratio\": 2, \"hitsPerPage\": 3}",
            "{\"q\": 1, \"semantic_ratio\": 2, \"hitsPerPage\": 3}");
    becomes("{\"Q\": 1, \"semanticRatio\": 2, \"hits_per_page\": {\"a_b\": 1}}",
            "{\"q\": 1, \"semantic_ratio\": 2, \"hitsPerPage\": {\"a_b\": 1}}");
    becomes("{\"semantic-ratio\": 1, \"qq\": 2, \"_\": 3, \"semanticRatios\": 4, \"\": 5}",
            "{\"semantic-ratio\": 1, \"qq\": 2, \"_\": 3, \"semanticRatios\": 4, \"\": 5}");
}

static void two_spellings_of_one_are_told(void **state)
{
    (void)state;
    json_t *object = given("{\"semanticRatio\": 1, \"semantic_ratio\": 2}");
    assert_string_equal(members_respell(object, known, 3), "semantic_ratio");
    json_decref(object);
    // Whichever of two is taken, the other is no member that is known.
    object = given("{\"Semantic_Ratio\": 1, \"semanticRatio\": 2}");
    assert_null(members_respell(object, known, 3));
    assert_non_null(members_unknown(object, known, 3));
    json_decref(object);
}

static void other_words_are_renamed(void **state)
{
    (void)state;
    static const struct member_name names[] = {{"userId", "user"}, {"q", "q"}};
    json_t *object = given("{\"userId\": 1, \"q\": 2}"), *want = given("{\"user\": 1, \"q\": 2}");
    assert_null(members_rename(object, names, 2));
    assert_true(json_equal(object, want));
    json_decref(object);
    json_decref(want);
    object = given("{\"userId\": 1, \"user\": 2}");
    assert_string_equal(members_rename(object, names, 2), "user");
    json_decref(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_member_has_one_name_in_every_spelling),
        cmocka_unit_test(two_spellings_of_one_are_told),
        cmocka_unit_test(other_words_are_renamed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

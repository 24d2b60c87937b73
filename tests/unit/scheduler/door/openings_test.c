#include "scheduler/door/openings.h"
#include "tests/test.h"

#include <sodium.h>

#include <stdio.h>
#include <string.h>

static bool common(struct openings *openings, const char *tenant, const char *user,
                   const char *text)
{
    return openings_is_common(openings, tenant, user, text, strlen(text));
}

static void an_opening_is_common_from_its_second_user_on(void **state)
{
    (void)state;
    struct openings *openings = openings_new();
    assert_false(common(openings, "t", "ann", "Be brief."));
    assert_false(common(openings, "t", "ann", "Be brief.")); // ann again
    assert_true(common(openings, "t", "bob", "Be brief."));
    assert_true(common(openings, "t", "ann", "Be brief."));
    openings_free(openings);
}

static void of_another_text_or_tenant_nothing_is_known(void **state)
{
    (void)state;
    struct openings *openings = openings_new();
    assert_false(common(openings, "t", "ann", "The user is Ann."));
    assert_false(common(openings, "t", "bob", "The user is Bob."));
    assert_false(common(openings, "u", "bob", "The user is Ann."));
    assert_false(common(openings, "t", "ann", "The user is Ann."));
    openings_free(openings);
}

static void the_latest_stay_and_forgetting_only_keeps_apart(void **state)
{
    (void)state;
    struct openings *openings = openings_new();
    char text[32];
    assert_false(common(openings, "t", "ann", "first"));
    for (int i = 0; i < 20 * OPENINGS_MAX; i++) {
        snprintf(text, sizeof text, "opening %d", i);
        assert_false(common(openings, "t", "ann", text));
    }
    assert_false(common(openings, "t", "bob", "first")); // long forgotten
    assert_true(common(openings, "t", "bob", text));
    openings_free(openings);
}

int main(void)
{
    if (sodium_init() < 0) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_opening_is_common_from_its_second_user_on),
        cmocka_unit_test(of_another_text_or_tenant_nothing_is_known),
        cmocka_unit_test(the_latest_stay_and_forgetting_only_keeps_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

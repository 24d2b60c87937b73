#include "node/service/places.h"
#include "tests/test.h"

#include "base/clock.h"

static void who_knows_nothing_says_the_least(void **state)
{
    (void)state;
    struct places places = {0};
    assert_int_equal(places_retry_ms(&places, 0, 0), PLACES_MS_MIN);
    assert_int_equal(places_retry_ms(&places, 1000, 0), PLACES_MS_MIN);
}

static void what_waits_is_prefilled_first(void **state)
{
    (void)state;
    struct places places = {0};
    assert_int_equal(places_retry_ms(&places, 1000, 500), 2000);
    assert_int_equal(places_retry_ms(&places, 1000000, 500), PLACES_MS_MAX);
}

static void short_prompts_with_long_answers_wait_for_an_end(void **state)
{
    (void)state;
    struct places places = {0};
    uint64_t now_ns = 3600 * CLOCK_SECOND; // it had nothing to do before
    places_begin(&places, now_ns);
    for (int i = 0; i < 5; i++)
        places_end(&places, now_ns += 3 * CLOCK_SECOND);
    assert_int_equal(places_retry_ms(&places, 10, 500), 3000);
    for (int i = 0; i < 50; i++) // and it learns
        places_end(&places, now_ns += CLOCK_SECOND);
    assert_in_range(places_retry_ms(&places, 10, 500), 1000, 1010);
    places_begin(&places, now_ns += 3600 * CLOCK_SECOND);
    places_end(&places, now_ns += CLOCK_SECOND);
    assert_in_range(places_retry_ms(&places, 10, 500), 1000, 1010);
}

static void a_tenant_gets_a_place_while_it_has_its_part(void **state)
{
    (void)state;

    enum {
        ALL = 256
    };

    size_t alone = 0;
    while (places_admit(alone, ALL - alone))
        alone++;
    assert_in_range(alone, ALL * 8 / 9, ALL * 8 / 9 + 1);
    size_t both = 0;
    while (places_admit(both, ALL - 2 * both))
        both++;
    assert_in_range(both, ALL * 8 / 17, ALL * 8 / 17 + 1);
    assert_true(places_admit(0, ALL - alone));
    assert_false(places_admit(0, 0));
    assert_true(places_admit(7, 1)); // few places are anybody's
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tenant_gets_a_place_while_it_has_its_part),
        cmocka_unit_test(who_knows_nothing_says_the_least),
        cmocka_unit_test(what_waits_is_prefilled_first),
        cmocka_unit_test(short_prompts_with_long_answers_wait_for_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "node/service/dials.h"
#include "tests/test.h"

#include "base/clock.h"

#include <string.h>

enum {
    GONE_MS = 1000
};

static struct dials dials;

static const char *url_of(size_t number)
{
    static char url[WIRE_URL_MAX];
    snprintf(url, sizeof url, "tcp://10.0.0.1:%zu", number);
    return url;
}

/* The place of a scheduler of which all can be told by its number; NULL: there was none. */
static struct dial *add(size_t number, bool keeps, uint64_t now_ns)
{
    struct dial *place = dials_place(&dials, now_ns, GONE_MS);
    if (place) dials_set(&dials, place, url_of(number), number, keeps, now_ns);
    return place;
}

static bool is_known(size_t number)
{
    const char *url = url_of(number);
    return dials_know(&dials, url, strlen(url));
}

/* All places taken at one time, and none has been reached. */
static void given_full_dials(uint64_t now_ns)
{
    memset(&dials, 0, sizeof dials);
    for (size_t i = 0; i < DIALS_MAX; i++)
        assert_non_null(add(i, i == 0, now_ns));
}

static void a_url_is_known_whole(void **state)
{
    (void)state;
    memset(&dials, 0, sizeof dials);
    assert_false(is_known(80));
    add(80, false, 1);
    assert_true(is_known(80));
    assert_false(is_known(8));
    assert_false(is_known(800));
}

static void who_was_gone_longest_makes_way(void **state)
{
    (void)state;
    given_full_dials(5 * CLOCK_SECOND);
    for (size_t i = 0; i < DIALS_MAX; i++)
        dials_up(&dials, i);
    dials_down(&dials, 9, 10 * CLOCK_SECOND);
    dials_down(&dials, 7, 11 * CLOCK_SECOND);
    dials_down(&dials, 8, 12 * CLOCK_SECOND);
    dials_down(&dials, 7, 9 * CLOCK_SECOND); // it is gone already
    uint64_t now_ns = 11 * CLOCK_SECOND + GONE_MS * CLOCK_MS;
    assert_non_null(add(1000, false, now_ns));
    assert_true(is_known(1000) && !is_known(9));
    assert_non_null(add(1001, false, now_ns));
    assert_true(is_known(1001) && !is_known(7));
    assert_null(add(1002, false, now_ns));
    assert_true(is_known(8));
}

static void who_is_up_or_was_until_just_now_keeps_its_place(void **state)
{
    (void)state;
    given_full_dials(0);
    uint64_t now_ns = 3600 * CLOCK_SECOND;
    for (size_t i = 0; i < DIALS_MAX; i++)
        dials_up(&dials, i);
    assert_null(add(1000, false, now_ns));
    dials_down(&dials, 3, now_ns);
    assert_null(add(1000, false, now_ns + GONE_MS * CLOCK_MS - 1));
    dials_up(&dials, 3);
    assert_null(add(1000, false, now_ns + GONE_MS * CLOCK_MS));
}

static void who_the_node_was_started_with_keeps_its_place(void **state)
{
    (void)state;
    given_full_dials(0);
    uint64_t now_ns = 3600 * CLOCK_SECOND;
    for (size_t i = 1; i < DIALS_MAX; i++)
        assert_non_null(add(1000 + i, false, now_ns));
    assert_true(is_known(0));
    assert_null(add(2000, false, now_ns));
}

/* A node sees ten thousand schedulers, three at a time. */
static void a_long_life_of_rolling_restarts_fits(void **state)
{
    (void)state;
    memset(&dials, 0, sizeof dials);
    uint64_t now_ns = 0;
    for (size_t i = 0; i < 10000; i++, now_ns += CLOCK_SECOND) {
        assert_false(is_known(i));
        assert_non_null(add(i, false, now_ns));
        dials_up(&dials, i);
        if (i >= 3) dials_down(&dials, i - 3, now_ns);
    }
    for (size_t i = 10000 - 3; i < 10000; i++)
        assert_true(is_known(i));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_url_is_known_whole),
        cmocka_unit_test(who_was_gone_longest_makes_way),
        cmocka_unit_test(who_is_up_or_was_until_just_now_keeps_its_place),
        cmocka_unit_test(who_the_node_was_started_with_keeps_its_place),
        cmocka_unit_test(a_long_life_of_rolling_restarts_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

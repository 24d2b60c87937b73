#include "node/probe/peak.h"
#include "tests/test.h"

#include <math.h>

static const struct peak_options quick = {
    .threads = 2, .read_bytes = 1 << 20, .run_ms = 1, .runs = 2};

static void every_way_of_this_machine_has_a_speed(void **state)
{
    (void)state;
    struct peaks peaks;
    assert_int_equal(peak_measure(&peaks, &quick), ERR_OK);
    assert_int_equal(peaks.threads, 2);
    assert_in_range(peaks.way_count, 3, PEAK_WAYS_MAX);
    for (size_t i = 0; i < peaks.way_count; i++) {
        assert_true(isfinite(peaks.ways[i].per_second));
        assert_true(peaks.ways[i].per_second > 1e6);
        assert_true(peaks.ways[i].per_second < 1e16);
    }
}

static void the_best_of_a_kind_is_the_fastest_way(void **state)
{
    (void)state;
    struct peaks peaks;
    assert_int_equal(peak_measure(&peaks, &quick), ERR_OK);
    for (int kind = 0; kind < PEAK_KIND_COUNT; kind++) {
        double most = 0;
        for (size_t i = 0; i < peaks.way_count; i++)
            if (peaks.ways[i].kind == (enum peak_kind)kind && peaks.ways[i].per_second > most)
                most = peaks.ways[i].per_second;
        assert_true(peaks.best[kind] == most);
    }
    assert_true(peaks.best[PEAK_READ] > 0 && peaks.best[PEAK_F32] > 0);
}

static void a_team_beyond_the_limit_is_refused(void **state)
{
    (void)state;
    struct peaks peaks;
    struct peak_options options = quick;
    options.threads = 100000;
    assert_int_equal(peak_measure(&peaks, &options), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way_of_this_machine_has_a_speed),
        cmocka_unit_test(the_best_of_a_kind_is_the_fastest_way),
        cmocka_unit_test(a_team_beyond_the_limit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

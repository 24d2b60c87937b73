#include "tests/test.h"

#include "kernels/cpu.h"
#include "kernels/team.h"

#include <stdatomic.h>
#include <string.h>

enum {
    PARTS_MAX = 1000
};

struct tally {
    unsigned char times[PARTS_MAX]; // each written by the one thread that runs the part
    atomic_bool bad_lane;
    atomic_bool bad_mode;
    size_t lanes;
};

static void count_part(void *argument, size_t part, size_t lane)
{
    struct tally *tally = argument;
    tally->times[part]++;
    if (lane >= tally->lanes) atomic_store(&tally->bad_lane, true);
    if (!cpu_float_mode_ok()) atomic_store(&tally->bad_mode, true);
}

static void run_many(uint32_t threads)
{
    struct team *team;
    assert_int_equal(team_new(&team, threads), ERR_OK);
    assert_int_equal(team_size(team), threads);
    for (size_t job = 0; job < 400; job++) {
        struct tally tally = {.lanes = threads};
        size_t parts = job * 7 % PARTS_MAX;
        if (job % 50 == 0) usleep(3000); // long enough for the helpers to fall asleep
        team_run(team, parts, count_part, &tally);
        for (size_t i = 0; i < PARTS_MAX; i++)
            assert_int_equal(tally.times[i], i < parts ? 1 : 0);
        assert_false(atomic_load(&tally.bad_lane));
        assert_false(atomic_load(&tally.bad_mode));
    }
    team_free(team);
}

static void every_part_runs_once_on_any_number_of_threads(void **state)
{
    (void)state;
    for (uint32_t threads = 1; threads <= 5; threads++)
        run_many(threads);
}

static void a_team_may_go_while_its_helpers_sleep_or_spin(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        struct team *team;
        assert_int_equal(team_new(&team, 4), ERR_OK);
        if (i % 5 == 0) usleep(2000);
        team_free(team);
    }
    team_free(NULL);
}

static void a_team_without_a_thread_is_refused(void **state)
{
    (void)state;
    struct team *team = NULL;
    assert_int_equal(team_new(&team, 0), ERR_INVALID);
    assert_int_equal(team_new(&team, TEAM_THREADS_MAX + 1), ERR_INVALID);
    assert_null(team);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_part_runs_once_on_any_number_of_threads),
        cmocka_unit_test(a_team_may_go_while_its_helpers_sleep_or_spin),
        cmocka_unit_test(a_team_without_a_thread_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

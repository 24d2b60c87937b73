#include "tests/test.h"

#include "kernels/cpu.h"
#include "kernels/team.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>

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

static uint64_t cpu_time_us(void)
{
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void helpers_without_a_job_burn_no_core(void **state)
{
    (void)state;
    struct team *team;
    assert_int_equal(team_new(&team, 5), ERR_OK);
    struct tally tally = {.lanes = 5};
    team_run(team, 100, count_part, &tally);
    uint64_t before_us = cpu_time_us();
    usleep(300000); // four helpers that spin would burn this much and more
    assert_true(cpu_time_us() - before_us < 100000);
    team_free(team);
}

/* Far more threads than cores: the leader waits for no helper that has not begun, so jobs of next to nothing cost
 * next to nothing. */
static void more_threads_than_cores_do_not_stall(void **state)
{
    (void)state;
    struct team *team;
    assert_int_equal(team_new(&team, 64), ERR_OK);
    uint64_t before_us = cpu_time_us();
    for (size_t job = 0; job < 500; job++) {
        struct tally tally = {.lanes = 64};
        team_run(team, 10, count_part, &tally);
        for (size_t i = 0; i < 10; i++)
            assert_int_equal(tally.times[i], 1);
    }
    assert_true(cpu_time_us() - before_us < 20000000);
    team_free(team);
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
        cmocka_unit_test(helpers_without_a_job_burn_no_core),
        cmocka_unit_test(more_threads_than_cores_do_not_stall),
        cmocka_unit_test(a_team_without_a_thread_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

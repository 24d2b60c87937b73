#include "scheduler/scribe.h"
#include "tests/test.h"

#include <event2/event.h>

#include <stdbool.h>

enum {
    JOBS = 200
};

struct sum {
    int input, square;
    bool worked, done;
};

static struct sum sums[JOBS];
static int done_count;
static struct event_base *base;

static void work(void *argument)
{
    struct sum *sum = argument;
    sum->square = sum->input * sum->input;
    sum->worked = true;
}

static void done(void *argument)
{
    struct sum *sum = argument;
    assert_false(sum->done);
    sum->done = true;
    if (++done_count == JOBS) event_base_loopbreak(base);
}

static void every_job_comes_back_once_with_its_result(void **state)
{
    (void)state;
    base = event_base_new();
    struct scribe *scribe = scribe_new(base, 3);
    done_count = 0;
    for (int i = 0; i < JOBS; i++) {
        sums[i] = (struct sum){.input = i};
        assert_true(scribe_submit(scribe, work, done, &sums[i]));
    }
    event_base_dispatch(base);
    for (int i = 0; i < JOBS; i++)
        assert_true(sums[i].done && sums[i].worked && sums[i].square == i * i);
    scribe_free(scribe);
    event_base_free(base);
}

static void closing_hands_every_job_back(void **state)
{
    (void)state;
    base = event_base_new();
    struct scribe *scribe = scribe_new(base, 1);
    done_count = -JOBS;
    for (int i = 0; i < JOBS; i++) {
        sums[i] = (struct sum){.input = i};
        assert_true(scribe_submit(scribe, work, done, &sums[i]));
    }
    scribe_free(scribe);
    assert_int_equal(done_count, 0);
    event_base_free(base);
}

static void hang(void *argument)
{
    (void)argument;
    usleep(20000);
}

static void count_done(void *argument)
{
    (void)argument;
    done_count++;
}

static void more_jobs_than_the_limit_are_refused(void **state)
{
    (void)state;
    base = event_base_new();
    struct scribe *scribe = scribe_new(base, 1);
    done_count = 0;
    assert_true(scribe_submit(scribe, hang, count_done, sums));
    for (int i = 1; i < SCRIBE_JOBS_MAX; i++)
        assert_true(scribe_submit(scribe, work, count_done, sums));
    assert_false(scribe_submit(scribe, work, count_done, sums));
    scribe_free(scribe);
    assert_int_equal(done_count, SCRIBE_JOBS_MAX);
    event_base_free(base);
}

static int last_of_lane[4];

static void work_in_order(void *argument)
{
    struct sum *sum = argument;
    int lane = sum->input % 4;
    sum->square = last_of_lane[lane]; // only this lane's worker touches it
    last_of_lane[lane] = sum->input;
}

static void jobs_of_a_lane_are_worked_in_their_order(void **state)
{
    (void)state;
    base = event_base_new();
    struct scribe *scribe = scribe_new(base, 3);
    done_count = 0;
    for (int i = 0; i < JOBS; i++) {
        sums[i] = (struct sum){.input = i};
        assert_true(scribe_submit_to(scribe, (size_t)i % 4, work_in_order, done, &sums[i]));
    }
    event_base_dispatch(base);
    for (int i = 4; i < JOBS; i++)
        assert_int_equal(sums[i].square, i - 4);
    scribe_free(scribe);
    event_base_free(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_job_comes_back_once_with_its_result),
        cmocka_unit_test(jobs_of_a_lane_are_worked_in_their_order),
        cmocka_unit_test(closing_hands_every_job_back),
        cmocka_unit_test(more_jobs_than_the_limit_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

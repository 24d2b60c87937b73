#include "client/load/arrivals.h"
#include "tests/test.h"

#include <math.h>

enum {
    COUNT = 100000
};

static void one_seed_gives_one_sequence_and_another_seed_another(void **state)
{
    (void)state;
    struct arrivals a, b, c;
    arrivals_init(&a, 7, 20);
    arrivals_init(&b, 7, 20);
    arrivals_init(&c, 8, 20);
    unsigned same = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t at = arrivals_next(&a);
        assert_true(at == arrivals_next(&b));
        same += at == arrivals_next(&c);
    }
    assert_true(same < 5);
}

/* Over n exponential gaps the mean has the relative error 1/sqrt(n) (one sigma) and the standard
 * deviation is the mean; five sigmas of 100 000 gaps are 1.6 %. The seed is fixed, so the test
 * cannot flicker. */
static void gaps_have_the_mean_and_the_spread_of_a_poisson_process(void **state)
{
    (void)state;
    struct arrivals arrivals;
    arrivals_init(&arrivals, 1, 50);
    uint64_t before = 0;
    double sum = 0, squares = 0;
    unsigned above_mean = 0;
    for (int i = 0; i < COUNT; i++) {
        uint64_t at = arrivals_next(&arrivals);
        assert_true(at >= before);
        double gap = (double)(at - before) * 1e-9;
        sum += gap;
        squares += gap * gap;
        above_mean += gap > 0.02;
        before = at;
    }
    double mean = sum / COUNT, deviation = sqrt(squares / COUNT - mean * mean);
    assert_true(fabs(mean / 0.02 - 1) < 0.016);
    assert_true(fabs(deviation / 0.02 - 1) < 0.03);
    assert_true(fabs((double)above_mean / COUNT - 0.36788) < 0.01); // 1/e
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_seed_gives_one_sequence_and_another_seed_another),
        cmocka_unit_test(gaps_have_the_mean_and_the_spread_of_a_poisson_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "client/load/histogram.h"
#include "client/load/tally.h"
#include "tests/test.h"

#include "base/rand.h"

#include <string.h>

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Every per mille of `count` values is within 1/128 of the exact nearest-rank quantile. */
static void check_against_exact(uint64_t *values, size_t count)
{
    struct histogram *histogram = calloc(1, sizeof *histogram);
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        histogram_add(histogram, values[i]);
        sum += (double)values[i];
    }
    qsort(values, count, sizeof *values, compare);
    for (unsigned per_mille = 1; per_mille <= 1000; per_mille++) {
        size_t rank = (count * per_mille + 999) / 1000;
        double exact = (double)values[rank - 1];
        double got = (double)histogram_quantile(histogram, per_mille);
        double error = got > exact ? got - exact : exact - got;
        if (error > exact / 128)
            fail_msg("%u per mille: %.0f instead of %.0f", per_mille, got, exact);
    }
    assert_true(histogram->min == values[0]);
    assert_true(histogram->max == values[count - 1]);
    assert_true(histogram_quantile(histogram, 1000) == values[count - 1]);
    assert_true(histogram->count == count);
    double mean = sum / (double)count;
    assert_true(histogram_mean(histogram) >= mean * 0.999999);
    assert_true(histogram_mean(histogram) <= mean * 1.000001);
    free(histogram);
}

static void quantiles_are_within_their_bound_over_many_octaves(void **state)
{
    (void)state;

    enum {
        COUNT = 20000
    };

    uint64_t *values = calloc(COUNT, sizeof *values);
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct rand rand;
        rand_init(&rand, seed);
        for (size_t i = 0; i < COUNT; i++) // evenly over the octaves from 1 ns to 18 minutes
            values[i] = rand_next(&rand) >> (24 + rand_below(&rand, 40));
        check_against_exact(values, COUNT);
        for (size_t i = 0; i < COUNT; i++) // a narrow cluster, as latencies are
            values[i] = 50000000 + rand_below(&rand, 2000000);
        check_against_exact(values, COUNT);
    }
    free(values);
}

static void small_values_are_exact_and_every_value_has_a_bucket(void **state)
{
    (void)state;
    uint64_t few[] = {5, 1, 127, 3, 0};
    check_against_exact(few, 5);
    uint64_t edges[] = {127, 128, 129, 255, 256, UINT64_C(1) << 63, UINT64_MAX - 1, UINT64_MAX};
    for (size_t i = 0; i < 8; i++) {
        struct histogram *histogram = calloc(1, sizeof *histogram);
        for (int n = 0; n < 3; n++)
            histogram_add(histogram, edges[i]);
        assert_true(histogram_quantile(histogram, 500) == edges[i]);
        free(histogram);
    }
}

static void an_empty_histogram_answers_zero(void **state)
{
    (void)state;
    struct histogram *histogram = calloc(1, sizeof *histogram);
    assert_true(histogram_quantile(histogram, 990) == 0);
    assert_true(histogram_mean(histogram) == 0);
    free(histogram);
}

static void kinds_of_errors_are_bounded_and_nothing_is_lost(void **state)
{
    (void)state;
    struct tally *tally = calloc(1, sizeof *tally);
    for (int i = 0; i < 100; i++) {
        char kind[16];
        snprintf(kind, sizeof kind, "http %d", i % 50);
        tally_error(tally, kind);
    }
    uint64_t sum = 0;
    for (size_t i = 0; i < tally->error_count; i++)
        sum += tally->errors[i].count;
    assert_int_equal(tally->error_count, TALLY_KINDS_MAX);
    assert_int_equal(sum, 100);
    assert_int_equal(tally->failed, 100);
    assert_int_equal(tally->errors[0].count, 2);
    assert_string_equal(tally->errors[TALLY_KINDS_MAX - 1].kind, "other");
    assert_int_equal(tally->errors[TALLY_KINDS_MAX - 1].count, 100 - 2 * (TALLY_KINDS_MAX - 1));
    free(tally);
}

static void latency_counts_from_the_intended_start(void **state)
{
    (void)state;
    struct tally *tally = calloc(1, sizeof *tally);
    struct outcome outcome = {
        .intended_ns = 1000, .sent_ns = 1500, .first_ns = 1800, .end_ns = 2000, .has_usage = true};
    tally_outcome(tally, &outcome);
    assert_true(tally->lag.max == 500);
    assert_true(tally->first.max == 800);
    assert_true(tally->total.max == 1000);
    // A failed request is in no latency but its own kind's count.
    snprintf(outcome.kind, sizeof outcome.kind, "timeout");
    outcome.end_ns = 9000;
    tally_outcome(tally, &outcome);
    assert_int_equal(tally->total.count, 1);
    assert_int_equal(tally->first.count, 1);
    assert_int_equal(tally->answered, 1);
    assert_int_equal(tally->failed, 1);
    assert_true(tally->end_ns == 9000);
    free(tally);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_within_their_bound_over_many_octaves),
        cmocka_unit_test(small_values_are_exact_and_every_value_has_a_bucket),
        cmocka_unit_test(an_empty_histogram_answers_zero),
        cmocka_unit_test(latency_counts_from_the_intended_start),
        cmocka_unit_test(kinds_of_errors_are_bounded_and_nothing_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

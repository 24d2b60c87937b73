#include "tests/test.h"

#include "kernels/mathf.h"

#include "base/rand.h"

#include <math.h>
#include <string.h>

enum {
    POINTS = 400000
};

static double unit(struct rand *rand, double low, double high)
{
    return low + rand_unit(rand_next(rand)) * (high - low);
}

/* Distance from the true value in units of the last place of a float (a double) of its size. */
static double float_ulps(float got, double truth)
{
    float near = (float)fabs(truth);
    double place = (double)(nextafterf(near, INFINITY) - near);
    return fabs((double)got - truth) / place;
}

static double double_ulps(double got, long double truth)
{
    double near = (double)fabsl(truth);
    long double place = nextafter(near, INFINITY) - near;
    return (double)(fabsl((long double)got - truth) / place);
}

static void exp_is_within_one_and_a_half_ulp_over_its_whole_range(void **state)
{
    (void)state;
    struct rand rand;
    rand_init(&rand, 1);
    double worst = 0;
    double worst_wide = 0;
    for (int i = 0; i < POINTS; i++) {
        float x = (float)unit(&rand, -103.9, 88.7);
        worst = fmax(worst, float_ulps(mathf_exp(x), exp((double)x)));
        float small = (float)unit(&rand, -1.0, 1.0);
        worst = fmax(worst, float_ulps(mathf_exp(small), exp((double)small)));
        double wide = unit(&rand, -745.0, 709.7);
        worst_wide = fmax(worst_wide, double_ulps(mathd_exp(wide), expl((long double)wide)));
    }
    print_message("exp: float %.3f ulp, double %.3f ulp\n", worst, worst_wide);
    assert_true(worst <= 1.5);
    assert_true(worst_wide <= 1.5);
}

static void log_is_within_one_ulp_from_denormals_up(void **state)
{
    (void)state;
    struct rand rand;
    rand_init(&rand, 2);
    double worst = 0;
    double worst_wide = 0;
    for (int i = 0; i < POINTS; i++) {
        uint32_t bits = 1 + (uint32_t)rand_below(&rand, 0x7F7FFFFF);
        float x;
        memcpy(&x, &bits, sizeof x);
        worst = fmax(worst, float_ulps(mathf_log(x), (double)logl((long double)x)));
        double near_one = unit(&rand, 0.5, 2.0);
        worst_wide =
            fmax(worst_wide, double_ulps(mathd_log(near_one), logl((long double)near_one)));
        uint64_t wide = 1 + rand_below(&rand, UINT64_C(0x7FEFFFFFFFFFFFFF));
        double y;
        memcpy(&y, &wide, sizeof y);
        worst_wide = fmax(worst_wide, double_ulps(mathd_log(y), logl((long double)y)));
    }
    print_message("log: float %.3f ulp, double %.3f ulp\n", worst, worst_wide);
    assert_true(worst <= 1.0);
    assert_true(worst_wide <= 1.0);
}

static void sine_and_cosine_hold_up_to_large_angles(void **state)
{
    (void)state;
    static const double ranges[] = {1.0, 7.0, 1000.0, 131072.0, 1e7, 0x1p30};
    struct rand rand;
    rand_init(&rand, 3);
    double worst = 0;
    for (size_t r = 0; r < sizeof ranges / sizeof *ranges; r++) {
        for (int i = 0; i < POINTS / 8; i++) {
            double angle = unit(&rand, -ranges[r], ranges[r]);
            double sine;
            double cosine;
            mathd_sincos(angle, &sine, &cosine);
            worst = fmax(worst, (double)fabsl((long double)sine - sinl((long double)angle)));
            worst = fmax(worst, (double)fabsl((long double)cosine - cosl((long double)angle)));
        }
    }
    print_message("sincos: %.3g absolute\n", worst);
    assert_true(worst <= 1e-15);
}

static void pow_is_good_enough_for_any_rope_base(void **state)
{
    (void)state;
    struct rand rand;
    rand_init(&rand, 4);
    double worst = 0;
    for (int i = 0; i < POINTS; i++) {
        double base = exp(unit(&rand, -20, 20));
        double exponent = unit(&rand, -35, 35);
        long double truth = powl((long double)base, (long double)exponent);
        worst =
            fmax(worst, (double)fabsl(((long double)mathd_pow(base, exponent) - truth) / truth));
    }
    print_message("pow: %.3g relative\n", worst);
    assert_true(worst <= 1e-13);
    assert_true(mathd_pow(10000.0, 0.0) == 1.0);
    assert_true(mathd_pow(10000.0, 1.0) > 9999.9999999 && mathd_pow(10000.0, 1.0) < 10000.0000001);
}

static void erf_and_tanh_are_close_everywhere(void **state)
{
    (void)state;
    struct rand rand;
    rand_init(&rand, 5);
    double worst = 0;
    double worst_tanh = 0;
    for (int i = 0; i < POINTS; i++) {
        float x = (float)unit(&rand, -5, 5);
        float small = x * 0.01f;
        worst = fmax(worst, fabs((double)mathf_erf(x) - erf((double)x)));
        worst = fmax(worst, fabs((double)mathf_erf(small) - erf((double)small)));
        worst_tanh = fmax(worst_tanh, fabs((double)mathf_tanh(x) - tanh((double)x)));
        worst_tanh = fmax(worst_tanh, fabs((double)mathf_tanh(small) - tanh((double)small)));
        assert_true(mathf_erf(-x) == -mathf_erf(x));
    }
    print_message("erf: %.3g, tanh: %.3g absolute\n", worst, worst_tanh);
    assert_true(worst <= 1.2e-7);
    assert_true(worst_tanh <= 1.2e-7);
}

static void special_values_are_as_documented(void **state)
{
    (void)state;
    assert_true(mathf_exp(0.0f) == 1.0f && mathf_exp(-0.0f) == 1.0f);
    assert_true(mathf_exp(-INFINITY) == 0.0f && mathf_exp(INFINITY) == INFINITY);
    assert_true(mathf_exp(88.8f) == INFINITY && mathf_exp(-104.5f) == 0.0f);
    assert_true(isnan(mathf_exp(NAN)) && isnan(mathd_exp(NAN)));
    assert_true(mathd_exp(0.0) == 1.0);
    assert_true(mathd_exp(-INFINITY) == 0.0 && mathd_exp(INFINITY) == INFINITY);
    assert_true(mathd_exp(709.9) == INFINITY && mathd_exp(-746.0) == 0.0);
    assert_true(mathf_log(1.0f) == 0.0f && mathd_log(1.0) == 0.0);
    assert_true(mathd_log(0.0) == -INFINITY && mathd_log(-0.0) == -INFINITY);
    assert_true(isnan(mathd_log(-1.0)) && isnan(mathd_log(NAN)));
    assert_true(mathd_log(INFINITY) == INFINITY && mathf_log(INFINITY) == INFINITY);
    assert_true(isnan(mathd_pow(-2.0, 2.0)) && isnan(mathd_pow(NAN, 2.0)));
    assert_true(mathf_erf(0.0f) == 0.0f && mathf_erf(4.0f) == 1.0f && mathf_erf(-9.0f) == -1.0f);
    assert_true(mathf_erf(INFINITY) == 1.0f && isnan(mathf_erf(NAN)));
    assert_true(mathf_tanh(INFINITY) == 1.0f && mathf_tanh(-INFINITY) == -1.0f);
    assert_true(mathf_tanh(0.0f) == 0.0f && isnan(mathf_tanh(NAN)));
    double sine;
    double cosine;
    mathd_sincos(0.0, &sine, &cosine);
    assert_true(sine == 0.0 && cosine == 1.0);
    mathd_sincos(INFINITY, &sine, &cosine);
    assert_true(isnan(sine) && isnan(cosine));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exp_is_within_one_and_a_half_ulp_over_its_whole_range),
        cmocka_unit_test(log_is_within_one_ulp_from_denormals_up),
        cmocka_unit_test(sine_and_cosine_hold_up_to_large_angles),
        cmocka_unit_test(pow_is_good_enough_for_any_rope_base),
        cmocka_unit_test(erf_and_tanh_are_close_everywhere),
        cmocka_unit_test(special_values_are_as_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "tests/test.h"

#include "kernels/cpu.h"
#include "kernels/ops.h"
#include "kernels/select.h"

#include <string.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

static void every_usable_rung_can_be_asked_for_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < cpu_rung_count(); i++) {
        const struct cpu_rung *rung = cpu_rung_at(i);
        uint32_t features = 99;
        enum err err = cpu_choose(rung->name, &features);
        if (!cpu_rung_usable(rung)) {
            assert_int_equal(err, ERR_UNSUPPORTED);
            assert_non_null(strstr(err_text(), rung->name));
            assert_int_equal(features, 99);
            continue;
        }
        assert_int_equal(err, ERR_OK);
        struct ops ops;
        ops_select(&ops, features);
        assert_string_equal(ops.name, rung->name);
    }
}

static void no_name_asks_for_the_highest_usable_rung(void **state)
{
    (void)state;
    const struct cpu_rung *best = cpu_rung_at(0);
    for (size_t i = 0; i < cpu_rung_count(); i++)
        if (cpu_rung_usable(cpu_rung_at(i))) best = cpu_rung_at(i);
    uint32_t features;
    assert_int_equal(cpu_choose("", &features), ERR_OK);
    assert_int_equal(features, best->features);
    unsetenv("QIAO_CPU");
    assert_int_equal(cpu_choose_env(&features), ERR_OK);
    assert_int_equal(features, best->features);
    setenv("QIAO_CPU", "scalar", 1);
    assert_int_equal(cpu_choose_env(&features), ERR_OK);
    assert_int_equal(features, 0);
}

static void a_name_that_is_no_rung_is_refused_with_the_list(void **state)
{
    (void)state;
    uint32_t features = 99;
    assert_int_equal(cpu_choose("sse9", &features), ERR_INVALID);
    assert_non_null(strstr(err_text(), "sse9"));
    assert_non_null(strstr(err_text(), "scalar"));
    assert_int_equal(features, 99);
}

#if defined(__x86_64__)
static void a_flushing_thread_is_told_from_a_sound_one(void **state)
{
    (void)state;
    cpu_float_mode_set();
    assert_true(cpu_float_mode_ok());
    volatile float tiny = 1e-40f;
    volatile float third = tiny / 3; // raises sticky flags, which do not count
    (void)third;
    assert_true(cpu_float_mode_ok());
    _mm_setcsr(_mm_getcsr() | 0x8040); // flush to zero, denormals are zero
    assert_false(cpu_float_mode_ok());
    cpu_float_mode_set();
    assert_true(cpu_float_mode_ok());
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_usable_rung_can_be_asked_for_by_name),
        cmocka_unit_test(no_name_asks_for_the_highest_usable_rung),
        cmocka_unit_test(a_name_that_is_no_rung_is_refused_with_the_list),
#if defined(__x86_64__)
        cmocka_unit_test(a_flushing_thread_is_told_from_a_sound_one),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

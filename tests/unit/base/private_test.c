#include "tests/test.h"

#include "base/private.h"

#include <sys/prctl.h>
#include <sys/resource.h>

static void places_to_swap_to_are_lines_below_the_headline(void **state)
{
    (void)state;
    assert_false(private_swaps(""));
    assert_false(private_swaps("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"));
    assert_true(private_swaps("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
                              "/dev/zram0          partition\t8388604\t0\t100\n"));
}

static void there_are_two_choices(void **state)
{
    (void)state;
    assert_true(private_is_choice("warn"));
    assert_true(private_is_choice("refuse"));
    assert_false(private_is_choice(""));
    assert_false(private_is_choice("never"));
}

static void cores_and_debuggers_are_forbidden(void **state)
{
    (void)state;
    struct rlimit cores = {1, 1};
    private_forbid_cores();
    assert_int_equal(getrlimit(RLIMIT_CORE, &cores), 0);
    assert_int_equal(cores.rlim_max, 0);
    assert_int_equal(prctl(PR_GET_DUMPABLE), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_to_swap_to_are_lines_below_the_headline),
        cmocka_unit_test(there_are_two_choices),
        cmocka_unit_test(cores_and_debuggers_are_forbidden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "tests/test.h"

#include "base/hex.h"

static void digits_of_either_case_are_bytes(void **state)
{
    static const unsigned char want[4] = {0x00, 0x9f, 0xa0, 0xff};
    unsigned char got[4];
    (void)state;
    assert_true(hex_read(got, sizeof got, "009fa0ff"));
    assert_memory_equal(got, want, sizeof want);
    assert_true(hex_read(got, sizeof got, "009FA0Ff"));
    assert_memory_equal(got, want, sizeof want);
}

static void anything_else_is_refused(void **state)
{
    static const char *const wrong[] = {"",         "009fa0f",  "009fa0ff0", "009fa0ff00",
                                        "009fa0fg", " 09fa0ff", "0x9fa0ff",  "+09fa0ff",
                                        "00 9fa0f", "009fa0f\n"};
    unsigned char got[4];
    (void)state;
    assert_false(hex_read(got, sizeof got, NULL));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(hex_read(got, sizeof got, wrong[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digits_of_either_case_are_bytes),
        cmocka_unit_test(anything_else_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

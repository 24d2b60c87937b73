#include "scheduler/door/quota.h"
#include "tests/test.h"

static void durations_are_written_as_the_reference_api_has_them(void **state)
{
    (void)state;

    static const struct {
        uint64_t ms;
        const char *text;
    } cases[] = {
        {0, "0s"},           {1, "1ms"},          {999, "999ms"},          {1000, "1s"},
        {1001, "2s"},        {59000, "59s"},      {59001, "1m0s"},         {360000, "6m0s"},
        {3599000, "59m59s"}, {3600000, "1h0m0s"}, {86399000, "23h59m59s"}, {90000000, "25h0m0s"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[QUOTA_DURATION_SIZE];
        quota_write_duration(text, cases[i].ms);
        assert_string_equal(text, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_written_as_the_reference_api_has_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

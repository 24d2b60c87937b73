/* What comes often is written once in a while, and counted. */
#include "scheduler/policy/often.h"
#include "tests/test.h"

#include "base/mem.h"

static void equal_ones_are_counted_until_their_time_is_over(void **state)
{
    (void)state;
    struct oftens oftens = {0};
    struct often often;
    assert_true(oftens_come(&oftens, 1, "a", 100));
    assert_false(oftens_come(&oftens, 1, "a", 150));
    assert_false(oftens_come(&oftens, 1, "a", 160));
    assert_true(oftens_come(&oftens, 2, "a", 170)); // of another class
    assert_true(oftens_come(&oftens, 1, "b", 180));
    assert_false(oftens_take(&oftens, 99, &often));
    assert_true(oftens_take(&oftens, 100, &often));
    assert_string_equal(often.said, "a");
    assert_int_equal(often.class, 1);
    assert_int_equal(often.times, 2);
    mem_free(often.said);
    assert_false(oftens_take(&oftens, 100, &often));
    assert_true(oftens_come(&oftens, 1, "a", 300)); // and from anew
    oftens_fini(&oftens);
}

static void what_has_no_room_is_written_each_time(void **state)
{
    (void)state;
    struct oftens oftens = {0};
    char name[16];
    for (int i = 0; i < OFTEN_MAX; i++) {
        snprintf(name, sizeof name, "%d", i);
        assert_true(oftens_come(&oftens, 1, name, 100));
    }
    assert_true(oftens_come(&oftens, 1, "more", 100));
    assert_true(oftens_come(&oftens, 1, "more", 100));
    assert_false(oftens_come(&oftens, 1, "7", 100));
    oftens_fini(&oftens);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_ones_are_counted_until_their_time_is_over),
        cmocka_unit_test(what_has_no_room_is_written_each_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

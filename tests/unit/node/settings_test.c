#include "node/settings.h"
#include "tests/test.h"

static void the_waiting_room_takes_long_prompts_and_many_unless_it_is_set(void **state)
{
    (void)state;
    struct settings settings = {.requests = 256};
    assert_int_equal(settings_waiting_tokens(&settings, 32768), 16 * 32768);
    assert_int_equal(settings_waiting_tokens(&settings, 512), 256 * 256);
    settings.waiting_tokens = 1000;
    assert_int_equal(settings_waiting_tokens(&settings, 32768), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_waiting_room_takes_long_prompts_and_many_unless_it_is_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "scheduler/settings.h"
#include "tests/test.h"

#include <sys/resource.h>

static void allow(rlim_t soft, rlim_t hard)
{
    struct rlimit files = {soft, hard};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
}

static rlim_t soft_limit(void)
{
    struct rlimit files;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    return files.rlim_cur;
}

/* The hard limit only falls, so the three cases go downwards. */
static void as_many_clients_are_let_in_as_files_can_be_open(void **state)
{
    struct settings settings = {.connections = 1024};
    (void)state;
    allow(100, 2000);
    settings_make_room(&settings);
    assert_int_equal(settings.connections, 1024);
    assert_int_equal(soft_limit(), 2000);

    allow(100, 1024);
    settings_make_room(&settings);
    assert_int_equal(settings.connections, 1024 - SETTINGS_FILES_ASIDE);

    allow(100, 200);
    settings_make_room(&settings);
    assert_int_equal(settings.connections, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_many_clients_are_let_in_as_files_can_be_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

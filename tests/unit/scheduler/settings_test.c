#include "scheduler/settings.h"
#include "tests/test.h"

#include "base/err.h"

#include <string.h>
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

/* Settings from a command line, checked. */
static enum err check(int argc, const char *const *argv)
{
    struct settings settings = {0};
    enum conf_next next;
    int rest;
    char *words[16];
    for (int i = 0; i < argc; i++)
        words[i] = (char *)(uintptr_t)argv[i];
    enum err err = conf_load(&settings_table, &settings, argc, words, &rest, &next);
    if (!err) err = settings_check(&settings);
    conf_fini(&settings_table, &settings);
    return err;
}

static void sentinels_and_a_cluster_are_named_by_host_and_port_and_exclude_each_other(void **state)
{
    (void)state;
    const char *const good[] = {"s", "--redis-sentinel", "a:26379,[::1]:26380", "--redis-master",
                                "m"};
    assert_int_equal(check(5, good), ERR_OK);
    const char *const cluster[] = {"s", "--redis-cluster", "10.0.0.1:7000"};
    assert_int_equal(check(3, cluster), ERR_OK);
    const char *const both[] = {"s", "--redis-sentinel", "a:1", "--redis-cluster", "b:1"};
    assert_int_equal(check(5, both), ERR_INVALID);
    assert_non_null(strstr(err_text(), "only one"));
    const char *const portless[] = {"s", "--redis-cluster", "10.0.0.1"};
    assert_int_equal(check(3, portless), ERR_INVALID);
    assert_non_null(strstr(err_text(), "redis_cluster: '10.0.0.1'"));
    const char *const zero[] = {"s", "--redis-sentinel", "a:26379,b:0"};
    assert_int_equal(check(3, zero), ERR_INVALID);
    assert_non_null(strstr(err_text(), "redis_sentinel: 'b:0'"));
}

static void what_others_can_reach_has_keys_and_a_policy(void **state)
{
    (void)state;
    const char *const bare[] = {"s", "--listen", "0.0.0.0:0"};
    assert_int_equal(check(3, bare), ERR_INVALID);
    assert_non_null(strstr(err_text(), "`keys` must name a file"));
    const char *const ungoverned[] = {"s", "--listen", "0.0.0.0:0", "--keys", "k"};
    assert_int_equal(check(5, ungoverned), ERR_INVALID);
    assert_non_null(strstr(err_text(), "`policy` must name a folder"));
    const char *const unsigned_[] = {"s", "--listen", "0.0.0.0:0", "--keys", "k", "--policy", "p"};
    assert_int_equal(check(7, unsigned_), ERR_INVALID);
    assert_non_null(strstr(err_text(), "policy_keys: must name a file"));
    const char *const good[] = {"s",        "--listen", "0.0.0.0:0",     "--keys", "k",
                                "--policy", "p",        "--policy-keys", "q"};
    assert_int_equal(check(9, good), ERR_OK);
}

static void the_redis_of_an_index_is_its_own_and_has_a_place(void **state)
{
    (void)state;
    static const char *const bad[] = {"shop=h:1", "t:=h:1",   ":shop=h:1", "t:shop",
                                      "t:shop=",  "t:shop=h", "t=shop:1",  "t:shop=h:0"};
    struct settings_place place;
    assert_int_equal(settings_place(&place, "acme:shop=[::1]:6390"), ERR_OK);
    assert_string_equal(place.tenant, "acme");
    assert_string_equal(place.index, "shop");
    assert_string_equal(place.host, "::1");
    assert_int_equal(place.port, 6390);
    assert_int_equal(settings_place(&place, "acme:shop=/run/a=b:c.sock"), ERR_OK);
    assert_string_equal(place.host, "/run/a=b:c.sock");
    assert_int_equal(place.port, 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *const words[] = {"s", "--search-redisearch", bad[i]};
        assert_int_equal(check(3, words), ERR_INVALID);
        assert_non_null(strstr(err_text(), "search_redisearch"));
    }
    const char *const twice[] = {"s", "--search-redisearch", "t:a=h:1,t:b=h:1"};
    assert_int_equal(check(3, twice), ERR_INVALID);
    assert_non_null(strstr(err_text(), "'t:a' already"));
    const char *const apart[] = {"s", "--search-redisearch", "t:a=h:1,t:b=h:2"};
    assert_int_equal(check(3, apart), ERR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_many_clients_are_let_in_as_files_can_be_open),
        cmocka_unit_test(what_others_can_reach_has_keys_and_a_policy),
        cmocka_unit_test(sentinels_and_a_cluster_are_named_by_host_and_port_and_exclude_each_other),
        cmocka_unit_test(the_redis_of_an_index_is_its_own_and_has_a_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

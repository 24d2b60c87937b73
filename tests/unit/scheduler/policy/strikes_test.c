/* Strikes in a real Redis. */
#include "scheduler/policy/strikes.h"
#include "scheduler/state/store.h"
#include "tests/support/redis.h"
#include "tests/test.h"
#include "tests/unit/scheduler/state/store_loop.h"

#include <stdbool.h>
#include <string.h>

static struct test_redis redis;
static struct event_base *base;
static struct store *store;
static struct strikes *strikes;
static const unsigned char root[OWNER_ROOT_SIZE] = "the root of this test's names";
static const struct rules_filter rules = {
    .strikes = 3, .strike_seconds = 60, .suspend_seconds = 600};

static int set_up(void **state)
{
    (void)state;
    if (!store_loop_begin(&redis, &base, &store)) return 0;
    strikes = strikes_new(store, root);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    store_loop_end(base, store);
    strikes_free(strikes);
    if (base) test_redis_stop(&redis);
    return 0;
}

struct told {
    bool done;
    enum err err;
    uint64_t left_ms;
};

static void on_told(void *argument, enum err err, uint64_t left_ms)
{
    *(struct told *)argument = (struct told){.done = true, .err = err, .left_ms = left_ms};
}

static uint64_t left(const char *user, const char *key)
{
    struct told told = {0};
    struct strikes_who who = {.tenant = "shop", .user = user, .key = key};
    strikes_ask(strikes, &who, on_told, &told);
    store_loop_until(base, &told.done);
    assert_int_equal(told.err, ERR_OK);
    return told.left_ms;
}

static uint64_t strike(const char *user, const char *key, const struct rules_filter *by)
{
    struct told told = {0};
    struct strikes_who who = {.tenant = "shop", .user = user, .key = key};
    strikes_add(strikes, &who, by, on_told, &told);
    assert_false(told.done);
    store_loop_until(base, &told.done);
    assert_int_equal(told.err, ERR_OK);
    return told.left_ms;
}

static void as_many_as_the_rules_say_suspend(void **state)
{
    (void)state;
    if (!base) skip();
    assert_int_equal(strike("anna", "k1", &rules), 0);
    assert_int_equal(strike("anna", "k2", &rules), 0); // a user has them, whatever the key
    assert_int_equal(left("anna", "k1"), 0);
    assert_in_range(strike("anna", "k1", &rules), 500000, 600000); // less what has passed
    assert_in_range(left("anna", "k3"), 500000, 600000);
    assert_int_equal(left("ben", "k1"), 0);
    assert_int_equal(left("", "k1"), 0);
}

static void a_key_without_a_user_has_its_own(void **state)
{
    (void)state;
    if (!base) skip();
    struct rules_filter one = rules;
    one.strikes = 1;
    assert_in_range(strike("", "k9", &one), 500000, 600000);
    assert_in_range(left("", "k9"), 500000, 600000);
    assert_int_equal(left("", "k8"), 0);
    assert_int_equal(left("k9", "k8"), 0);
}

static void both_end_by_themselves(void **state)
{
    (void)state;
    if (!base) skip();
    struct rules_filter brief = {.strikes = 2, .strike_seconds = 1, .suspend_seconds = 1},
                        later = {.strikes = 2, .strike_seconds = 600, .suspend_seconds = 1};
    assert_int_equal(strike("cleo", "k", &brief), 0);
    usleep(1100000);
    assert_int_equal(strike("cleo", "k", &later), 0); // the first is forgotten
    assert_in_range(strike("cleo", "k", &later), 1, 1000);
    usleep(1100000);
    assert_int_equal(left("cleo", "k"), 0);
}

static void rules_without_strikes_suspend_nobody(void **state)
{
    (void)state;
    if (!base) skip();
    struct rules_filter none = {.strikes = 0, .strike_seconds = 60, .suspend_seconds = 60};
    for (int i = 0; i < 5; i++)
        assert_int_equal(strike("dora", "k", &none), 0);
    assert_int_equal(left("dora", "k"), 0);
}

static void nobody_is_let_in_while_redis_is_away(void **state)
{
    (void)state;
    if (!base) skip();
    struct told told = {0};
    struct strikes_who who = {.tenant = "shop", .user = "anna", .key = "k"};
    test_redis_stop(&redis);
    strikes_ask(strikes, &who, on_told, &told);
    store_loop_until(base, &told.done);
    assert_int_equal(told.err, ERR_STORE_AWAY);
    told = (struct told){0};
    strikes_drop(strikes_ask(strikes, &who, on_told, &told));
    assert_false(told.done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_many_as_the_rules_say_suspend),
        cmocka_unit_test(a_key_without_a_user_has_its_own),
        cmocka_unit_test(both_end_by_themselves),
        cmocka_unit_test(rules_without_strikes_suspend_nobody),
        cmocka_unit_test(nobody_is_let_in_while_redis_is_away),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* Agreements in a real Redis. */
#include "scheduler/policy/waivers.h"
#include "scheduler/state/store.h"
#include "tests/support/redis.h"
#include "tests/test.h"
#include "tests/unit/scheduler/state/store_loop.h"

#include <stdbool.h>
#include <string.h>

#define AGREEMENT "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct test_redis redis;
static struct event_base *base;
static struct store *store;
static struct waivers *waivers;
static const unsigned char root[OWNER_ROOT_SIZE] = "the root of this test's names";

static int set_up(void **state)
{
    (void)state;
    if (!store_loop_begin(&redis, &base, &store)) return 0;
    waivers = waivers_new(store, root);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    store_loop_end(base, store);
    waivers_free(waivers);
    if (base) test_redis_stop(&redis);
    return 0;
}

struct told {
    bool done;
    enum err err;
    char agreement[WAIVERS_AGREEMENT_SIZE];
};

static void on_told(void *argument, enum err err, const char *agreement)
{
    struct told *told = argument;
    told->done = true;
    told->err = err;
    snprintf(told->agreement, sizeof told->agreement, "%s", agreement);
}

static void then_agreed(const char *tenant, const char *user, const char *agreement)
{
    struct told told = {0};
    waivers_ask(waivers, tenant, user, on_told, &told);
    store_loop_until(base, &told.done);
    assert_int_equal(told.err, ERR_OK);
    assert_string_equal(told.agreement, agreement);
}

static void put(const char *user, uint32_t days, const char *holds)
{
    struct told told = {0};
    waivers_put(waivers, "shop", user, AGREEMENT, days, on_told, &told);
    store_loop_until(base, &told.done);
    assert_int_equal(told.err, ERR_OK);
    assert_string_equal(told.agreement, holds);
}

static void an_agreement_is_its_users_until_it_ends(void **state)
{
    (void)state;
    if (!base) skip();
    then_agreed("shop", "ann", "");
    put("ann", 30, AGREEMENT);
    then_agreed("shop", "ann", AGREEMENT);
    then_agreed("shop", "bob", "");
    then_agreed("else", "ann", "");
    put("ann", 0, "");
    then_agreed("shop", "ann", "");
}

static void one_that_nobody_waits_for_is_put_all_the_same(void **state)
{
    (void)state;
    if (!base) skip();
    struct told told = {0};
    waivers_drop(waivers_put(waivers, "shop", "cid", AGREEMENT, 1, on_told, &told));
    then_agreed("shop", "cid", AGREEMENT);
    assert_false(told.done);
}

/* Somebody who can write to Redis puts this in the place of the one `value` that is there. */
static void forge(const char *with)
{
    char script[512];
    snprintf(script, sizeof script,
             "local has = redis.call('KEYS', 'qiao:*:waiver') "
             "for _, key in ipairs(has) do local value = redis.call('GET', key) "
             "redis.call('SET', key, %s) end return #has",
             with);
    assert_int_equal(store_loop_ask(base, store, "EVAL", script, "0", NULL).integer, 1);
}

static void then_none_that_holds(void)
{
    struct told told = {0};
    waivers_ask(waivers, "shop", "dan", on_told, &told);
    store_loop_until(base, &told.done);
    assert_int_equal(told.err, ERR_INTERNAL);
    assert_string_equal(told.agreement, "");
}

static void what_somebody_wrote_into_redis_is_no_agreement(void **state)
{
    (void)state;
    if (!base) skip();
    (void)store_loop_ask(base, store, "FLUSHALL", NULL);
    put("dan", 30, AGREEMENT);
    forge("'" AGREEMENT "'");
    then_none_that_holds();
    put("dan", 30, AGREEMENT);
    forge("(string.gsub(value, ' (%d)', ' 9%1', 1))"); // it is to last longer
    then_none_that_holds();
    put("dan", 30, AGREEMENT);
    forge("'f' .. string.sub(value, 2)"); // it is another document
    then_none_that_holds();
    put("dan", 30, AGREEMENT);
    then_agreed("shop", "dan", AGREEMENT);
}

static void an_agreement_is_a_sha_256(void **state)
{
    (void)state;
    assert_true(waivers_is_agreement(AGREEMENT));
    assert_false(waivers_is_agreement(""));
    assert_false(waivers_is_agreement(AGREEMENT "0"));
    assert_false(
        waivers_is_agreement("0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_agreement_is_its_users_until_it_ends),
        cmocka_unit_test(one_that_nobody_waits_for_is_put_all_the_same),
        cmocka_unit_test(what_somebody_wrote_into_redis_is_no_agreement),
        cmocka_unit_test(an_agreement_is_a_sha_256),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* Consents in a real Redis. */
#include "scheduler/features/consent.h"
#include "scheduler/state/store.h"
#include "tests/support/redis.h"
#include "tests/test.h"
#include "tests/unit/scheduler/state/store_loop.h"

#include <stdbool.h>
#include <string.h>

static struct test_redis redis;
static struct event_base *base;
static struct store *store;
static struct consents *consents;
static const unsigned char root[OWNER_ROOT_SIZE] = "the root of this test's names";

static int set_up(void **state)
{
    (void)state;
    if (!store_loop_begin(&redis, &base, &store)) return 0;
    consents = consents_new(store, root);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    store_loop_end(base, store);
    consents_free(consents);
    if (base) test_redis_stop(&redis);
    return 0;
}

struct told {
    bool done;
    enum err err;
    struct consent_state state;
};

static void on_told(void *argument, enum err err, const struct consent_state *state)
{
    struct told *told = argument;
    told->done = true;
    told->err = err;
    if (state) told->state = *state;
}

static struct told change(const char *user, const struct consent_change *change)
{
    struct told told = {0};
    consent_change(consents, "shop", user, change, on_told, &told);
    assert_false(told.done);
    store_loop_until(base, &told.done);
    return told;
}

static struct told look(const char *user)
{
    struct told told = {0};
    consent_read(consents, "shop", user, on_told, &told);
    store_loop_until(base, &told.done);
    return told;
}

static const char *key_of(const char *user, const char *what)
{
    static char key[128];
    char owner[OWNER_TEXT_SIZE];
    owner_write(owner, consents_owner_key(consents), "shop", user);
    snprintf(key, sizeof key, "qiao:{u:%s}:%s", owner, what);
    return key;
}

static long long exists(const char *key)
{
    return store_loop_ask(base, store, "EXISTS", key, NULL).integer;
}

static void nothing_is_agreed_to_until_the_user_says_so(void **state)
{
    (void)state;
    if (!base) skip();
    struct told told = look("ann");
    assert_int_equal(told.err, ERR_OK);
    assert_true(told.state.personalization);
    for (int purpose = 0; purpose < CONSENT_PURPOSES; purpose++)
        assert_false(consent_holds(&told.state, purpose));

    told = change("ann", &(struct consent_change){.purposes = {[CONSENT_HISTORY] = CONSENT_GIVE}});
    assert_true(consent_holds(&told.state, CONSENT_HISTORY));
    assert_false(consent_holds(&told.state, CONSENT_SEARCH));
    int64_t since_ms = told.state.since_ms[CONSENT_HISTORY];
    assert_true(since_ms > 1000000000000);
    store_loop_run(base, 5);
    told = change("ann", &(struct consent_change){.purposes = {CONSENT_GIVE, CONSENT_GIVE}});
    assert_true(told.state.since_ms[CONSENT_HISTORY] == since_ms); // it was given then
    assert_true(consent_holds(&told.state, CONSENT_RECOMMENDATIONS));
    told = look("bob");
    assert_false(consent_holds(&told.state, CONSENT_HISTORY));
}

static void the_switch_beats_every_purpose_and_deletes_nothing(void **state)
{
    (void)state;
    if (!base) skip();
    change("cid", &(struct consent_change){.purposes = {CONSENT_GIVE, CONSENT_GIVE}});
    store_loop_ask(base, store, "LPUSH", key_of("cid", "events"), "x", NULL);
    struct told told = change("cid", &(struct consent_change){.personalization = CONSENT_WITHDRAW});
    assert_false(told.state.personalization);
    assert_false(consent_holds(&told.state, CONSENT_HISTORY));
    assert_true(told.state.since_ms[CONSENT_HISTORY] > 0);
    assert_int_equal(exists(key_of("cid", "events")), 1);
    told = change("cid", &(struct consent_change){.personalization = CONSENT_GIVE});
    assert_true(consent_holds(&told.state, CONSENT_HISTORY));
}

static void a_consent_that_is_withdrawn_takes_its_events_and_no_others(void **state)
{
    (void)state;
    if (!base) skip();
    struct consent_change give = {.purposes = {CONSENT_GIVE},
                                  .partners = {{"pay", CONSENT_GIVE, "p-17"}},
                                  .partner_count = 1};
    struct told told = change("dan", &give);
    assert_int_equal(told.state.partner_count, 1);
    assert_string_equal(told.state.partners[0].source, "pay");
    static const char *const keys[] = {"events", "event_ids", "events:pay", "event_ids:pay"};
    for (size_t i = 0; i < 4; i++)
        store_loop_ask(base, store, "LPUSH", key_of("dan", keys[i]), "x", NULL);

    char link[CONSENT_KEY_SIZE];
    consent_link_key(consents, "shop", "pay", "p-17", link);
    char owner[OWNER_TEXT_SIZE];
    owner_write(owner, consents_owner_key(consents), "shop", "dan");
    assert_string_equal(store_loop_ask(base, store, "GET", link, NULL).text, owner);

    told = change("dan", &(struct consent_change){.partners = {{"pay", CONSENT_WITHDRAW, NULL}},
                                                  .partner_count = 1});
    assert_int_equal(told.state.partner_count, 0);
    assert_int_equal(exists(key_of("dan", "events:pay")), 0);
    assert_int_equal(exists(key_of("dan", "event_ids:pay")), 0);
    assert_int_equal(exists(key_of("dan", "events")), 1);
    assert_int_equal(exists(link), 0);

    change("dan", &(struct consent_change){.purposes = {CONSENT_WITHDRAW}});
    assert_int_equal(exists(key_of("dan", "events")), 0);
    assert_int_equal(exists(key_of("dan", "event_ids")), 0);
}

static void a_pseudonym_leads_to_one_user_and_differs_from_source_to_source(void **state)
{
    (void)state;
    if (!base) skip();
    struct consent_change give = {.partners = {{"pay", CONSENT_GIVE, "p-1"}}, .partner_count = 1};
    char link[CONSENT_KEY_SIZE], other[CONSENT_KEY_SIZE];
    consent_link_key(consents, "shop", "pay", "p-1", link);
    consent_link_key(consents, "shop", "maps", "p-1", other);
    assert_string_not_equal(link, other);
    assert_null(strstr(link, "p-1"));
    change("eve", &give);
    change("fay", &give); // it is hers now
    change("eve", &(struct consent_change){.partners = {{"pay", CONSENT_WITHDRAW, NULL}},
                                           .partner_count = 1});
    assert_int_equal(exists(link), 1);
    give.partners[0].pseudonym = "p-2"; // the old name leads nowhere now
    change("fay", &give);
    assert_int_equal(exists(link), 0);
}

static void partners_are_counted(void **state)
{
    (void)state;
    if (!base) skip();
    static char sources[CONSENT_PARTNERS_MAX + 1][8];
    struct consent_change give = {.partner_count = 1};
    for (size_t i = 0; i <= CONSENT_PARTNERS_MAX; i++) {
        snprintf(sources[i], sizeof sources[i], "s%zu", i);
        give.partners[0].source = sources[i];
        give.partners[0].wish = CONSENT_GIVE;
        give.partners[0].pseudonym = "x";
        assert_int_equal(change("gus", &give).err,
                         i < CONSENT_PARTNERS_MAX ? ERR_OK : ERR_TOO_LARGE);
    }
    assert_int_equal(look("gus").state.partner_count, CONSENT_PARTNERS_MAX);
}

/* Last: Redis is gone then. */
static void without_redis_nobody_has_agreed_to_anything(void **state)
{
    (void)state;
    if (!base) skip();
    test_redis_kill(&redis);
    store_loop_until_up(base, store, false);
    assert_int_equal(look("ann").err, ERR_STORE_AWAY);
    struct consent_change give = {.partners = {{"pay", CONSENT_GIVE, "p-1"}}, .partner_count = 1};
    assert_int_equal(change("ann", &give).err, ERR_STORE_AWAY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_agreed_to_until_the_user_says_so),
        cmocka_unit_test(the_switch_beats_every_purpose_and_deletes_nothing),
        cmocka_unit_test(a_consent_that_is_withdrawn_takes_its_events_and_no_others),
        cmocka_unit_test(a_pseudonym_leads_to_one_user_and_differs_from_source_to_source),
        cmocka_unit_test(partners_are_counted),
        cmocka_unit_test(without_redis_nobody_has_agreed_to_anything),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* Events, histories and what is popular, in a real Redis. */
#include "scheduler/features/consent.h"
#include "scheduler/features/events.h"
#include "scheduler/features/history.h"
#include "scheduler/features/home.h"
#include "scheduler/features/popular.h"
#include "scheduler/state/keyring.h"
#include "scheduler/state/store.h"
#include "tests/support/redis.h"
#include "tests/test.h"
#include "tests/unit/scheduler/state/store_loop.h"

#include "base/clock.h"

#include <stdbool.h>
#include <string.h>

static struct test_redis redis;
static struct event_base *base;
static struct store *store;
static struct consents *consents;
static struct events *events;
static struct histories *histories;
static struct popular *popular;
static struct keyring keys;
static const unsigned char root[OWNER_ROOT_SIZE] = "the root of this test's names";
static const int64_t now_ms = INT64_C(1790000000000);

static int set_up(void **state)
{
    (void)state;
    if (!store_loop_begin(&redis, &base, &store)) return 0;
    consents = consents_new(store, root);
    keyring_make(&keys);
    events = events_new(store, &keys, 3600);
    histories = histories_new(store, consents_owner_key(consents), &keys, NULL);
    popular = popular_new(store);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    store_loop_end(base, store);
    consents_free(consents);
    events_free(events);
    histories_free(histories);
    popular_free(popular);
    if (base) test_redis_stop(&redis);
    return 0;
}

struct told {
    bool done, allowed;
    enum err err;
    size_t count, withheld;
    char items[1024]; // and one space behind each
};

static void on_changed(void *argument, enum err err, const struct consent_state *state)
{
    struct told *told = argument;
    (void)state;
    told->done = true;
    assert_int_equal(err, ERR_OK);
}

static void agree(const char *user, const struct consent_change *change)
{
    struct told told = {0};
    consent_change(consents, "shop", user, change, on_changed, &told);
    store_loop_until(base, &told.done);
}

static const struct consent_change all = {
    .purposes = {CONSENT_GIVE, CONSENT_GIVE, CONSENT_GIVE, CONSENT_GIVE}};

static void on_stored(void *argument, enum err err)
{
    struct told *told = argument;
    told->done = true;
    told->err = err;
}

static unsigned char fates[EVENTS_CALL_MAX];

static const char *owner_of(const char *user)
{
    static char owner[OWNER_TEXT_SIZE];
    owner_write(owner, consents_owner_key(consents), "shop", user);
    return owner;
}

static enum err put_in(const char *region, const char *user, const char *source,
                       const struct event *list, size_t count)
{
    struct told told = {0};
    struct event_batch batch = {.tenant = "shop",
                                .owner = owner_of(user),
                                .source = source,
                                .region = region,
                                .events = list,
                                .count = count,
                                .fates = fates};
    events_store(events, &batch, on_stored, &told);
    assert_false(told.done);
    store_loop_until(base, &told.done);
    return told.err;
}

static enum err put(const char *user, const char *source, const struct event *list, size_t count)
{
    return put_in(NULL, user, source, list, count);
}

static void on_history(void *argument, enum err err, const struct history *history)
{
    struct told *told = argument;
    told->done = true;
    told->err = err;
    if (err) return;
    told->allowed = history->allowed;
    told->count = history->count;
    told->withheld = history->withheld;
    for (size_t i = 0; i < history->count; i++) {
        size_t used = strlen(told->items);
        snprintf(told->items + used, sizeof told->items - used, "%s ",
                 history->events[i].item ? history->events[i].item : history->events[i].query);
    }
}

static struct told look_from(const struct history_scope *scope, const char *user,
                             enum consent_purpose purpose)
{
    struct told told = {0};
    history_read(histories, "shop", user, purpose, scope, on_history, &told);
    store_loop_until(base, &told.done);
    return told;
}

static struct told look(const char *user, enum consent_purpose purpose)
{
    return look_from(&history_everything, user, purpose);
}

static void nothing_is_kept_without_consent(void **state)
{
    (void)state;
    if (!base) skip();
    struct event event = {.id = "e1", .type = EVENT_VIEW, .item = "a", .time_ms = now_ms};
    assert_int_equal(put("ann", "", &event, 1), ERR_OK);
    assert_int_equal(fates[0], EVENT_REFUSED);
    agree("ann", &all);
    put("ann", "", &event, 1);
    assert_int_equal(fates[0], EVENT_STORED);
    agree("ann", &(struct consent_change){.personalization = CONSENT_WITHDRAW});
    event.id = "e2";
    put("ann", "", &event, 1);
    assert_int_equal(fates[0], EVENT_REFUSED);
}

static void an_event_is_stored_once_however_often_it_comes(void **state)
{
    (void)state;
    if (!base) skip();
    struct event list[3] = {
        {.id = "e1", .type = EVENT_VIEW, .item = "a", .time_ms = now_ms, .session = "s"},
        {.id = "e1", .type = EVENT_VIEW, .item = "a", .time_ms = now_ms},
        {.id = "e2",
         .type = EVENT_SEARCH,
         .time_ms = now_ms + 1,
         .properties = "{\"query\":\"q\"}"}};
    agree("bob", &all);
    put("bob", "", list, 3);
    assert_int_equal(fates[0], EVENT_STORED);
    assert_int_equal(fates[1], EVENT_REPEATED);
    assert_int_equal(fates[2], EVENT_STORED);
    put("bob", "", list, 3);
    assert_int_equal(fates[0], EVENT_REPEATED);
    assert_int_equal(fates[2], EVENT_REPEATED);
    struct told told = look("bob", CONSENT_RECOMMENDATIONS);
    assert_string_equal(told.items, "a q ");
    list[0].id = NULL; // like no other
    put("bob", "", list, 1);
    put("bob", "", list, 1);
    assert_int_equal(fates[0], EVENT_STORED);
    told = look("bob", CONSENT_RECOMMENDATIONS);
    assert_string_equal(told.items, "a a a q ");
}

static void a_history_is_in_the_order_of_times_and_has_the_latest(void **state)
{
    (void)state;
    if (!base) skip();
    static struct event list[300];
    static char items[300][8];
    agree("cid", &all);
    for (size_t i = 0; i < 300; i++) {
        snprintf(items[i], sizeof items[i], "i%zu", i);
        list[i] = (struct event){
            .id = items[i], .type = EVENT_VIEW, .item = items[i], .time_ms = now_ms + (int64_t)i};
    }
    put("cid", "", list, 300);
    struct told told = look("cid", CONSENT_SEARCH);
    assert_int_equal(told.count, EVENTS_KEPT);
    assert_memory_equal(told.items, "i100 i101 ", 10);
    struct event late = {.id = "late", .type = EVENT_CART, .item = "old", .time_ms = now_ms - 5};
    put("cid", "", &late, 1);
    told = look("cid", CONSENT_SEARCH);
    assert_memory_equal(told.items, "old i101 ", 9);
}

static void without_consent_the_history_is_not_even_read(void **state)
{
    (void)state;
    if (!base) skip();
    char key[CONSENT_KEY_SIZE];
    agree("dan",
          &(struct consent_change){
              .purposes = {[CONSENT_HISTORY] = CONSENT_GIVE, [CONSENT_SEARCH] = CONSENT_GIVE}});
    snprintf(key, sizeof key, "qiao:{u:%s}:events", owner_of("dan"));
    // who reads a text as a list gets an error
    store_loop_ask(base, store, "SET", key, "not a list", NULL);
    assert_int_equal(look("dan", CONSENT_SEARCH).err, ERR_INTERNAL);
    struct told told = look("dan", CONSENT_RECOMMENDATIONS);
    assert_int_equal(told.err, ERR_OK);
    assert_false(told.allowed);
    agree("dan", &(struct consent_change){.personalization = CONSENT_WITHDRAW});
    told = look("dan", CONSENT_SEARCH);
    assert_int_equal(told.err, ERR_OK);
    assert_false(told.allowed);
}

static void a_partners_events_are_its_own_and_go_with_its_consent(void **state)
{
    (void)state;
    if (!base) skip();
    struct event own = {.id = "e", .type = EVENT_VIEW, .item = "own", .time_ms = now_ms + 2};
    struct event theirs = {.id = "e", .type = EVENT_PURCHASE, .item = "theirs", .time_ms = now_ms};
    struct consent_change partner = {.partners = {{"pay", CONSENT_GIVE, "p1"}}, .partner_count = 1};
    agree("eve", &all);
    put("eve", "pay", &theirs, 1);
    assert_int_equal(fates[0], EVENT_REFUSED);
    agree("eve", &partner);
    put("eve", "pay", &theirs, 1);
    assert_int_equal(fates[0], EVENT_STORED);
    put("eve", "", &own, 1);
    assert_int_equal(fates[0], EVENT_STORED); // the same id of another source
    struct told told = look("eve", CONSENT_RECOMMENDATIONS);
    assert_string_equal(told.items, "theirs own ");
    agree("eve", &(struct consent_change){.purposes = {CONSENT_WITHDRAW}});
    told = look("eve", CONSENT_RECOMMENDATIONS);
    assert_string_equal(told.items, "theirs ");
    partner.partners[0].wish = CONSENT_WITHDRAW;
    agree("eve", &partner);
    told = look("eve", CONSENT_RECOMMENDATIONS);
    assert_true(told.allowed);
    assert_string_equal(told.items, "");
}

static void on_popular(void *argument, enum err err, const char *const *items, size_t count)
{
    struct told *told = argument;
    told->done = true;
    assert_int_equal(err, ERR_OK);
    for (size_t i = 0; i < count; i++) {
        size_t used = strlen(told->items);
        snprintf(told->items + used, sizeof told->items - used, "%s ", items[i]);
    }
}

static void the_popular_are_a_regions_own_and_the_past_weighs_less(void **state)
{
    (void)state;
    if (!base) skip();
    struct event bought = {.type = EVENT_PURCHASE, .item = "old", .time_ms = now_ms};
    struct event seen = {
        .type = EVENT_VIEW, .item = "new", .time_ms = now_ms + 4 * POPULAR_HALF_LIFE_MS};
    struct event there = {.type = EVENT_CART, .item = "there", .time_ms = now_ms};
    const struct event *here_list[] = {&bought, &seen}, *there_list[] = {&there};
    assert_true(popular_weight(EVENT_VIEW, now_ms + POPULAR_HALF_LIFE_MS) ==
                2 * popular_weight(EVENT_VIEW, now_ms));
    popular_add(popular, "shop", "cn", here_list, 2);
    popular_add(popular, "shop", "us", there_list, 1);
    struct told told = {0};
    popular_read(popular, "shop", "cn", 10, on_popular, &told);
    store_loop_until(base, &told.done);
    assert_string_equal(told.items, "new old ");
    told = (struct told){0};
    popular_read(popular, "shop", "", 2, on_popular, &told);
    store_loop_until(base, &told.done);
    assert_string_equal(told.items, "new old ");
}

/* Another scheduler, with its own idea of the master keys. */
static struct told look_with(const struct keyring *ring, const char *user)
{
    struct told told = {0};
    struct histories *other = histories_new(store, consents_owner_key(consents), ring, NULL);
    history_read(other, "shop", user, CONSENT_SEARCH, &history_everything, on_history, &told);
    store_loop_until(base, &told.done);
    histories_free(other);
    return told;
}

static void redis_cannot_read_what_a_user_saw(void **state)
{
    (void)state;
    if (!base) skip();
    char key[CONSENT_KEY_SIZE];
    struct event event = {.id = "order-7", .type = EVENT_PURCHASE, .item = "umbrella"};
    event.time_ms = now_ms;
    agree("fay", &all);
    put("fay", "", &event, 1);
    snprintf(key, sizeof key, "qiao:{u:%s}:events", owner_of("fay"));
    struct store_answer clear =
        store_loop_ask(base, store, "EVAL",
                       "local record = redis.call('LINDEX', KEYS[1], 0)\n"
                       "return string.sub(record, 1, 4) == 'QSV1' and "
                       "(string.find(record, 'umbrella', 1, true) or 0) or -1",
                       "1", key, NULL);
    assert_int_equal(clear.err, ERR_OK);
    assert_int_equal(clear.integer, 0);
    // another user's name on it, and it does not open
    char other[CONSENT_KEY_SIZE];
    agree("gus", &all);
    snprintf(other, sizeof other, "qiao:{u:%s}:events", owner_of("gus"));
    store_loop_ask(base, store, "RENAME", key, other, NULL);
    snprintf(key, sizeof key, "qiao:{u:%s}:event_key", owner_of("fay"));
    snprintf(other, sizeof other, "qiao:{u:%s}:event_key", owner_of("gus"));
    store_loop_ask(base, store, "RENAME", key, other, NULL);
    assert_int_equal(look("gus", CONSENT_SEARCH).err, ERR_INTERNAL);
}

static void events_of_earlier_versions_are_read_and_sealed_by_the_next(void **state)
{
    (void)state;
    if (!base) skip();
    char key[CONSENT_KEY_SIZE];
    struct event event = {.id = "n", .type = EVENT_VIEW, .item = "new", .time_ms = now_ms + 1};
    agree("hal", &all);
    snprintf(key, sizeof key, "qiao:{u:%s}:events", owner_of("hal"));
    store_loop_ask(base, store, "LPUSH", key, "{\"t\":1790000000000,\"y\":\"view\",\"i\":\"old\"}",
                   NULL);
    assert_string_equal(look("hal", CONSENT_SEARCH).items, "old ");
    put("hal", "", &event, 1);
    assert_string_equal(look("hal", CONSENT_SEARCH).items, "old new ");
    // and are sealed with the first of them
    struct store_answer last = store_loop_ask(base, store, "LINDEX", key, "1", NULL);
    assert_memory_equal(last.text, "QSV1", 4);
    store_loop_ask(base, store, "RPUSH", key, "{\"t\":1,\"y\":\"cart\",\"i\":\"older\"}", NULL);
    assert_string_equal(look("hal", CONSENT_SEARCH).items, "older old new ");
}

static void a_newer_master_key_takes_over_with_the_next_event(void **state)
{
    (void)state;
    if (!base) skip();
    struct event event = {.id = "1", .type = EVENT_VIEW, .item = "a", .time_ms = now_ms};
    struct keyring both = keys, newest;
    agree("ida", &all);
    put("ida", "", &event, 1);
    both.keys[1] = keys.keys[0];
    both.keys[0].id = 9;
    memset(both.keys[0].secret, 9, sizeof both.keys[0].secret);
    both.count = 2;
    newest = both;
    newest.count = 1;
    assert_string_equal(look_with(&both, "ida").items, "a ");
    assert_int_equal(look_with(&newest, "ida").err, ERR_INTERNAL);
    assert_non_null(strstr(err_text(), "master key 1, which is not in the session key file"));
    struct events *here = events, *there = events_new(store, &both, 3600);
    events = there;
    event.id = "2";
    event.item = "b";
    put("ida", "", &event, 1);
    events = here;
    events_free(there);
    event.time_ms++;
    assert_string_equal(look_with(&newest, "ida").items, "a b ");
    // and the one that knows but the older key is told, and says so
    event.id = "3";
    assert_int_equal(put("ida", "", &event, 1), ERR_INTERNAL);
}

static void a_withdrawn_history_takes_its_key_with_it(void **state)
{
    (void)state;
    if (!base) skip();
    struct event event = {.id = "1", .type = EVENT_VIEW, .item = "a", .time_ms = now_ms};
    char key[CONSENT_KEY_SIZE];
    agree("joe", &all);
    put("joe", "", &event, 1);
    snprintf(key, sizeof key, "qiao:{u:%s}:event_key", owner_of("joe"));
    assert_int_equal(store_loop_ask(base, store, "EXISTS", key, NULL).integer, 1);
    agree("joe", &(struct consent_change){.purposes = {CONSENT_WITHDRAW}});
    assert_int_equal(store_loop_ask(base, store, "EXISTS", key, NULL).integer, 0);
    agree("joe", &all);
    put("joe", "", &event, 1); // this scheduler remembers the old key
    assert_int_equal(fates[0], EVENT_STORED);
    assert_string_equal(look("joe", CONSENT_SEARCH).items, "a ");
}

static void a_history_may_be_kept_shorter_than_it_is_set(void **state)
{
    (void)state;
    if (!base) skip();
    struct told told = {0};
    const struct event event = {.type = EVENT_VIEW, .item = "lamp", .time_ms = now_ms};
    struct event_batch batch = {.tenant = "shop",
                                .owner = owner_of("shortly"),
                                .source = "",
                                .events = &event,
                                .count = 1,
                                .keep_seconds = 20,
                                .fates = fates};
    char key[96];
    agree("shortly", &all);
    events_store(events, &batch, on_stored, &told);
    store_loop_until(base, &told.done);
    assert_int_equal(fates[0], EVENT_STORED);
    for (int i = 0; i < 3; i++) {
        static const char *const kinds[] = {"events", "event_ids", "event_key"};
        snprintf(key, sizeof key, "qiao:{u:%s}:%s", owner_of("shortly"), kinds[i]);
        struct store_answer answer = store_loop_ask(base, store, "TTL", key, NULL);
        assert_in_range(answer.integer, 15, 20);
    }
}

/* Each event ends by itself, also where later ones keep the history alive. */
static void an_event_goes_when_its_time_is_over(void **state)
{
    (void)state;
    if (!base) skip();
    struct event event = {.type = EVENT_VIEW, .item = "first", .time_ms = now_ms};
    struct event_batch batch = {.tenant = "shop",
                                .owner = owner_of("brief"),
                                .source = "",
                                .events = &event,
                                .count = 1,
                                .fates = fates};
    struct told told = {0};
    agree("brief", &all);
    events_store(events, &batch, on_stored, &told);
    store_loop_until(base, &told.done);
    store_loop_run(base, 5200);
    event.item = "second";
    batch.keep_seconds = 5;
    told = (struct told){0};
    batch.owner = owner_of("brief");
    events_store(events, &batch, on_stored, &told);
    store_loop_until(base, &told.done);
    told = (struct told){0};
    history_read(histories, "shop", "brief", CONSENT_HISTORY, &history_everything, on_history,
                 &told);
    store_loop_until(base, &told.done);
    assert_string_equal(told.items, "second ");
}

static const struct consent_change all_and_pay = {
    .purposes = {CONSENT_GIVE, CONSENT_GIVE, CONSENT_GIVE, CONSENT_GIVE},
    .partners = {{"pay", CONSENT_GIVE, "p-17"}},
    .partner_count = 1};

/* How many keys there are of the user's events. */
static long long lists_of(const char *user)
{
    char pattern[CONSENT_KEY_SIZE];
    snprintf(pattern, sizeof pattern, "qiao:{u:%s}:event*", owner_of(user));
    return store_loop_ask(base, store, "EVAL", "return #redis.call('KEYS', KEYS[1])", "1", pattern,
                          NULL)
        .integer;
}

/* A region's events are a list of their own: who may not use them reads nothing of it. */
static void events_stay_with_their_region(void **state)
{
    (void)state;
    if (!base) skip();
    struct event here = {.id = "1", .type = EVENT_VIEW, .item = "here", .time_ms = now_ms};
    struct event there = {.id = "1", .type = EVENT_VIEW, .item = "there", .time_ms = now_ms + 1};
    struct event paid = {.id = "1", .type = EVENT_PURCHASE, .item = "paid", .time_ms = now_ms + 2};
    struct event old = {.id = "1", .type = EVENT_VIEW, .item = "old", .time_ms = now_ms - 1};
    const struct history_scope aa = {.regions = {"aa"}, .count = 1},
                               both = {.regions = {"aa", "bb"}, .count = 2},
                               none = {.homeless = true}, nothing = {0};
    agree("rob", &all_and_pay);
    put_in("aa", "rob", "", &here, 1);
    put_in("bb", "rob", "", &there, 1);
    assert_int_equal(fates[0], EVENT_STORED); // an id is of one region
    put_in("bb", "rob", "pay", &paid, 1);
    put("rob", "", &old, 1);
    assert_string_equal(look_from(&aa, "rob", CONSENT_SEARCH).items, "here ");
    assert_int_equal(look_from(&aa, "rob", CONSENT_SEARCH).withheld, 3);
    assert_string_equal(look_from(&both, "rob", CONSENT_SEARCH).items, "here there paid ");
    assert_string_equal(look_from(&none, "rob", CONSENT_SEARCH).items, "old ");
    assert_string_equal(look_from(&nothing, "rob", CONSENT_SEARCH).items, "");
    assert_int_equal(look_from(&nothing, "rob", CONSENT_SEARCH).withheld, 4);
    assert_string_equal(look("rob", CONSENT_SEARCH).items, "old here there paid ");
    assert_int_equal(look("rob", CONSENT_SEARCH).withheld, 0);
    // A withdrawal is of all regions.
    assert_int_equal(lists_of("rob"), 4 * 3 + 1);
    agree("rob", &(struct consent_change){.partners = {{"pay", CONSENT_WITHDRAW, NULL}},
                                          .partner_count = 1});
    assert_int_equal(lists_of("rob"), 3 * 3 + 1);
    agree("rob", &(struct consent_change){.purposes = {CONSENT_WITHDRAW}});
    assert_int_equal(lists_of("rob"), 0);
}

/* Redis does not tell the region, nor who shares it; a list that is moved to another region does not open. */
static void redis_cannot_tell_the_region(void **state)
{
    (void)state;
    if (!base) skip();
    char one[HOME_SIZE], other[HOME_SIZE], from[160], to[160];
    struct event event = {.id = "1", .type = EVENT_VIEW, .item = "here", .time_ms = now_ms};
    home_write(one, &keys, owner_of("sam"), "aa");
    home_write(other, &keys, owner_of("tim"), "aa");
    assert_string_not_equal(one, other);
    home_write(other, &keys, owner_of("sam"), "bb");
    assert_string_not_equal(one, other);
    agree("sam", &all);
    put_in("aa", "sam", "", &event, 1);
    static const char *const kinds[] = {"events", "event_key"};
    for (int i = 0; i < 2; i++) {
        snprintf(from, sizeof from, "qiao:{u:%s}:%s%s", owner_of("sam"), kinds[i], one);
        snprintf(to, sizeof to, "qiao:{u:%s}:%s%s", owner_of("sam"), kinds[i], other);
        assert_string_equal(store_loop_ask(base, store, "RENAME", from, to, NULL).text, "OK");
    }
    snprintf(from, sizeof from, "qiao:{u:%s}:event_homes", owner_of("sam"));
    store_loop_ask(base, store, "HSET", from, other, "3600", NULL);
    const struct history_scope bb = {.regions = {"bb"}, .count = 1};
    assert_int_equal(look_from(&bb, "sam", CONSENT_SEARCH).err, ERR_INTERNAL);
}

/* A scheduler of an earlier version withdraws, and knows nothing of regions. */
static void what_came_with_an_older_consent_does_not_come_back(void **state)
{
    (void)state;
    if (!base) skip();
    char key[CONSENT_KEY_SIZE];
    struct event event = {.id = "1", .type = EVENT_VIEW, .item = "old", .time_ms = now_ms};
    agree("vic", &all);
    put_in("aa", "vic", "", &event, 1);
    put_in("bb", "vic", "", &event, 1);
    snprintf(key, sizeof key, "qiao:{u:%s}:consent", owner_of("vic"));
    store_loop_ask(base, store, "DEL", key, NULL);
    store_loop_run(base, 5);
    agree("vic", &all);
    event.item = "new";
    put_in("aa", "vic", "", &event, 1);
    assert_int_equal(fates[0], EVENT_STORED); // under its old id
    assert_string_equal(look("vic", CONSENT_SEARCH).items, "new ");
    assert_int_equal(lists_of("vic"), 3 + 1); // bb's are gone
}

/* Lists are bounded; one that has ended makes room. */
static void a_user_has_events_of_so_many_regions(void **state)
{
    (void)state;
    if (!base) skip();
    char region[16], home[HOME_SIZE], key[160];
    struct event event = {.id = "1", .type = EVENT_VIEW, .item = "a", .time_ms = now_ms};
    agree("wim", &all);
    for (int i = 0; i < HOMES_MAX; i++) {
        snprintf(region, sizeof region, "r%d", i);
        put_in(region, "wim", "", &event, 1);
        assert_int_equal(fates[0], EVENT_STORED);
    }
    assert_int_equal(put_in("more", "wim", "", &event, 1), ERR_OK);
    assert_int_equal(fates[0], EVENT_CROWDED);
    put_in("r7", "wim", "", &event, 1);
    assert_int_equal(fates[0], EVENT_REPEATED);
    assert_int_equal(look("wim", CONSENT_SEARCH).count, HOMES_MAX);
    home_write(home, &keys, owner_of("wim"), "r3");
    snprintf(key, sizeof key, "qiao:{u:%s}:events%s", owner_of("wim"), home);
    store_loop_ask(base, store, "DEL", key, NULL);
    put_in("more", "wim", "", &event, 1);
    assert_int_equal(fates[0], EVENT_STORED);
}

/* What is over is not read, though nothing came since. */
static void an_event_that_is_over_is_not_read(void **state)
{
    (void)state;
    if (!base) skip();
    static const char age[] = "local first = redis.call('ZRANGE', KEYS[1], 0, 0)\n"
                              "return redis.call('ZADD', KEYS[1], 1, first[1])";
    struct event event = {.id = "1", .type = EVENT_VIEW, .item = "first", .time_ms = now_ms};
    char home[HOME_SIZE], key[160];
    agree("una", &all);
    put_in("aa", "una", "", &event, 1);
    store_loop_run(base, 10); // ids are ordered by when they came
    event.id = "2";
    event.item = "second";
    event.time_ms++;
    put_in("aa", "una", "", &event, 1);
    assert_string_equal(look("una", CONSENT_SEARCH).items, "first second ");
    home_write(home, &keys, owner_of("una"), "aa");
    snprintf(key, sizeof key, "qiao:{u:%s}:event_ids%s", owner_of("una"), home);
    store_loop_ask(base, store, "EVAL", age, "1", key, NULL); // it came in 1970
    assert_string_equal(look("una", CONSENT_SEARCH).items, "second ");
    snprintf(key, sizeof key, "qiao:{u:%s}:events%s", owner_of("una"), home);
    assert_int_equal(store_loop_ask(base, store, "LLEN", key, NULL).integer, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_stay_with_their_region),
        cmocka_unit_test(redis_cannot_tell_the_region),
        cmocka_unit_test(a_user_has_events_of_so_many_regions),
        cmocka_unit_test(what_came_with_an_older_consent_does_not_come_back),
        cmocka_unit_test(an_event_that_is_over_is_not_read),
        cmocka_unit_test(nothing_is_kept_without_consent),
        cmocka_unit_test(an_event_is_stored_once_however_often_it_comes),
        cmocka_unit_test(a_history_is_in_the_order_of_times_and_has_the_latest),
        cmocka_unit_test(without_consent_the_history_is_not_even_read),
        cmocka_unit_test(a_partners_events_are_its_own_and_go_with_its_consent),
        cmocka_unit_test(redis_cannot_read_what_a_user_saw),
        cmocka_unit_test(events_of_earlier_versions_are_read_and_sealed_by_the_next),
        cmocka_unit_test(a_newer_master_key_takes_over_with_the_next_event),
        cmocka_unit_test(a_withdrawn_history_takes_its_key_with_it),
        cmocka_unit_test(the_popular_are_a_regions_own_and_the_past_weighs_less),
        cmocka_unit_test(an_event_goes_when_its_time_is_over),
        cmocka_unit_test(a_history_may_be_kept_shorter_than_it_is_set),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

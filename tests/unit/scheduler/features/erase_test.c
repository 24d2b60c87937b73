/* A user's data, erased in a real Redis: nothing is left, nothing comes back, and the receipt tells what Redis' files still have. */
#include "scheduler/features/consent.h"
#include "scheduler/features/erase.h"
#include "scheduler/features/events.h"
#include "scheduler/features/history.h"
#include "scheduler/state/durable.h"
#include "scheduler/state/keyring.h"
#include "scheduler/state/session.h"
#include "scheduler/state/store.h"
#include "tests/support/redis.h"
#include "tests/test.h"
#include "tests/unit/scheduler/state/store_loop.h"

#include "base/rand.h"

#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <sodium.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct test_redis redis;
static struct event_base *base;
static struct store *store;
static struct consents *consents;
static struct events *events;
static struct sessions *sessions;
static struct erasures *erasures;
static struct durables *durables;
static struct keyring keys;
static redisContext *client;

static int set_up(void **state)
{
    (void)state;
    assert_true(sodium_init() >= 0);
    if (!test_redis_start_with_port(&redis)) return 0;
    base = event_base_new();
    store = store_new(base, &(struct store_options){.host = redis.socket, .timeout_ms = 20000});
    store_loop_until_up(base, store, true);
    keyring_make(&keys);
    consents = consents_new(store, keys.root);
    events = events_new(store, &keys, 3600);
    sessions = sessions_new(&(struct session_options){
        .store = store, .keys = &keys, .ttl_seconds = 3600, .bytes_max = SESSION_BYTES_MAX});
    struct store_options options = {.host = redis.socket, .timeout_ms = 20000};
    durables = durables_new(&(struct durable_options){
        .store = store_new(base, &options), .replicas = 1, .wait_ms = 1000});
    erasures = erasures_new(store, durables, consents, &keys);
    client = redisConnectUnix(redis.socket);
    assert_non_null(client);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    durables_free(durables);
    store_loop_end(base, store);
    erasures_free(erasures);
    consents_free(consents);
    events_free(events);
    sessions_free(sessions);
    if (client) redisFree(client);
    if (base) test_redis_stop(&redis);
    return 0;
}

// ---- words -------------------------------------------------------------------------------------

struct told {
    bool done;
    enum err err;
    struct erasure erasure;
    struct session session;
    unsigned char fate;
};

static void on_erased(void *argument, enum err err, const struct erasure *erasure)
{
    struct told *told = argument;
    told->done = true;
    told->err = err;
    if (!err) told->erasure = *erasure;
}

static struct told erase(const char *user)
{
    struct told told = {0};
    erase_user(erasures, "shop", user, on_erased, &told);
    assert_false(told.done);
    store_loop_until(base, &told.done);
    return told;
}

static struct told look(const char *user, const char *id)
{
    struct told told = {0};
    erasure_look(erasures, "shop", user, id, on_erased, &told);
    store_loop_until(base, &told.done);
    return told;
}

static void on_changed(void *argument, enum err err, const struct consent_state *state)
{
    struct told *told = argument;
    (void)state;
    told->done = true;
    assert_int_equal(err, ERR_OK);
}

static void agree(const char *user, const char *pseudonym)
{
    struct told told = {0};
    struct consent_change change = {.purposes = {CONSENT_GIVE, CONSENT_GIVE},
                                    .partners = {{"mall", CONSENT_GIVE, pseudonym}},
                                    .partner_count = 1};
    consent_change(consents, "shop", user, &change, on_changed, &told);
    store_loop_until(base, &told.done);
}

static const char *owner_of(const char *user)
{
    static char owner[OWNER_TEXT_SIZE];
    owner_write(owner, consents_owner_key(consents), "shop", user);
    return owner;
}

static void on_stored(void *argument, enum err err)
{
    struct told *told = argument;
    told->done = true;
    told->err = err;
}

static enum event_fate put(const char *user, const char *source, const char *id)
{
    struct told told = {0};
    const struct event event = {.id = id, .type = EVENT_VIEW, .item = "lamp", .time_ms = 1};
    struct event_batch batch = {.tenant = "shop",
                                .owner = owner_of(user),
                                .source = source,
                                .events = &event,
                                .count = 1,
                                .fates = &told.fate};
    events_store(events, &batch, on_stored, &told);
    store_loop_until(base, &told.done);
    assert_int_equal(told.err, ERR_OK);
    return (enum event_fate)told.fate;
}

static void on_loaded(void *argument, enum err err, const struct session *session)
{
    struct told *told = argument;
    told->done = true;
    told->err = err;
    if (!err) told->session = *session;
}

static struct session load(const char *user, const char *id)
{
    struct told told = {0};
    struct session_name name = {.tenant = "shop", .user = user, .id = id};
    session_load(sessions, &name, on_loaded, &told);
    store_loop_until(base, &told.done);
    assert_int_equal(told.err, ERR_OK);
    return told.session;
}

static void on_saved(void *argument, enum err err, uint64_t version, bool repeated)
{
    (void)version, (void)repeated;
    on_stored(argument, err);
}

static enum err save(const char *user, const char *id, struct session session)
{
    struct told told = {0};
    struct session_name name = {.tenant = "shop", .user = user, .id = id};
    const struct session_turn turn = {.role = "user", .content = "secret", .content_size = 6};
    session.turns = &turn;
    session.turn_count = 1;
    session_save(sessions, &name, &session, false, on_saved, &told);
    store_loop_until(base, &told.done);
    return told.err;
}

/* All that is kept of somebody: two sessions, an event and a partner's, consents and a link. */
static void live(const char *user)
{
    agree(user, user);
    assert_int_equal(put(user, "", "e1"), EVENT_STORED);
    assert_int_equal(put(user, "mall", "e1"), EVENT_STORED);
    assert_int_equal(save(user, "a", load(user, "a")), ERR_OK);
    assert_int_equal(save(user, "b", load(user, "b")), ERR_OK);
}

/* How many keys match; the reply of any other command that is a number. */
static long long count_keys(const char *pattern)
{
    redisReply *reply = redisCommand(client, "KEYS %s", pattern);
    assert_non_null(reply);
    long long count = (long long)reply->elements;
    freeReplyObject(reply);
    return count;
}

static void command(const char *text)
{
    redisReply *reply = redisCommand(client, text);
    assert_non_null(reply);
    assert_int_not_equal(reply->type, REDIS_REPLY_ERROR);
    freeReplyObject(reply);
}

static long long keys_of(const char *user)
{
    char pattern[96];
    snprintf(pattern, sizeof pattern, "qiao:{u:%s}*", owner_of(user));
    return count_keys(pattern);
}

// ---- tests -------------------------------------------------------------------------------------

static void nothing_of_the_user_is_left_and_nobody_else_is_touched(void **state)
{
    (void)state;
    if (!base) skip();
    live("alice");
    live("bob");
    long long bobs = keys_of("bob");
    assert_int_equal(count_keys("qiao:{p:*"), 2);

    struct told told = erase("alice");
    assert_int_equal(told.err, ERR_OK);
    assert_true(erasure_is_id(told.erasure.id));
    assert_int_equal(told.erasure.sessions, 2);
    assert_int_equal(told.erasure.events, 2);
    assert_int_equal(told.erasure.consents, 3);
    assert_int_equal(told.erasure.links, 1);
    assert_int_equal(told.erasure.links_left, 0);
    assert_false(told.erasure.unlisted);
    assert_int_equal(keys_of("alice"), 2); // the mark and the receipt
    assert_int_equal(keys_of("bob"), bobs);
    assert_int_equal(count_keys("qiao:{p:*"), 1);
    redisReply *reply =
        redisCommand(client, "SISMEMBER qiao:{c:items:shop}:owners %s", owner_of("alice"));
    assert_int_equal(reply->integer, 0);
    freeReplyObject(reply);
    assert_int_equal(load("alice", "a").version, 0);
    assert_int_equal(load("bob", "a").version, 1);
}

static void what_was_in_the_air_does_not_come_back(void **state)
{
    (void)state;
    if (!base) skip();
    live("carol");
    struct session old = load("carol", "a"), none = load("carol", "new");
    assert_int_equal(erase("carol").err, ERR_OK);
    assert_int_equal(save("carol", "a", old), ERR_CONFLICT);
    assert_int_equal(save("carol", "new", none), ERR_CONFLICT);
    assert_int_equal(put("carol", "", "e2"), EVENT_REFUSED);
    assert_int_equal(put("carol", "mall", "e2"), EVENT_REFUSED);
    assert_int_equal(keys_of("carol"), 2);

    // What begins after it is new.
    assert_int_equal(save("carol", "a", load("carol", "a")), ERR_OK);
    assert_int_equal(load("carol", "a").version, 1);
    agree("carol", "carol");
    assert_int_equal(put("carol", "", "e1"), EVENT_STORED); // its id is forgotten, too
}

static void sessions_that_no_list_knows_are_gone_as_well(void **state)
{
    (void)state;
    if (!base) skip();
    char key[96];
    live("dave");
    snprintf(key, sizeof key, "ZREM qiao:{u:%s}:sessions a", owner_of("dave"));
    command(key);
    assert_int_equal(load("dave", "a").version, 1);
    assert_int_equal(erase("dave").erasure.sessions, 1);
    assert_int_equal(keys_of("dave"), 3);
    assert_int_equal(load("dave", "a").version, 0);
    assert_int_equal(keys_of("dave"), 2);
}

static void a_receipt_is_its_users_and_the_oldest_make_way(void **state)
{
    (void)state;
    if (!base) skip();
    struct told first = erase("erin");
    assert_int_equal(look("erin", first.erasure.id).err, ERR_OK);
    assert_int_equal(look("bob", first.erasure.id).err, ERR_NOT_FOUND);
    assert_int_equal(look("erin", "00000000000000000000000000000000").err, ERR_NOT_FOUND);
    for (int i = 0; i < ERASURES_KEPT; i++)
        assert_int_equal(erase("erin").err, ERR_OK);
    assert_int_equal(look("erin", first.erasure.id).err, ERR_NOT_FOUND);
    assert_int_equal(keys_of("erin"), 1 + ERASURES_KEPT);
}

static enum erasure_state wait_for_file(const char *user, const char *id, bool snapshot)
{
    enum erasure_state now = ERASURE_PENDING;
    for (int i = 0; i < TEST_LOOKS_MAX && now == ERASURE_PENDING; i++) {
        struct told told = look(user, id);
        now = erasure_file_state(&told.erasure, snapshot);
        usleep(TEST_LOOK_US);
    }
    return now;
}

static bool is_rewriting(void)
{
    redisReply *info = redisCommand(client, "INFO persistence");
    assert_non_null(info);
    bool so = !strstr(info->str, "aof_rewrite_in_progress:0") ||
              !strstr(info->str, "aof_rewrite_scheduled:0");
    freeReplyObject(info);
    return so;
}

static void the_receipt_follows_what_redis_writes(void **state)
{
    (void)state;
    if (!base) skip();
    struct told plain = erase("frank");
    assert_int_equal(erasure_file_state(&plain.erasure, false), ERASURE_NONE);
    command("CONFIG SET appendonly yes");
    live("frank");
    assert_soon(!is_rewriting()); // for the first time
    sleep(1);                     // Redis tells seconds
    struct told told = erase("frank");
    assert_int_equal(told.erasure.now.append.enabled, true);
    assert_int_equal(erasure_file_state(&told.erasure, false), ERASURE_PENDING);
    assert_int_equal(erasure_file_state(&told.erasure, true), ERASURE_PENDING);
    command("BGREWRITEAOF");
    assert_int_equal(wait_for_file("frank", told.erasure.id, false), ERASURE_COMPLETE);
    assert_int_equal(erasure_file_state(&told.erasure, true), ERASURE_PENDING);
    command("BGSAVE");
    assert_int_equal(wait_for_file("frank", told.erasure.id, true), ERASURE_COMPLETE);
    command("CONFIG RESETSTAT"); // what is known stays known
    struct told later = look("frank", told.erasure.id);
    assert_int_equal(erasure_file_state(&later.erasure, false), ERASURE_COMPLETE);
    assert_true(later.erasure.append_ms >= told.erasure.at_ms);
}

static void master_keys_are_counted_down(void **state)
{
    (void)state;
    if (!base) skip();
    struct told told = erase("grace");
    assert_int_equal(told.erasure.key_count, 1);
    assert_int_equal(told.erasure.keys_left, 1);
    keys.keys[0].id = 9; // the old one is retired
    assert_int_equal(look("grace", told.erasure.id).erasure.keys_left, 0);
    keys.keys[0].id = 1;
}

static void a_file_is_complete_when_a_rewrite_began_after_the_erasure_and_ended_well(void **state)
{
    (void)state;

    static const struct {
        const char *run;
        struct erasure_file then, now;
        enum erasure_state want;
    } cases[] = {
        {"a", {true, 3, false, true}, {true, 3, false, true}, ERASURE_PENDING},
        {"a", {true, 3, true, true}, {true, 3, false, true}, ERASURE_PENDING}, // began before
        {"a", {true, 3, false, true}, {true, 4, true, true}, ERASURE_PENDING},
        {"a", {true, 3, false, true}, {true, 4, false, true}, ERASURE_COMPLETE},
        {"a", {true, 3, false, true}, {true, 4, false, false}, ERASURE_PENDING},
        {"a", {true, 3, false, true}, {true, 5, true, true}, ERASURE_COMPLETE},
        {"a", {true, 3, false, true}, {true, 0, false, true}, ERASURE_PENDING},
        {"b", {true, 3, false, true}, {true, 0, false, true}, ERASURE_PENDING},
        {"b", {true, 3, false, true}, {true, 1, true, true}, ERASURE_PENDING},
        {"b", {true, 3, false, true}, {true, 1, false, true}, ERASURE_COMPLETE},
        {"a", {false, 0, false, true}, {false, 0, false, true}, ERASURE_NONE},
        {"a", {false, 0, false, true}, {true, 1, false, true}, ERASURE_COMPLETE},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct erasure erasure = {.then = {.run = "a", .append = cases[i].then},
                                  .now = {.append = cases[i].now}};
        snprintf(erasure.now.run, sizeof erasure.now.run, "%s", cases[i].run);
        assert_int_equal(erasure_file_state(&erasure, false), cases[i].want);
    }
}

/* A failover that forgets an erasure brings everything back: the answer waits for a replica. */
static void a_replica_has_forgotten_when_it_is_answered(void **state)
{
    (void)state;
    if (!base) skip();
    static struct test_redis replica;
    live("heidi");
    struct told alone = erase("heidi");
    assert_int_equal(alone.erasure.replicated_ms, 0);
    test_redis_start_replica(&replica, &redis);
    live("heidi");
    struct told told = erase("heidi");
    assert_int_equal(told.erasure.now.replicas, 1);
    assert_true(told.erasure.replicated_ms >= told.erasure.at_ms);
    redisContext *there = redisConnectUnix(replica.socket);
    redisReply *reply = redisCommand(there, "KEYS qiao:{u:%s}:session*", owner_of("heidi"));
    assert_int_equal(reply->elements, 0);
    freeReplyObject(reply);
    redisFree(there);
    assert_int_equal(look("heidi", told.erasure.id).erasure.replicated_ms,
                     told.erasure.replicated_ms);

    live("heidi");
    test_redis_freeze(&replica, true);
    struct told late = erase("heidi");
    assert_int_equal(late.err, ERR_OK); // it is done here, and that it is not there is told
    assert_int_equal(late.erasure.replicated_ms, 0);
    test_redis_freeze(&replica, false);
    assert_true(look("heidi", late.erasure.id).erasure.replicated_ms > 0);
    test_redis_stop(&replica);
}

/* The number that stands in a session's only turn, or in the item of the latest event; -1: nothing does. */
struct seen {
    bool done;
    long number;
};

static void on_number(void *argument, enum err err, const struct session *session)
{
    struct seen *seen = argument;
    seen->done = true;
    seen->number = -1;
    assert_int_equal(err, ERR_OK);
    if (session->turn_count > 0) seen->number = strtol(session->turns[0].content, NULL, 10);
}

static long number_in(const char *user, const char *id)
{
    struct seen seen = {0};
    struct session_name name = {.tenant = "shop", .user = user, .id = id};
    session_load(sessions, &name, on_number, &seen);
    store_loop_until(base, &seen.done);
    return seen.number;
}

static enum err save_number(const char *user, const char *id, struct session session, long number)
{
    struct told told = {0};
    char text[24];
    struct session_name name = {.tenant = "shop", .user = user, .id = id};
    snprintf(text, sizeof text, "%ld", number);
    const struct session_turn turn = {
        .role = "user", .content = text, .content_size = strlen(text)};
    session.turns = &turn;
    session.turn_count = 1;
    session_save(sessions, &name, &session, false, on_saved, &told);
    store_loop_until(base, &told.done);
    return told.err;
}

/* Sessions are loaded, kept for a while as a request keeps them, and saved; in between the user is erased. Whatever the order, nothing that
 * was loaded before an erasure is ever seen after it. */
static void nothing_from_before_an_erasure_is_ever_seen_after_it(void **state)
{
    (void)state;
    if (!base) skip();

    enum {
        HELD = 6,
        STEPS = 4000
    };

    static const char *const ids[] = {"s0", "s1", "s2"};
    struct session held[HELD];
    size_t held_id[HELD], count = 0, saved = 0, refused = 0;
    long held_since[HELD], number = 0, erased_at = 0;
    struct rand rand;
    rand_init(&rand, 66);
    for (int step = 0; step < STEPS; step++) {
        uint64_t what = rand_below(&rand, 100);
        if (what < 45 && count < HELD) {
            held_id[count] = (size_t)rand_below(&rand, 3);
            held[count] = load("ivan", ids[held_id[count]]);
            held_since[count++] = ++number;
        } else if (what < 92 && count > 0) {
            size_t at = (size_t)rand_below(&rand, count);
            enum err err = save_number("ivan", ids[held_id[at]], held[at], held_since[at]);
            if (held_since[at] < erased_at) assert_int_equal(err, ERR_CONFLICT);
            saved += err == ERR_OK;
            refused += err == ERR_CONFLICT;
            count--;
            held[at] = held[count];
            held_id[at] = held_id[count];
            held_since[at] = held_since[count];
        } else if (what >= 92) {
            assert_int_equal(erase("ivan").err, ERR_OK);
            erased_at = ++number;
        }
        long seen = number_in("ivan", ids[rand_below(&rand, 3)]);
        assert_true(seen == -1 || seen > erased_at);
    }
    assert_true(saved > 300 && refused > 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_of_the_user_is_left_and_nobody_else_is_touched),
        cmocka_unit_test(what_was_in_the_air_does_not_come_back),
        cmocka_unit_test(nothing_from_before_an_erasure_is_ever_seen_after_it),
        cmocka_unit_test(sessions_that_no_list_knows_are_gone_as_well),
        cmocka_unit_test(a_receipt_is_its_users_and_the_oldest_make_way),
        cmocka_unit_test(the_receipt_follows_what_redis_writes),
        cmocka_unit_test(a_replica_has_forgotten_when_it_is_answered),
        cmocka_unit_test(master_keys_are_counted_down),
        cmocka_unit_test(a_file_is_complete_when_a_rewrite_began_after_the_erasure_and_ended_well),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* Sessions against a real redis-server: there is no fake whose manners we would have to guess. */
#include "scheduler/state/session.h"
#include "scheduler/state/store.h"
#include "tests/support/redis.h"
#include "tests/test.h"
#include "tests/unit/scheduler/state/store_loop.h"

#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <sodium.h>

#include <string.h>

static struct test_redis redis;
static struct event_base *base;
static struct store *store;
static struct sessions *sessions;

static struct keyring ring;
static const struct session_name alice = {.tenant = "shop", .user = "alice", .id = "chat-1"};

static int set_up(void **state)
{
    (void)state;
    assert_true(sodium_init() >= 0);
    if (!test_redis_start(&redis)) return 0;
    base = event_base_new();
    keyring_make(&ring);
    store = store_new(base, &(struct store_options){.host = redis.socket, .timeout_ms = 2000});
    sessions = sessions_new(&(struct session_options){
        .store = store, .keys = &ring, .ttl_seconds = 100, .bytes_max = 1000});
    store_loop_until_up(base, store, true);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (!base) return 0;
    sessions_free(sessions);
    store_loop_end(base, store);
    test_redis_stop(&redis);
    return 0;
}

// ---- what the calls answered -------------------------------------------------------------------

struct answer {
    bool done;
    int times;
    enum err err;
    char note[ERR_NOTE_MAX];
    uint64_t version;
    size_t turn_count;
    char last[2000];
};

static void keep(struct answer *answer, enum err err)
{
    answer->done = true;
    answer->times++;
    answer->err = err;
    snprintf(answer->note, sizeof answer->note, "%s", err ? err_text() : "");
}

static void on_loaded(void *argument, enum err err, const struct session *session)
{
    struct answer *answer = argument;
    keep(answer, err);
    if (err) return;
    answer->version = session->version;
    answer->turn_count = session->turn_count;
    if (session->turn_count > 0) {
        const struct session_turn *turn = &session->turns[session->turn_count - 1];
        snprintf(answer->last, sizeof answer->last, "%s:%.*s", turn->role, (int)turn->content_size,
                 turn->content);
    }
}

static void on_saved(void *argument, enum err err, uint64_t version, bool repeated)
{
    struct answer *answer = argument;
    assert_false(repeated);
    keep(answer, err);
    answer->version = version;
}

static struct answer load(const struct session_name *name)
{
    struct answer answer = {0};
    session_load(sessions, name, on_loaded, &answer);
    assert_false(answer.done); // never from inside
    store_loop_until(base, &answer.done);
    return answer;
}

static struct answer save(const struct session_name *name, uint64_t version, const char *text)
{
    struct answer answer = {0};
    struct session_turn turns[] = {
        {.role = "user", .content = "你好", .content_size = 6},
        {.role = "assistant", .content = text, .content_size = strlen(text)},
    };
    struct session session = {.version = version, .turns = turns, .turn_count = 2};
    session_save(sessions, name, &session, false, on_saved, &answer);
    assert_false(answer.done);
    store_loop_until(base, &answer.done);
    return answer;
}

static struct answer erase(const struct session_name *name)
{
    struct answer answer = {0};
    session_delete(sessions, name, on_saved, &answer);
    store_loop_until(base, &answer.done);
    return answer;
}

static redisReply *ask_redis(const char *first, const char *second, const char *third,
                             const char *fourth)
{
    redisContext *client = redisConnectUnix(redis.socket);
    assert_int_equal(client->err, 0);
    const char *words[] = {first, second, third, fourth};
    int count = fourth ? 4 : third ? 3 : 2;
    redisReply *reply = redisCommandArgv(client, count, words, NULL);
    assert_non_null(reply);
    redisFree(client);
    return reply;
}

// ---- sessions ----------------------------------------------------------------------------------

static void a_session_is_read_back_by_its_owner_alone(void **state)
{
    (void)state;
    if (!base) skip();
    assert_int_equal(load(&alice).version, 0);
    assert_int_equal(save(&alice, 0, "有什么可以帮你？").version, 1);
    struct answer mine = load(&alice);
    assert_int_equal(mine.err, ERR_OK);
    assert_int_equal(mine.version, 1);
    assert_int_equal(mine.turn_count, 2);
    assert_string_equal(mine.last, "assistant:有什么可以帮你？");

    struct session_name other = alice;
    other.user = "bob";
    assert_int_equal(load(&other).version, 0);
    assert_int_equal(erase(&other).err, ERR_NOT_FOUND);
    other = alice;
    other.tenant = "shopalice"; // the border between the names counts
    other.user = "";
    assert_int_equal(load(&other).version, 0);
}

static void two_devices_cannot_interleave(void **state)
{
    (void)state;
    if (!base) skip();
    assert_int_equal(save(&alice, 1, "second").version, 2);
    struct answer late = save(&alice, 1, "late");
    assert_int_equal(late.err, ERR_CONFLICT);
    assert_int_equal(late.version, 2);
    assert_non_null(strstr(late.note, "version 2"));
    assert_string_equal(load(&alice).last, "assistant:second");
}

static redisReply *find_session_key(void)
{
    redisReply *keys = ask_redis("KEYS", "qiao:{u:*}:session:chat-1", NULL, NULL);
    assert_int_equal(keys->elements, 1);
    return keys;
}

static void redis_sees_neither_text_nor_user(void **state)
{
    (void)state;
    if (!base) skip();
    redisReply *keys = find_session_key();
    const char *key = keys->element[0]->str;
    assert_null(strstr(key, "alice"));
    redisReply *record = ask_redis("HGET", key, "r", NULL);
    assert_null(memmem(record->str, record->len, "second", 6));
    assert_null(memmem(record->str, record->len, "alice", 5));
    redisReply *ttl = ask_redis("TTL", key, NULL, NULL);
    assert_in_range(ttl->integer, 1, 100);
    freeReplyObject(ttl);
    freeReplyObject(record);
    freeReplyObject(keys);
}

static void a_record_moved_or_changed_does_not_open(void **state)
{
    (void)state;
    if (!base) skip();
    redisReply *keys = find_session_key();
    const char *key = keys->element[0]->str;
    freeReplyObject(ask_redis("HSET", key, "v", "7")); // as if it were another version
    assert_int_equal(load(&alice).err, ERR_INTERNAL);
    freeReplyObject(ask_redis("HSET", key, "v", "2"));
    assert_int_equal(load(&alice).err, ERR_OK);

    freeReplyObject(ask_redis("HSET", key, "r", "QSE1 short"));
    assert_int_equal(load(&alice).err, ERR_INTERNAL);
    assert_int_equal(erase(&alice).err, ERR_OK);
    assert_int_equal(load(&alice).version, 0);
    freeReplyObject(keys);
}

static void what_is_too_large_is_refused_with_the_limit(void **state)
{
    (void)state;
    if (!base) skip();
    char text[1200];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    struct answer answer = save(&alice, 0, text);
    assert_int_equal(answer.err, ERR_TOO_LARGE);
    assert_non_null(strstr(answer.note, "1000 bytes"));
    assert_int_equal(load(&alice).version, 0);

    assert_int_equal(session_check_id("a-b_c.9", 7), ERR_OK);
    assert_int_equal(session_check_id("", 0), ERR_INVALID);
    assert_int_equal(session_check_id("a b", 3), ERR_INVALID);
    assert_int_equal(session_check_id("桥", 3), ERR_INVALID);
}

static void nobody_is_called_after_a_drop(void **state)
{
    (void)state;
    if (!base) skip();
    struct answer dropped = {0};
    session_drop(session_load(sessions, &alice, on_loaded, &dropped));
    (void)load(&alice); // answered after the first one
    assert_int_equal(dropped.times, 0);
}

// ---- Redis goes away ---------------------------------------------------------------------------

static void when_redis_is_away_sessions_are_refused(void **state)
{
    (void)state;
    if (!base) skip();
    test_redis_kill(&redis);
    store_loop_until_up(base, store, false);
    assert_int_equal(load(&alice).err, ERR_STORE_AWAY);
    assert_int_equal(save(&alice, 0, "x").err, ERR_STORE_AWAY);

    test_redis_restart(&redis); // empty: the scripts are unknown there
    store_loop_until_up(base, store, true);
    assert_int_equal(save(&alice, 0, "back").version, 1);
}

static void forgotten_scripts_are_sent_again(void **state)
{
    (void)state;
    if (!base) skip();
    freeReplyObject(ask_redis("SCRIPT", "FLUSH", NULL, NULL));
    assert_int_equal(save(&alice, 1, "again").version, 2);
}

static void scripts_forgotten_under_two_commands_at_once_serve_both(void **state)
{
    (void)state;
    if (!base) skip();
    struct session_turn turn = {.role = "user", .content = "x", .content_size = 1};
    struct session session = {.version = 0, .turns = &turn, .turn_count = 1};
    struct session_name other = alice;
    struct answer first = {0}, second = {0};
    freeReplyObject(ask_redis("SCRIPT", "FLUSH", NULL, NULL));
    other.id = "both-1";
    session_save(sessions, &other, &session, false, on_saved, &first);
    other.id = "both-2";
    session_save(sessions, &other, &session, false, on_saved, &second);
    store_loop_until(base, &first.done);
    store_loop_until(base, &second.done);
    assert_int_equal(first.err, ERR_OK);
    assert_int_equal(second.err, ERR_OK);
}

static void what_was_asked_last_leaves_before_the_store_does(void **state)
{
    (void)state;
    if (!base) skip();
    struct store *mine = store;
    store = store_new(base, &(struct store_options){.host = redis.socket, .timeout_ms = 2000});
    store_loop_until_up(base, store, true);
    const char *const words[] = {"SET", "last", "word"};
    store_command(store, NULL, NULL, 3, words, NULL);
    store_free(store);
    store = mine;
    redisReply *reply = ask_redis("GET", "last", NULL, NULL);
    assert_int_equal(reply->type, REDIS_REPLY_STRING);
    freeReplyObject(reply);
}

static void a_frozen_redis_is_noticed(void **state)
{
    (void)state;
    if (!base) skip();
    test_redis_freeze(&redis, true);
    struct answer slow = load(&alice);
    assert_int_equal(slow.err, ERR_STORE_AWAY);
    assert_false(store_is_up(store));
    test_redis_freeze(&redis, false);
    store_loop_until_up(base, store, true);
    assert_int_equal(load(&alice).version, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_is_read_back_by_its_owner_alone),
        cmocka_unit_test(two_devices_cannot_interleave),
        cmocka_unit_test(redis_sees_neither_text_nor_user),
        cmocka_unit_test(a_record_moved_or_changed_does_not_open),
        cmocka_unit_test(what_is_too_large_is_refused_with_the_limit),
        cmocka_unit_test(nobody_is_called_after_a_drop),
        cmocka_unit_test(when_redis_is_away_sessions_are_refused),
        cmocka_unit_test(scripts_forgotten_under_two_commands_at_once_serve_both),
        cmocka_unit_test(forgotten_scripts_are_sent_again),
        cmocka_unit_test(what_was_asked_last_leaves_before_the_store_does),
        cmocka_unit_test(a_frozen_redis_is_noticed),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

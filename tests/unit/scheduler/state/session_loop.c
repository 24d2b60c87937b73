#include "tests/unit/scheduler/state/session_loop.h"

#include "scheduler/state/store.h"
#include "tests/test.h"
#include "tests/unit/scheduler/state/store_loop.h"

#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <sodium.h>

#include <string.h>

struct test_redis redis;
struct event_base *base;
struct sessions *sessions;
struct keyring keys;
static struct store *store;
static struct durables *durables;

struct sessions *sessions_with(const struct keyring *ring)
{
    return sessions_new(&(struct session_options){
        .store = store, .keys = ring, .ttl_seconds = 100, .bytes_max = 1000, .durables = durables});
}

int session_loop_set_up(void **state)
{
    (void)state;
    assert_true(sodium_init() >= 0);
    if (!test_redis_start_with_port(&redis)) return 0;
    struct store_options options = {.host = redis.socket, .timeout_ms = 20000};
    base = event_base_new();
    keyring_make(&keys);
    store = store_new(base, &options);
    options.timeout_ms += WAIT_MS;
    struct store *own = store_new(base, &options);
    durables =
        durables_new(&(struct durable_options){.store = own, .replicas = 1, .wait_ms = WAIT_MS});
    sessions = sessions_with(&keys);
    store_loop_until_up(base, store, true);
    store_loop_until_up(base, own, true);
    return 0;
}

int session_loop_tear_down(void **state)
{
    (void)state;
    if (!base) return 0;
    durables_free(durables);
    store_free(store);
    sessions_free(sessions);
    event_base_free(base);
    libevent_global_shutdown();
    test_redis_stop(&redis);
    return 0;
}

void session_loop_keep(struct answer *answer, enum err err)
{
    assert_false(answer->done);
    answer->done = true;
    answer->err = err;
    snprintf(answer->note, sizeof answer->note, "%s", err ? err_text() : "");
}

void session_loop_wait(struct answer *answer)
{
    assert_false(answer->done); // never from inside
    store_loop_until(base, &answer->done);
}

static void on_loaded(void *argument, enum err err, const struct session *session)
{
    struct answer *answer = argument;
    session_loop_keep(answer, err);
    if (err) return;
    answer->session = *session;
    answer->version = session->version;
    if (session->turn_count == 0) return;
    const struct session_turn *turn = &session->turns[session->turn_count - 1];
    snprintf(answer->last, sizeof answer->last, "%s@%d%s:%.*s", turn->role, (int)turn->version,
             turn->cut ? "cut" : "", (int)turn->content_size, turn->content);
}

void session_loop_saved(void *argument, enum err err, uint64_t version, bool repeated)
{
    struct answer *answer = argument;
    answer->repeated = repeated;
    session_loop_keep(answer, err);
    answer->version = version;
}

struct session_name named(const char *id, const char *turn)
{
    return (struct session_name){.tenant = "shop", .user = "alice", .id = id, .turn = turn};
}

struct answer load_by(struct sessions *by, const char *id, const char *turn)
{
    struct answer answer = {0};
    struct session_name name = named(id, turn);
    session_load(by, &name, on_loaded, &answer);
    session_loop_wait(&answer);
    return answer;
}

struct answer load(const char *id)
{
    return load_by(sessions, id, NULL);
}

void begin_save(struct answer *answer, struct sessions *by, const struct session_name *name,
                struct session session, const char *text, bool replicated)
{
    struct session_turn turn = {
        .role = "assistant", .content = text, .content_size = strlen(text), .cut = true};
    *answer = (struct answer){0};
    session.turns = &turn;
    session.turn_count = 1;
    session_save(by, name, &session, replicated, session_loop_saved, answer);
}

struct answer save_turn(const char *id, const char *turn, uint64_t version, const char *text,
                        bool replicated)
{
    struct answer answer;
    struct session_name name = named(id, turn);
    begin_save(&answer, sessions, &name, (struct session){.version = version}, text, replicated);
    session_loop_wait(&answer);
    return answer;
}

struct record_place place_of(const char *id)
{
    struct session_name name = named(id, NULL);
    return record_place(&keys, &name);
}

redisReply *ask_redis(const struct test_redis *which, size_t count, const char **words,
                      const size_t *sizes)
{
    redisContext *client = redisConnectUnix(which->socket);
    assert_int_equal(client->err, 0);
    redisReply *reply = redisCommandArgv(client, (int)count, words, sizes);
    assert_non_null(reply);
    redisFree(client);
    return reply;
}

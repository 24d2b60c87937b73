#include "tests/unit/scheduler/state/store_loop.h"

#include "scheduler/state/store.h"
#include "tests/support/redis.h"
#include "tests/test.h"

#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <sodium.h>

#include <string.h>

enum {
    PATIENCE_S = 60,
    WORDS_MAX = 8
};

static void on_alarm(evutil_socket_t unused, short events, void *argument)
{
    (void)unused, (void)events, (void)argument;
    fail_msg("nothing happened for %d seconds", PATIENCE_S);
}

void store_loop_run(struct event_base *base, unsigned milliseconds)
{
    struct timeval pause = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};
    event_base_loopexit(base, &pause);
    event_base_dispatch(base);
}

void store_loop_until(struct event_base *base, const bool *done)
{
    struct event *alarm = evtimer_new(base, on_alarm, NULL);
    struct timeval limit = {.tv_sec = PATIENCE_S};
    evtimer_add(alarm, &limit);
    while (!*done)
        event_base_loop(base, EVLOOP_ONCE);
    event_free(alarm);
}

void store_loop_until_up(struct event_base *base, const struct store *store, bool up)
{
    assert_soon_on(base, store_is_up(store) == up);
}

enum {
    SETTLE_ROUNDS =
        4 // a script that Redis does not know is sent once more, and its answer may ask again
};

void store_loop_settle(struct event_base *base, struct store *store)
{
    for (int i = 0; i < SETTLE_ROUNDS; i++)
        assert_int_equal(store_loop_ask(base, store, "PING", NULL).err, ERR_OK);
}

void store_loop_open(const struct test_redis *redis, struct event_base **base, struct store **store)
{
    *base = event_base_new();
    *store = store_new(*base, &(struct store_options){.host = redis->socket, .timeout_ms = 20000});
    store_loop_until_up(*base, *store, true);
}

bool store_loop_begin(struct test_redis *redis, struct event_base **base, struct store **store)
{
    assert_true(sodium_init() >= 0);
    if (!test_redis_start(redis)) return false;
    store_loop_open(redis, base, store);
    return true;
}

void store_loop_end(struct event_base *base, struct store *store)
{
    if (!base) return;
    store_free(store);
    event_base_free(base);
    libevent_global_shutdown();
}

void store_loop_keep(void *argument, enum err err, const redisReply *reply)
{
    struct store_answer *answer = argument;
    answer->done = true;
    answer->times++;
    answer->err = err;
    snprintf(answer->note, sizeof answer->note, "%s", err ? err_text() : "");
    if (err || !reply) return;
    answer->integer = reply->type == REDIS_REPLY_INTEGER ? reply->integer : 0;
    if (reply->str) snprintf(answer->text, sizeof answer->text, "%s", reply->str);
}

struct store_answer store_loop_ask(struct event_base *base, struct store *store, ...)
{
    const char *words[WORDS_MAX];
    size_t count = 0;
    va_list arguments;
    va_start(arguments, store);
    for (const char *word; (word = va_arg(arguments, const char *)) && count < WORDS_MAX;)
        words[count++] = word;
    va_end(arguments);
    struct store_answer answer = {0};
    store_command(store, store_loop_keep, &answer, count, words, NULL);
    assert_int_equal(answer.times, 0); // never from inside
    store_loop_until(base, &answer.done);
    return answer;
}

struct store_answer store_loop_eval(struct event_base *base, struct store *store,
                                    struct store_script *script, const char *key,
                                    const char *argument)
{
    const char *words[] = {key, argument};
    struct store_answer answer = {0};
    store_eval(store, script, store_loop_keep, &answer, 1, 2, words, NULL);
    assert_int_equal(answer.times, 0);
    store_loop_until(base, &answer.done);
    return answer;
}

#include "tests/unit/scheduler/state/crowd.h"

#include "scheduler/state/store.h"
#include "tests/test.h"
#include "tests/unit/scheduler/state/store_loop.h"

#include <event2/event.h>
#include <sodium.h>

#include <string.h>

struct test_redis crowd_redis;
struct event_base *crowd_base;
unsigned crowd_patience_ms = 20000;

static const unsigned char root[LIMIT_ROOT_SIZE] = "0123456789abcdef0123456789abcde";

int crowd_set_up(void **state)
{
    (void)state;
    assert_true(sodium_init() >= 0);
    if (test_redis_start(&crowd_redis)) crowd_base = event_base_new();
    return 0;
}

int crowd_tear_down(void **state)
{
    (void)state;
    if (!crowd_base) return 0;
    event_base_free(crowd_base);
    libevent_global_shutdown();
    test_redis_stop(&crowd_redis);
    return 0;
}

void crowd_run(unsigned ms)
{
    store_loop_run(crowd_base, ms);
}

void crowd_run_until(const bool *done)
{
    store_loop_until(crowd_base, done);
}

void crowd_settle_redis(const struct crowd_member *member)
{
    store_loop_settle(crowd_base, member->store);
}

void crowd_wait_up(const struct store *store, bool up)
{
    store_loop_until_up(crowd_base, store, up);
}

struct crowd_member crowd_join(const struct limit_options *options)
{
    struct limit_options full = *options;
    struct crowd_member member;
    member.store = store_new(crowd_base, &(struct store_options){.host = crowd_redis.socket,
                                                                 .timeout_ms = crowd_patience_ms});
    full.base = crowd_base;
    full.store = member.store;
    full.root = root;
    member.limits = limits_new(&full);
    crowd_wait_up(member.store, true);
    return member;
}

void crowd_leave(struct crowd_member *member)
{
    limits_leave(member->limits);
    crowd_kill(member);
}

void crowd_kill(struct crowd_member *member)
{
    store_free(member->store);
    limits_free(member->limits);
}

struct limit_ask crowd_of_key(const char *key, struct limit_rule rule, uint64_t tokens)
{
    return (struct limit_ask){.key = key,
                              .tenant = "shop",
                              .user = "",
                              .key_rule = rule,
                              .tokens = tokens,
                              .least = tokens,
                              .streams = 1};
}

struct limit_ask crowd_of_user(const char *user, struct limit_rule rule, uint64_t tokens)
{
    struct limit_ask ask = crowd_of_key("none", (struct limit_rule){0}, tokens);
    ask.user = user;
    ask.user_rule = rule;
    return ask;
}

static void on_limited(void *argument, enum err err, const struct limit_answer *limit)
{
    struct crowd_answer *answer = argument;
    answer->done = true;
    answer->times++;
    answer->err = err;
    answer->limit = *limit;
    if (err) answer->ticket = NULL;
    snprintf(answer->note, sizeof answer->note, "%s", err ? err_text() : "");
}

void crowd_ask_later(const struct crowd_member *member, const struct limit_ask *ask,
                     struct crowd_answer *answer)
{
    *answer = (struct crowd_answer){0};
    answer->ticket = limit_reserve(member->limits, ask, on_limited, answer);
    assert_false(answer->done); // never from inside
    const struct limit_answer *admitted = limit_admitted(answer->ticket);
    if (admitted) on_limited(answer, ERR_OK, admitted);
}

struct crowd_answer crowd_ask(const struct crowd_member *member, const struct limit_ask *ask)
{
    struct crowd_answer *answer = calloc(1, sizeof *answer), copy;
    crowd_ask_later(member, ask, answer);
    crowd_run_until(&answer->done);
    copy = *answer;
    free(answer);
    return copy;
}

void crowd_settle(struct crowd_answer *answer, uint64_t used)
{
    assert_non_null(answer->ticket);
    limit_settle(answer->ticket, used);
    answer->ticket = NULL;
}

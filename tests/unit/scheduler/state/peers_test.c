/* The list of schedulers, in a real Redis. */
#include "scheduler/state/peers.h"
#include "scheduler/state/store.h"
#include "tests/support/redis.h"
#include "tests/test.h"

#include <event2/event.h>
#include <hiredis/hiredis.h>

#include <string.h>

static struct test_redis redis;
static struct event_base *base;
static struct store *store;

static void turn_for(int milliseconds)
{
    struct timeval pause = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};
    event_base_loopexit(base, &pause);
    event_base_dispatch(base);
}

static int set_up(void **state)
{
    (void)state;
    if (!test_redis_start(&redis)) return 0;
    base = event_base_new();
    store = store_new(base, &(struct store_options){.host = redis.socket, .timeout_ms = 500});
    for (int i = 0; i < 1000 && !store_is_up(store); i++)
        turn_for(5);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (!base) return 0;
    store_free(store);
    event_base_free(base);
    libevent_global_shutdown();
    test_redis_stop(&redis);
    return 0;
}

static void on_count(void *argument, enum err err, const redisReply *reply)
{
    long long *count = argument;
    *count = err ? -1 : reply->integer;
}

static long long entries(void)
{
    const char *words[] = {"ZCARD", "qiao:{schedulers}"};
    long long count = -2;
    store_command(store, on_count, &count, 2, words, NULL);
    for (int i = 0; i < 1000 && count == -2; i++)
        turn_for(2);
    return count;
}

static void schedulers_find_one_another_and_one_that_leaves_is_out_at_once(void **state)
{
    (void)state;
    if (!base) skip();
    const char *urls[PEERS_MAX];
    struct peers *a = peers_new(base, store, "tcp://a:1"), *b = peers_new(base, store, "tcp://b:1");
    for (int i = 0; i < 500 && peers_list(a, urls) + peers_list(b, urls) < 2; i++)
        turn_for(10);
    assert_int_equal(peers_list(a, urls), 1);
    assert_string_equal(urls[0], "tcp://b:1");
    assert_int_equal(entries(), 2);
    assert_int_equal(peers_news(b), 1);

    peers_leave(a);
    assert_int_equal(entries(), 1); // not after its time, and Redis answers in order
    turn_for(PEERS_RENEW_MS + 200);
    assert_int_equal(entries(), 1); // it does not come back
    assert_int_equal(peers_list(b, urls), 0);
    assert_int_equal(peers_news(b), 1); // one that goes is no news
    peers_free(a);
    peers_free(b);
    assert_int_equal(entries(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedulers_find_one_another_and_one_that_leaves_is_out_at_once),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* The list of schedulers, in a real Redis. */
#include "scheduler/state/peers.h"
#include "scheduler/state/store.h"
#include "tests/test.h"
#include "tests/unit/scheduler/state/store_scene.h"

#include <event2/event.h>

static long long entries(void)
{
    struct store_answer answer = store_loop_ask(base, store, "ZCARD", "qiao:{schedulers}", NULL);
    assert_int_equal(answer.err, ERR_OK);
    return answer.integer;
}

static void schedulers_find_one_another_and_one_that_leaves_is_out_at_once(void **state)
{
    (void)state;
    if (!base) skip();
    const char *urls[PEERS_MAX];
    struct peers *a = peers_new(base, store, "tcp://a:1"), *b = peers_new(base, store, "tcp://b:1");
    assert_soon_on(base, peers_list(a, urls) == 1 && peers_list(b, urls) == 1);
    assert_int_equal(peers_list(a, urls), 1);
    assert_string_equal(urls[0], "tcp://b:1");
    assert_int_equal(entries(), 2);
    assert_int_equal(peers_news(b), 1);

    peers_leave(a);
    assert_int_equal(entries(), 1); // not after its time, and Redis answers in order
    store_loop_run(base, PEERS_RENEW_MS + 200);
    assert_int_equal(entries(), 1); // it does not come back
    assert_soon_on(base, peers_list(b, urls) == 0);
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
    return cmocka_run_group_tests(tests, store_scene_set_up, store_scene_tear_down);
}

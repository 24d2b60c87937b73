#include "tests/unit/scheduler/state/store_scene.h"

#include "tests/test.h"

#include <sodium.h>

struct test_redis redis;
struct event_base *base;
struct store *store;

int store_scene_set_up(void **state)
{
    (void)state;
    (void)store_loop_begin(&redis, &base, &store);
    return 0;
}

int store_scene_set_up_with_port(void **state)
{
    (void)state;
    assert_true(sodium_init() >= 0);
    if (test_redis_start_with_port(&redis)) store_loop_open(&redis, &base, &store);
    return 0;
}

int store_scene_tear_down(void **state)
{
    (void)state;
    if (!base) return 0;
    store_loop_end(base, store);
    test_redis_stop(&redis);
    return 0;
}

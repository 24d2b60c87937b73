/* tests/unit/scheduler/state/store_scene.h -- what a group's tests share that ask one real Redis over one store: the server, a loop, the
 * store. All are as they were, NULL, where there is no redis-server: each test then skips. */
#ifndef TESTS_UNIT_SCHEDULER_STATE_STORE_SCENE_H
#define TESTS_UNIT_SCHEDULER_STATE_STORE_SCENE_H

#include "tests/support/redis.h"
#include "tests/unit/scheduler/state/store_loop.h"

extern struct test_redis redis;
extern struct event_base *base; // NULL: there is no redis-server
extern struct store *store;     // up, with 20 s for each command

/* As CMocka's group functions; the second one's server may have replicas. */
int store_scene_set_up(void **state);
int store_scene_set_up_with_port(void **state);
int store_scene_tear_down(void **state);

#endif

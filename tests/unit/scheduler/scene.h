/* tests/unit/scheduler/scene.h -- a whole scheduler in a thread of its own, a client, a real Redis: the words of the door's tests.
 *
 *      start_redis --> start_scheduler --> start_node --> ask, chat … --> stop_scheduler --> stop_redis
 *
 * One scheduler at a time. What cannot be done fails the test. */
#ifndef TESTS_UNIT_SCHEDULER_SCENE_H
#define TESTS_UNIT_SCHEDULER_SCENE_H

#include "scheduler/door/wait.h"
#include "tests/support/fake_node.h"
#include "tests/support/redis.h"
#include "tests/unit/scheduler/exchange.h"

#include <stdbool.h>
#include <stddef.h>

struct scene {
    struct test_redis redis;  // its process is 0 where there is no redis-server
    struct wait_limits waits; // of the scheduler that is started next; zeros: its own
    char link_url[64];        // where nodes dial the scheduler that was started
};

extern struct scene scene;

/* Of a group of tests: cmocka's set-up and tear-down. */
int start_redis(void **state);
int stop_redis(void **state);

/* One that has found Redis, where there is one. `keys`: a file's path, or "". `more`: further words of the command line, up to a
 * NULL. */
void start_scheduler(const char *keys);
void start_scheduler_with(const char *keys, const char *const *more);
void stop_scheduler(void);
/* Until it has found Redis again, or knows that it is away. */
void wait_for_redis(bool up);
/* A node that the scheduler has, and is ready with; fake_node_stop() it, or stop_node() it, which waits until the scheduler has lost it.
 * Its url is filled in here, and a text of its answer. */
struct fake_node *start_node(const struct fake_node_options *like);
void stop_node(struct fake_node *node);
/* Until the scheduler has it again, whose link was cut. */
void wait_for_node(struct fake_node *node);
void wait_for_submits(struct fake_node *node, unsigned count);
void wait_for_cancels(struct fake_node *node, unsigned count);
/* Flights and answers; requests without an answer; the loop stands still while it looks. */
size_t flights_in_air(void);
size_t requests_in_hand(void);

/* Send a request; the connection, for finish(). `headers` are whole lines. */
int begin(const char *method, const char *path, const char *headers, const char *body);
/* The answer with its head, whole or up to where `until` stands in it (NULL: whole); mem_free() it. */
char *finish(int fd, const char *until);
char *ask(const char *method, const char *path, const char *headers, const char *body);
/* The same, asked again while it is 503: until what was kept in Redis has been read, and what waits for it has had the time. */
char *ask_patiently(const char *method, const char *path, const char *headers, const char *body);
/* The same, asked again until `part` stands in the answer: what may be asked twice. */
char *ask_until(const char *method, const char *path, const char *headers, const char *body,
                const char *part);
/* A chat with one message, "say it"; `rest` are further members of the body: ",\"n\":2". */
char *chat(const char *rest);

#endif

/* tests/unit/scheduler/desk.h -- a whole scheduler on a thread of its own, and a client that asks it: several may run at once.
 *
 * A struct desk is zeroed before it is started. All functions fail the test when something does not go as it must. */
#ifndef TESTS_UNIT_SCHEDULER_DESK_H
#define TESTS_UNIT_SCHEDULER_DESK_H

#include "scheduler/program.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct desk {
    struct program program;
    pthread_t thread;
    atomic_bool stop, paused, is_paused;
    char link_url[64]; // where its nodes dial in
    uint16_t port;
};

/* `flags`: settings besides the addresses and Redis' socket, NULL at the end. */
void desk_start(struct desk *desk, const char *redis_socket, const char *const *flags);
void desk_stop(struct desk *desk);
/* Its loop stands still, as if the process were stopped, and goes on. */
void desk_freeze(struct desk *desk, bool frozen);
/* Answers and flights that it is busy with; requests that have no answer yet. */
size_t desk_busy(struct desk *desk);
size_t desk_requests(struct desk *desk);
/* Whether a node that calls itself this is linked to it. */
bool desk_has_node(struct desk *desk, uint64_t instance);
/* Until it can be asked. */
void desk_wait_ready(struct desk *desk);

/* Send a request (HTTP/1.0, so that the answer comes as it is); the connection. `headers` are whole lines; an empty
 * `body` makes it a GET. */
int desk_begin(const struct desk *desk, const char *path, const char *headers, const char *body);
/* Read until the text `until` has come, or to the end when it is NULL; closes. The caller mem_free()s what came. */
char *desk_finish(int connection, const char *until);
char *desk_ask(const struct desk *desk, const char *path, const char *headers, const char *body);

#endif

/* tests/unit/node/service/stage.h -- a service between a real link and a real engine (the echo: it says the prompt again); the
 * test plays the scheduler.
 *
 *      given_stage --> submit --> next_message, await_done --> end_stage
 *
 * Waits have a limit after which they fail; nothing depends on how long a thing takes. */
#ifndef TESTS_UNIT_NODE_SERVICE_STAGE_H
#define TESTS_UNIT_NODE_SERVICE_STAGE_H

#include "tests/unit/node/service/caller.h"

#include "kernels/ops.h"
#include "wire/message.h"

#include "base/buf.h"

#include <pthread.h>
#include <stdint.h>

struct echo;
struct engine;
struct kv_pool;
struct scanner;
struct service;
struct shelf;

enum {
    CREDITS = 3, // of the node
    CONTEXT = 128,
    BLOCKS = 16,
    VOCAB = 260,
    SHELF_MEMORY = 4 << 20
};

struct stage {
    struct caller caller; // the test
    struct buf pack;
    struct wire_model model;
    struct kv_pool *pool;
    struct echo *echo;
    struct ops ops;
    struct scanner *scanner;
    struct shelf *shelf;
    struct engine *engine;
    struct service *service;
    int stop_fd, pause_fd;
    int pauses; // times that service_run() came back for it; read it when the service has ended
    uint64_t drain_ms;
    pthread_t engine_thread;
    pthread_t service_thread;
};

/* A node that has said HELLO and was welcomed. `delay_ms`: of each step; `drain_ms`: what a stop may wait. */
struct stage *given_stage(uint32_t delay_ms, uint64_t drain_ms);
/* The service is asked to stop: once, gently; twice, at once. */
void ask_stop(const struct stage *stage);
/* The service is asked to pause: its thread goes on with it at once. */
void ask_pause(const struct stage *stage);
/* Stops and frees; every block of the pool must be free. */
void end_stage(struct stage *stage);

/* As caller_event(), caller_message(), caller_tell(), caller_submit(). */
struct link_event *next_event(struct stage *stage);
struct wire_message next_message(struct stage *stage, enum wire_type type);
void tell(struct stage *stage, const struct wire_message *message);
void submit(struct stage *stage, const struct wire_submit *submit);
/* The node dials (again), says HELLO, and is welcomed. */
void await_link(struct stage *stage);
/* Results may come until the DONE; how many ids they brought. */
uint32_t await_done(struct stage *stage, struct wire_done *done);

extern int32_t prompt_ids[CONTEXT + 10];
/* Of the first `prompt_length` of prompt_ids, which are written anew. */
struct wire_submit given_submit(const struct stage *stage, uint64_t request,
                                uint32_t prompt_length);
void cancel(struct stage *stage, const struct wire_submit *submit);

#endif

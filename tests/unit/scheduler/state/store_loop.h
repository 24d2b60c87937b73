/* tests/unit/scheduler/state/store_loop.h -- a loop on which a test asks a store and waits for its answers. */
#ifndef TESTS_UNIT_SCHEDULER_STATE_STORE_LOOP_H
#define TESTS_UNIT_SCHEDULER_STATE_STORE_LOOP_H

#include "tests/test.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct redisReply;
struct store;
struct store_script;
struct test_redis;

/* assert_soon() (test.h) while the loop turns. */
#define assert_soon_on(base, condition)                           \
    do {                                                          \
        int looks = 0;                                            \
        while (!(condition))                                      \
            if (++looks < TEST_LOOKS_MAX)                         \
                store_loop_run(base, TEST_LOOK_US / 1000);        \
            else                                                  \
                fail_msg("it did not come to this: " #condition); \
    } while (0)

struct store_answer {
    bool done;
    int times; // it was answered
    enum err err;
    char note[ERR_NOTE_MAX];
    long long integer;
    char text[64];
};

/* Turn the loop for so long, or until `*done`; a test that waits for a minute fails. */
void store_loop_run(struct event_base *base, unsigned milliseconds);
void store_loop_until(struct event_base *base, const bool *done);
void store_loop_until_up(struct event_base *base, const struct store *store, bool up);
/* Until Redis has answered everything that this store has asked so far, and what was asked because of those answers. */
void store_loop_settle(struct event_base *base, struct store *store);
/* What a group's tests begin with: a redis-server of their own, a loop, and a store that has found it. False, and all is as it was:
 * there is no redis-server. */
bool store_loop_begin(struct test_redis *redis, struct event_base **base, struct store **store);
/* The same of a redis-server that runs. */
void store_loop_open(const struct test_redis *redis, struct event_base **base,
                     struct store **store);
/* The last thing that a test program does with them: both are freed. NULL, NULL: it did nothing. */
void store_loop_end(struct event_base *base, struct store *store);

/* A store_reply_fn that keeps the answer in a struct store_answer. */
void store_loop_keep(void *answer, enum err err, const struct redisReply *reply);

/* Ask and wait: a command of texts that ends with NULL; a script of one key. */
struct store_answer store_loop_ask(struct event_base *base, struct store *store, ...)
    __attribute__((sentinel));
struct store_answer store_loop_eval(struct event_base *base, struct store *store,
                                    struct store_script *script, const char *key,
                                    const char *argument);

#endif

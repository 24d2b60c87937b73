/* tests/unit/scheduler/state/crowd.h -- schedulers in one process, as their limits see it: each has a store and limits of its own. */
#ifndef TESTS_UNIT_SCHEDULER_STATE_CROWD_H
#define TESTS_UNIT_SCHEDULER_STATE_CROWD_H

#include "scheduler/state/limit.h"
#include "tests/support/redis.h"

#include <stdbool.h>

struct event_base;

/* The answer to one limit_reserve(). */
struct crowd_answer {
    bool done;
    int times;
    enum err err;
    char note[400];
    struct limit_answer limit;
    struct limit_ticket *ticket; // while it is pending or held
};

struct crowd_member {
    struct store *store;
    struct limits *limits;
};

extern struct test_redis crowd_redis;
extern struct event_base *crowd_base; // NULL: there is no redis-server
extern unsigned crowd_patience_ms;    // of a command; 20,000: a busy machine is not an away Redis

/* As CMocka's group functions. */
int crowd_set_up(void **state);
int crowd_tear_down(void **state);

/* A scheduler that is connected; `options` may set the windows and the setting for when Redis is away. */
struct crowd_member crowd_join(const struct limit_options *options);
/* It gives back what it holds, then it is gone. */
void crowd_leave(struct crowd_member *member);
/* It is gone. */
void crowd_kill(struct crowd_member *member);

void crowd_run(unsigned ms);
void crowd_run_until(const bool *done);
/* Until Redis has answered what the member asked, and what it asked because of that. */
void crowd_settle_redis(const struct crowd_member *member);
void crowd_wait_up(const struct store *store, bool up);

/* Of the tenant "shop", for one stream, with no fewer tokens: of a key that names no user, of a user whose key has no
 * limits. */
struct limit_ask crowd_of_key(const char *key, struct limit_rule rule, uint64_t tokens);
struct limit_ask crowd_of_user(const char *user, struct limit_rule rule, uint64_t tokens);

/* Ask, and wait for the answer. */
struct crowd_answer crowd_ask(const struct crowd_member *member, const struct limit_ask *ask);
/* Ask; the answer is written when it comes. */
void crowd_ask_later(const struct crowd_member *member, const struct limit_ask *ask,
                     struct crowd_answer *answer);
void crowd_settle(struct crowd_answer *answer, uint64_t used);

#endif

/* tests/unit/scheduler/pair.h -- two schedulers over one Redis, each with a played node, for tests of what a client sees that asks
 * again under its Idempotency-Key. One test at a time. */
#ifndef TESTS_UNIT_SCHEDULER_PAIR_H
#define TESTS_UNIT_SCHEDULER_PAIR_H

#include "tests/support/fake_node.h"
#include "tests/support/redis.h"
#include "tests/unit/scheduler/desk.h"
#include "tests/unit/scheduler/exchange.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    PAIR_EVENTS_MAX = 128,
    PAIR_CHOICES_MAX = 4
};

struct pair {
    struct test_redis redis; // its process is 0 where there is none to be had
    char secret[64];         // the path of the session key that both have
    struct desk first, second;
    struct fake_node *nodes[2]; // of first and second
};

extern struct pair pair;
/* What a node says that is not told what to say. */
extern const char pair_greeting[];

/* For cmocka's group: the Redis and the secret. */
int pair_set_up(void **state);
int pair_tear_down(void **state);

/* `flags` as desk_start() has them, or NULL. */
void pair_start(const char *const *flags, const struct fake_node_options *like);
void pair_start_one(struct desk *desk, struct fake_node **node, const char *const *flags,
                    const struct fake_node_options *like);
/* Both are idle, or soon will be. */
void pair_stop(void);

/* A chat under a key; `last`: NULL or the Last-Event-ID; `rest` of the body. */
int pair_begin(const struct desk *desk, const char *key, const char *last, const char *rest);
char *pair_ask(const struct desk *desk, const char *key, const char *last, const char *rest);

/* The events of a stream that have ids. */
struct told {
    char *answer; // with its head
    char *ids[PAIR_EVENTS_MAX];
    const char *ends[PAIR_EVENTS_MAX]; // behind each event
    size_t count;
};

/* Takes the answer. */
struct told events_of(char *answer);
void told_free(struct told *events);
/* One connection that brought `whole`, or two, up to event `cut` of it and then `rest`, say the same, choice by choice,
 * wherever chunks begin and end. */
void assert_joined(const struct told *whole, size_t cut, const char *rest);

#endif

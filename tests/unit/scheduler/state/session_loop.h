/* tests/unit/scheduler/state/session_loop.h -- sessions of alice's in a real Redis that wants one replica, and a loop on which a
 * test asks for them and waits for the answers. */
#ifndef TESTS_UNIT_SCHEDULER_STATE_SESSION_LOOP_H
#define TESTS_UNIT_SCHEDULER_STATE_SESSION_LOOP_H

#include "scheduler/state/durable.h"
#include "scheduler/state/keyring.h"
#include "scheduler/state/record.h"
#include "scheduler/state/session.h"
#include "tests/support/redis.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct redisReply;

enum {
    WAIT_MS = 2500 // for the replica: long enough for a busy machine
};

struct answer {
    bool done;
    enum err err;
    char note[ERR_NOTE_MAX];
    struct session session; // without its turns
    uint64_t version;
    bool repeated;
    char last[1000];
    size_t count, total;
    char ids[1000];
};

extern struct test_redis redis;
extern struct event_base *base; // NULL: there is no redis-server
extern struct sessions *sessions;
extern struct keyring keys; // theirs

/* As CMocka's group functions. */
int session_loop_set_up(void **state);
int session_loop_tear_down(void **state);
/* More of them, of other keys; sessions_free() them. */
struct sessions *sessions_with(const struct keyring *ring);

/* A session of alice's; `turn` may be NULL. */
struct session_name named(const char *id, const char *turn);
struct answer load_by(struct sessions *by, const char *id, const char *turn);
struct answer load(const char *id);
/* One turn of the assistant's, which was cut: the answer is written when it comes, or waited for. */
void begin_save(struct answer *answer, struct sessions *by, const struct session_name *name,
                struct session session, const char *text, bool replicated);
struct answer save_turn(const char *id, const char *turn, uint64_t version, const char *text,
                        bool replicated);

/* For other calls: a session_saved_fn that writes the answer; the first thing that any such function does; wait for an answer,
 * which has not come from inside of the call. */
void session_loop_saved(void *answer, enum err err, uint64_t version, bool repeated);
void session_loop_keep(struct answer *answer, enum err err);
void session_loop_wait(struct answer *answer);

/* Where the session lies in Redis, and Redis asked by the way of no store; freeReplyObject() the reply. */
struct record_place place_of(const char *id);
struct redisReply *ask_redis(const struct test_redis *which, size_t count, const char **words,
                             const size_t *sizes);

#endif

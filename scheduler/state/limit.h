/* scheduler/state/limit.h -- what a key and its users may spend: reserve before, settle after.
 *
 *      limit_reserve ----> refused, away                    the ticket is dead
 *            |       \---> admitted ----> limit_settle      exactly once, when the answer has ended
 *            +-----------> limit_drop                       the asker went away before it heard
 *
 * What is promised, with any number of schedulers, while one Redis keeps its memory and its clock:
 *
 *   - Requests and tokens, by the time of their admission: in no 60 seconds (24 hours), wherever they begin, are more
 *     admitted than the limit. An admitted request counts what it reserves until it settles, then what it used, which
 *     is never more: nobody generates beyond it.
 *   - Streams (answers in the making, streamed or not, each choice of `n`): at no time more than the limit. Those of a
 *     scheduler that was killed (or could not reach Redis for so long) stop counting after 10 s.
 *   - What stands unused and cannot be had elsewhere is at most one chunk for each scheduler (lease.h), for those that
 *     were killed until the window has passed.
 *
 * A user is counted in Redis at each request, in one atomic call (meter.h); a key in chunks that each scheduler leases
 * and spends without asking. The key is asked first: whoever admits first is given back its part when the other refuses.
 * Users are those of the tenant; a request that names none counts as the key's own user, so that nobody escapes by
 * leaving a header out.
 *
 * When Redis is away, `open` admits what cannot be counted and `closed` refuses it with ERR_STORE_AWAY. Streams that were
 * admitted so are counted when Redis is back, and what ended or was lost meanwhile is put right (limit_user.h). A failover to a
 * replica that lags forgets what the replica had not heard (docs/redis.md).
 *
 * Thread: the loop's. The answer comes exactly once: later, unless its ticket is dropped; or at once, where what is held
 * here is enough (limit_admitted()). */
#ifndef SCHEDULER_STATE_LIMIT_H
#define SCHEDULER_STATE_LIMIT_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct limit_ticket;
struct limits;
struct store;

enum {
    LIMIT_ROOT_SIZE = 32
};

#define LIMIT_TOKENS_MAX INT64_C(1000000000000) // of a rule: sums stay exact in Lua

/* 0: no limit. */
struct limit_rule {
    uint64_t requests_per_minute, tokens_per_minute, tokens_per_day, streams;
};

/* Whether it limits anything. */
bool limit_is_set(const struct limit_rule *rule);

struct limit_options {
    struct event_base *base;
    struct store *store;
    const unsigned char *root; // [LIMIT_ROOT_SIZE] the cluster's secret: names users in Redis
    bool open_when_away;
    uint32_t minute_ms, day_ms, stream_ms; // shorter ones for tests; 0: 60,000, 86,400,000, 10,000
};

struct limit_ask {
    const char *key;           // the API key's public id
    const char *tenant, *user; // `user` may be "": the key's own
    struct limit_rule key_rule, user_rule;
    uint64_t tokens; // that the request may use
    uint64_t least;  // it makes do with so many, at most `tokens`
    uint32_t streams;
};

/* One limit as it stands: the key's or the user's, whichever has less left. */
struct limit_view {
    uint64_t limit; // 0: there is none
    uint64_t left;
    uint32_t reset_ms; // until nothing of it is spent
};

struct limit_answer {
    bool skipped;    // Redis is away, the setting is `open`: (a part) was not counted
    uint64_t tokens; // that may be used: from `least` to `tokens`
    struct limit_view requests, minute, day; // minute, day: of tokens
    uint32_t retry_seconds;                  // with ERR_LIMITED: at least 1
};

/* ERR_OK; ERR_LIMITED (the note says which limit of whom, how much was asked, how much is left); ERR_STORE_AWAY;
 * ERR_TOO_LARGE when a limit is smaller than what the request needs at least. */
typedef void limit_fn(void *argument, enum err err, const struct limit_answer *answer);

struct limits *limits_new(const struct limit_options *options);
/* Give back at once whatever is held and not used; before the store goes, so that it still leaves. */
void limits_leave(struct limits *limits);
/* After the store: it answers what is pending. Tickets that are still held die unsettled, as if we had been killed. */
void limits_free(struct limits *limits);

/* Strings are copied. Ask limit_admitted() then: a request of a key whose chunk is here waits for nobody. */
struct limit_ticket *limit_reserve(struct limits *limits, const struct limit_ask *ask,
                                   limit_fn *done, void *argument);
/* The answer, when limit_reserve() had it itself: the ticket is admitted, and `done` is not called. Else NULL. Borrowed,
 * as long as the ticket. */
const struct limit_answer *limit_admitted(const struct limit_ticket *ticket);
/* The answer has ended; `used` tokens of those that were admitted. The ticket is dead. */
void limit_settle(struct limit_ticket *ticket, uint64_t used);
/* The asker is gone before its answer: its function will not be called, and what the answer reserves is given
 * back. The ticket is dead. */
void limit_drop(struct limit_ticket *ticket);

#endif

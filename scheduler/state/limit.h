/* scheduler/state/limit.h -- requests and tokens per minute of a key: reserve before, settle after.
 *
 * One Lua function on one slot decides atomically with Redis' own clock: two token buckets (capacity = the
 * minute's limit, refilled continuously), so any number of schedulers share them and none over-admits. What a request reserved and did
 * not use is given back by limit_settle(). When Redis is away, `open` admits and `closed` refuses with
 * ERR_STORE_AWAY; both are counted.
 *
 * Thread: the loop's. The answer comes exactly once, later, unless its ticket is dropped. */
#ifndef SCHEDULER_STATE_LIMIT_H
#define SCHEDULER_STATE_LIMIT_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct store;
struct limits;
struct limit_ticket;

/* 0: no limit. */
struct limit_rule {
    uint64_t requests_per_minute;
    uint64_t tokens_per_minute;
};

struct limit_answer {
    bool skipped; // there was nothing to limit, or Redis is away and the setting is `open`
    uint64_t requests_left, tokens_left;
    uint32_t retry_seconds;                      // with ERR_LIMITED: at least 1
    uint32_t requests_reset_ms, tokens_reset_ms; // until the bucket is full again
};

/* ERR_OK; ERR_LIMITED (the note says which limit, how much was asked, how much is left); ERR_STORE_AWAY;
 * ERR_TOO_LARGE when `tokens` is more than a whole minute's. */
typedef void limit_fn(void *argument, enum err err, const struct limit_answer *answer);

struct limits *limits_new(struct store *store, bool open_when_away);
void limits_free(struct limits *limits);

/* `key` names the API key by its public id. */
struct limit_ticket *limit_reserve(struct limits *limits, const char *key,
                                   const struct limit_rule *rule, uint64_t tokens, limit_fn *done,
                                   void *argument);
/* Give back what was reserved and not used (`reserved` - `used` tokens; a negative rest is charged). */
void limit_settle(struct limits *limits, const char *key, const struct limit_rule *rule,
                  uint64_t reserved, uint64_t used);
/* The asker is gone: its function will not be called, and what the answer reserves is given back at once, so
 * the asker settles nothing. */
void limit_drop(struct limit_ticket *ticket);

#endif

/* scheduler/state/meter.h -- the hash in Redis that counts what one key or one user spends, and the one function that
 * changes it.
 *
 * Time, by Redis' own clock, is cut into slots: 30 to a minute, 24 to a day. What is taken is counted in the slot that
 * runs; a window is the slot that runs and the 30 (24) before it. The function grants no more than the limit less the
 * sum over the window:
 *
 *            |<------------ the window: 30 slots, and the one that runs ----------->|
 *      ... | s-30 | s-29 |                      ...                    | s-1 |  s  now
 *                    |<--------------- any 60 s up to now -------------------->|
 *
 * Any 60 s touch at most 31 slots in a row, and at the latest grant in the last of them those 31 held no more than the
 * limit; counts only fall otherwise, by what was taken and not used. So no 60 s, wherever they begin, see more than the
 * minute's limit taken, and no 24 hours more than the day's. The price: what was spent comes back after 60 to 62 s (a
 * day's after 24 to 25 h), so that a steady stream gets 30/31 (24/25) of its limit.
 *
 * Streams are counted for each scheduler, with the time at which the entry is over: one that is killed and renews no more
 * is not counted after `stream_ms`.
 *
 * One call touches one key of Redis. Thread: the loop's. */
#ifndef SCHEDULER_STATE_METER_H
#define SCHEDULER_STATE_METER_H

#include "scheduler/state/limit.h"

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct store;

enum {
    METER_MINUTE_SLOTS = 30,
    METER_DAY_SLOTS = 24,
    METER_BACKS_MAX = 64, // in one call
    METER_NAME_MAX = 96,
    METER_KEEP = -1
};

struct meter;

/* Taken in a slot and not used. */
struct meter_back {
    uint64_t slot, requests, tokens;
};

/* Grant at least `least`, or nothing; `most` if it is there; up to `want` out of a quarter of what there is. */
struct meter_span {
    uint64_t least, most, want;
};

struct meter_call {
    struct limit_rule rule;
    const struct meter_back *backs; // [back_count], given back first
    size_t back_count;
    struct meter_span requests, tokens, streams; // all of them or none
    int64_t streams_held;  // this scheduler's, before: the truth, or METER_KEEP
    uint32_t streams_back; // with METER_KEEP: so many have ended
};

enum meter_verdict {
    METER_GRANTED,
    METER_REQUESTS,
    METER_MINUTE,
    METER_DAY,
    METER_STREAMS,
    METER_VERDICTS
};

struct meter_answer {
    enum meter_verdict verdict;         // else the limit that takes longest
    uint64_t slot;                      // in which the granted is counted
    uint32_t slot_left_ms;              // until its end
    uint64_t requests, tokens, streams; // granted
    uint64_t requests_left, minute_left, day_left,
        streams_left; // after; large where nothing limits
    uint32_t wait_ms; // until what was refused can be there
    uint32_t requests_reset_ms, minute_reset_ms, day_reset_ms; // until nothing is spent
};

/* ERR_STORE_AWAY, ERR_TIMEOUT: whether the call was done is not known. */
typedef void meter_fn(void *argument, enum err err, const struct meter_answer *answer);

/* `minute_ms`, `day_ms`: 60,000 and 86,400,000, but in tests. */
struct meter *meter_new(struct store *store, uint32_t minute_ms, uint32_t day_ms,
                        uint32_t stream_ms);
void meter_free(struct meter *meter);
/* `key` is Redis' name of the hash. `done` may be NULL; it is never called from inside. */
void meter_call(struct meter *meter, const char *key, const struct meter_call *call, meter_fn *done,
                void *argument);
/* The day's slot in which the minute's slot lies. */
uint64_t meter_hour(const struct meter *meter, uint64_t slot);

#endif

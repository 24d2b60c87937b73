/* scheduler/state/lease.h -- a key's quota as one scheduler holds it: chunks leased from Redis, spent without asking.
 *
 *      take: there is enough --------> served at once
 *            else wait; ask Redis for what all who wait need, and a chunk
 *                    granted --------> served in order; who finds too little is asked for again
 *                    refused --------> the first is refused, and all whom the same rest cannot serve
 *
 * A chunk is 1/16 of the minute's limit, or 1/256 of the day's (tokens: of the smaller), or what a request needs when
 * that is more; it shrinks to a quarter of what Redis has left. It may be spent until the slot ends in which Redis
 * counts it (meter.h), reckoned from before the question was sent, so never in a later one. What is left then, what nobody
 * wanted for LEASE_IDLE_MS, and what requests did not use, goes back within a tick; at rest no more than a chunk is held.
 * One call is under way at a time. When its answer is lost, what it would have granted is lost
 * with it until the window has passed: never is more given back than was taken.
 *
 * Places of streams are held in the same way, as long as Redis hears from us every third of their life.
 *
 * Pure: time is an argument, Redis is behind `call`. Thread: the loop's. */
#ifndef SCHEDULER_STATE_LEASE_H
#define SCHEDULER_STATE_LEASE_H

#include "scheduler/state/meter.h"

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    LEASE_IDLE_MS = 500,
    LEASE_CHUNKS = 16, // of a minute's limit, or of the streams
    LEASE_DAY_CHUNKS = 256
};

struct lease;

struct lease_need {
    uint64_t least, most; // tokens
    uint32_t streams;
};

/* What was taken. */
struct lease_part {
    uint64_t slot, tokens;
    uint32_t streams;
};

/* One who may have to wait; the caller's memory, until it is served or leaves. */
struct lease_waiter {
    struct lease_waiter *next, *previous;
    struct lease_need need;
    bool asked;             // the call that is under way counts it in
    bool ended;             // `served` is about to be called
    enum err err;           // of the end
    struct lease_part part; // with ERR_OK
};

struct lease_seams {
    void *owner;
    /* Carry the call to Redis, then lease_answered(); never from inside. */
    void (*call)(void *owner, struct lease *lease, const struct meter_call *call);
    /* A waiter's end, in `err` and `part`. With ERR_LIMITED the verdict and the rest are in lease_told(). */
    void (*served)(void *owner, struct lease_waiter *waiter);
    uint32_t stream_ms;
};

struct lease *lease_new(const struct lease_seams *seams);
/* Nobody waits any more. */
void lease_free(struct lease *lease);

/* True: *part was taken at once. False: the waiter waits. */
bool lease_take(struct lease *lease, const struct limit_rule *rule, struct lease_waiter *waiter,
                uint64_t now_ns, struct lease_part *part);
/* It waits no more; what it was just served goes back. */
void lease_leave(struct lease *lease, struct lease_waiter *waiter, uint64_t now_ns);
/* The part's request has ended, or was refused elsewhere (`requests` 1: it was none). */
void lease_return(struct lease *lease, const struct lease_part *part, uint32_t requests,
                  uint64_t tokens, uint32_t streams, uint64_t now_ns);
void lease_answered(struct lease *lease, enum err err, const struct meter_answer *answer,
                    uint64_t now_ns);
/* Redis is away: what comes back may be another one, which has not heard of the latest grants. What is held is not spent
 * any more, nor given back: it ends with its window. */
void lease_forget(struct lease *lease);
/* Streams that were admitted without Redis: they count from now on, and are returned as part of slot 0, without tokens. */
void lease_adopt(struct lease *lease, uint32_t streams);
/* Ten times a second: give back what is over or idle, renew what runs. */
void lease_tick(struct lease *lease, uint64_t now_ns);
/* Give back everything that nobody uses, for the last time: who asks still, or again, is told ERR_STORE_AWAY. */
void lease_close(struct lease *lease, uint64_t now_ns);

/* What Redis told last, with what is held here. */
const struct meter_answer *lease_told(const struct lease *lease);
uint64_t lease_requests(const struct lease *lease);
uint64_t lease_tokens(const struct lease *lease);

#endif

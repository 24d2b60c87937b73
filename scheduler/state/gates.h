/* scheduler/state/gates.h -- the gates in Redis: their records, the epoch of the latest change, and who holds a lease.
 *
 *      every 200 ms:   renew --(a write: our lease, the epoch that we act on)--> records, if they changed
 *                      WAIT  --(replicas that have the write)-->  enough: a lease, timed from before the renewal was sent
 *
 *      change:         compare and set of one record, epoch + 1, WAIT
 *      settle:         until every holder of a lease acts on the epoch, or its lease is over by our own clock
 *
 * A renewal's answer brings every change that Redis has seen before it. So whoever holds a lease a second after a change acts on it, however
 * the network was cut meanwhile: a scheduler that cannot reach Redis, or reaches one that cannot reach its replicas, has no lease by then.
 * Nor do two masters give leases and confirm changes at once: each needs most of the servers, and a replica follows one.
 * An epoch that is lower than one that we have seen is of a Redis that has lost changes: it gives no lease.
 * After that, and behind each new connection, an epoch that we know may stand for other records: they are read anew before a lease counts.
 *
 * All of it lives in one slot ({gate}) and is asked on a connection of its own, which WAIT blocks. Thread: the loop's. */
#ifndef SCHEDULER_STATE_GATES_H
#define SCHEDULER_STATE_GATES_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct gates;
struct store;

enum {
    GATES_LEASE_MS = 800, // from before a renewal is sent
    GATES_RENEW_MS = 200, // between two renewals
    GATES_WAIT_MS = 400,  // for the replicas of one
    GATES_MAX = 512,      // records
    GATES_HOLDERS_MAX = 60,
    GATES_NAME_MAX = 160
};

/* A record as it stands in Redis; borrowed for the call. */
struct gates_text {
    const char *name, *text;
    size_t size;
};

struct gates_seams {
    void *owner;
    /* The records at `epoch`, all of them: from now on they hold. */
    void (*records)(void *owner, uint64_t epoch, const struct gates_text *texts, size_t count);
};

struct gates_options {
    struct event_base *base;
    struct store *store; // owned from now on; its timeout must be longer than GATES_WAIT_MS
    uint32_t
        replicas; // that Redis has: with its master, most of the servers must have a write that counts
    struct gates_seams seams;
};

struct gates *gates_new(const struct gates_options *options);
/* The lease is given back, so that nobody waits for it. What is pending is answered with ERR_STORE_AWAY. */
void gates_free(struct gates *gates);

bool gates_has_lease(const struct gates *gates, uint64_t now_ns);
/* Whether records were ever read, and their epoch: 0 before the first change. */
bool gates_is_known(const struct gates *gates);
uint64_t gates_epoch(const struct gates *gates);
/* Whether Redis told a lower epoch than one that was seen: that one, and Redis'. */
bool gates_went_back(const struct gates *gates, uint64_t *seen, uint64_t *told);

struct gates_outcome {
    uint64_t epoch;
    unsigned holders, acknowledged; // of leases when it was written; of those, who acts on it
    uint64_t ms;                    // since the change was asked for
};

/* ERR_OK: it is written, most servers have it, its records hold here, and, with `settles`, nobody acts on anything older. ERR_CONFLICT: the record is not
 * `before` any more. ERR_NOT_REPLICATED: it is written, and what most replicas have is not known. */
typedef void gates_changed_fn(void *argument, enum err err, const struct gates_outcome *outcome);

/* Write the record `name`; `before` is what it was ("": it is new). Texts are copied. */
void gates_change(struct gates *gates, const char *name, const char *before, const char *after,
                  bool settles, gates_changed_fn *done, void *argument);

#endif

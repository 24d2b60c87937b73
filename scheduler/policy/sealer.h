/* scheduler/policy/sealer.h -- the audit's records, from Redis into files.
 *
 *      qiao:{audit}:sealed   hash
 *          number, root, records, sealed   of the newest file: which, its root, how many records, when (ms, Redis' clock)
 *          last                            the stream's entry that it ends with
 *          asks, served                    how often somebody has asked for a file, and up to which of them it was done
 *      qiao:{audit}:lock                   who of the schedulers with a folder does it (features/lock.h)
 *
 * One file is made like this, each step once the one before is done:
 *
 *      look (Redis) -> the newest file (disk) -> records (Redis) -> a draft (disk) -> its number and root (Redis, compare and set)
 *           -> the draft becomes the file, old ones go (disk) -> the records leave the stream (Redis)
 *
 * so that a crash anywhere leaves each record in the stream, in a file, or in both, never in two files. A folder that is not the one where
 * the newest file went, or whose newest file was tampered with, is not written to: sealer_failure() says why.
 *
 * Thread: the loop's; the disk's part is a worker's. */
#ifndef SCHEDULER_POLICY_SEALER_H
#define SCHEDULER_POLICY_SEALER_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct audit;
struct event_base;
struct scribe;
struct sealer;
struct sealer_ticket;
struct sign_secret;
struct store;

enum {
    SEALER_RECORDS_MAX = 20000, // of a file
    SEALER_BYTES_MAX = 32 << 20,
    SEALER_PAGE = 500,
    SEALER_ASK_MS = 30000 // how long an order may take
};

#define SEALER_KEY "qiao:{audit}:sealed"

struct sealer_options {
    struct event_base *base;
    struct store *store;
    struct scribe *scribe;
    struct audit *audit;
    const char *folder;            // borrowed; "": this scheduler seals nothing
    const struct sign_secret *key; // borrowed; NULL: files are not signed
    uint64_t seconds;              // between two files
    uint32_t days;                 // that files are kept, at least; 0: for ever
    uint64_t given_up_ms;          // 0: AUDIT_GIVEN_UP_MS
};

/* ERR_IO: the folder cannot be used. */
enum err sealer_new(struct sealer **out, const struct sealer_options *options);
/* Begin nothing any more: before the scribe and the store are freed. */
void sealer_stop(struct sealer *sealer);
/* After both. Open tickets are answered with ERR_UNAVAILABLE before. */
void sealer_free(struct sealer *sealer);
/* Rules ask for at least so many days. */
void sealer_keep(struct sealer *sealer, uint32_t days);
/* For how many days files are kept at least; 0: for ever. */
uint32_t sealer_days(const struct sealer *sealer);

/* The newest file as Redis knows it. */
struct sealer_state {
    uint64_t number; // 0: there is none
    char root[65];   // hexadecimal; "": none
    uint64_t records;
    int64_t sealed_ms;
};

/* Answers once, from the loop, unless it was dropped; `state` is NULL with an error. */
typedef void sealer_fn(void *argument, enum err err, const struct sealer_state *state);
/* Have all records sealed that are in Redis now, by whichever scheduler has a folder. ERR_UNAVAILABLE: none did within SEALER_ASK_MS. */
struct sealer_ticket *sealer_ask(struct sealer *sealer, sealer_fn *done, void *argument);
void sealer_drop(struct sealer_ticket *ticket);

/* The newest file as Redis told it some seconds ago at most; zeroed before. */
const struct sealer_state *sealer_seen(const struct sealer *sealer);
/* Why the latest try failed; "": it did not. */
const char *sealer_failure(const struct sealer *sealer);

#endif

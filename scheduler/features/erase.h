/* scheduler/features/erase.h -- everything that is kept of a user is deleted, at once for the service, and a receipt says what of it still
 * stands in Redis' files.
 *
 *      qiao:{u:OWNER}:erased        hash   mark: the id of the latest erasure; ids: those of the latest ERASURES_KEPT, the newest first
 *      qiao:{u:OWNER}:erasure:ID    hash   the receipt (below), for ERASURE_KEPT_SECONDS
 *
 * One call of Redis leaves the mark, destroys the data keys of sessions, events and tags, then deletes these, the consents and the
 * list of sessions. The mark outlives everything that could come back: a session that is in the air is not saved (state/session.h),
 * an event without its consent is not stored (events.h). Then the links that lead from partners' names to the user go, and the user's
 * place among those who have events, and replicas are waited for, where there are any. What could not be done meanwhile is done by the next look at the receipt.
 *
 * What is left behind: counters of limits for at most 26 hours, counts of what is popular (they name nobody), hashes of
 * Idempotency-Keys. Redis' own files keep what was written before until they are written anew: the receipt holds how often that had
 * begun, and a look compares. Whoever has an old file needs the master key besides, so its retirement ends it everywhere.
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_FEATURES_ERASE_H
#define SCHEDULER_FEATURES_ERASE_H

#include "scheduler/state/keyring.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct consents;
struct durables;
struct erasures;
struct store;

enum {
    ERASURE_ID_SIZE = 33,              // 32 hexadecimal digits and a NUL
    ERASURES_KEPT = 16,                // receipts of one user
    ERASURE_KEPT_SECONDS = 400 * 86400 // longer than any session may live
};

enum erasure_state {
    ERASURE_PENDING,
    ERASURE_COMPLETE,
    ERASURE_NONE // there is no such file
};

/* How far Redis has come in writing one of its files anew. */
struct erasure_file {
    bool enabled;
    uint64_t begun; // how often since the process `run` began
    bool busy;      // the latest is not over
    bool good;      // the latest that is over has not failed
};

struct erasure_redis {
    char run[48]; // Redis' run id
    struct erasure_file append, snapshot;
    uint64_t replicas; // that are connected
};

/* The receipt. */
struct erasure {
    char id[ERASURE_ID_SIZE];
    int64_t at_ms;
    uint64_t sessions, events, consents, links, tags; // that were deleted
    bool
        unlisted; // there may have been sessions that no list knew: they cannot be opened, and end by themselves
    int64_t caches_ms;     // when the nodes had dropped what they held; 0: not yet
    int64_t replicated_ms; // when as many replicas had it as turns wait for; 0: not yet
    size_t links_left;     // that could not be deleted yet
    struct erasure_redis then, now;
    int64_t append_ms, snapshot_ms; // since when it is known that it was written anew; 0: it is not
    uint32_t keys[KEYRING_KEYS_MAX]; // master keys of then, the newest first
    size_t key_count;
    size_t keys_left; // of them, that are still in the file
};

/* Of a file: written anew after the receipt was. Pure. */
enum erasure_state erasure_file_state(const struct erasure *erasure, bool snapshot);

/* All outlive it. `durables` NULL: no replica is waited for. */
struct erasures *erasures_new(struct store *store, struct durables *durables,
                              struct consents *consents, const struct keyring *keys);
void erasures_free(struct erasures *erasures);

/* `erasure` is borrowed until the function returns, NULL with an error. Called once, from the loop. */
typedef void erasure_fn(void *argument, enum err err, const struct erasure *erasure);
/* Erase. ERR_STORE_AWAY: maybe nothing was; asking again does no harm. */
void erase_user(struct erasures *erasures, const char *tenant, const char *user, erasure_fn *done,
                void *argument);
/* Look at a receipt, and finish what was left. ERR_NOT_FOUND: this user has none of this id. */
void erasure_look(struct erasures *erasures, const char *tenant, const char *user, const char *id,
                  erasure_fn *done, void *argument);
/* The nodes have dropped what they held of the user. */
void erasure_note_caches(struct erasures *erasures, const char *tenant, const char *user,
                         const char *id);
/* The ids of the user's receipts, the newest first, with spaces between; borrowed until the function returns, NULL with an error. */
typedef void erasures_fn(void *argument, enum err err, const char *ids);
void erasures_list(struct erasures *erasures, const char *tenant, const char *user,
                   erasures_fn *done, void *argument);
bool erasure_is_id(const char *text);

#endif

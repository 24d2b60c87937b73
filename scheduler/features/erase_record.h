/* scheduler/features/erase_record.h -- an erasure's receipt as Redis gives it, read; part of erase.h, nobody else includes it.
 *
 *      the hash   v 1, at (ms), sessions, events, consents, links, tags, unlisted, left (LINK …), keys (id …), then_NAME of Redis' INFO;
 *                 later caches_at, replicated_at, append_at, snapshot_at (ms)
 *      the facts  NAME, value, … of Redis' INFO now
 *
 * Pure. Thread: any. */
#ifndef SCHEDULER_FEATURES_ERASE_RECORD_H
#define SCHEDULER_FEATURES_ERASE_RECORD_H

#include "scheduler/features/erase.h"

struct redisReply;

/* The id stays. `left` is borrowed from the reply. ERR_NOT_FOUND: there is no such receipt. */
enum err erase_record_read(struct erasure *erasure, const struct keyring *keys,
                           const struct redisReply *reply, const char **left);

#endif

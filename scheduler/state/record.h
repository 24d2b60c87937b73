/* scheduler/state/record.h -- the bytes of a session in Redis: where they stand, how they are sealed.
 *
 * The record is sealed with XChaCha20-Poly1305 under the session's own data key; that key stands wrapped beside it
 * (keyring.h). Both are bound to the owner and the id, the record to its version too. docs/redis.md draws the bytes.
 *
 * Pure. Thread: any. */
#ifndef SCHEDULER_STATE_RECORD_H
#define SCHEDULER_STATE_RECORD_H

#include "scheduler/state/keyring.h"
#include "scheduler/state/session.h"

#include "base/buf.h"
#include "base/err.h"

enum {
    RECORD_OWNER_SIZE = 16,
    RECORD_TURN_SIZE = 32 // hexadecimal digits of a turn id's hash
};

/* Where one session lives and what its record is bound to. */
struct record_place {
    unsigned char owner[RECORD_OWNER_SIZE];
    char id[SESSION_ID_MAX + 1];
    char prefix[80]; // of all of the owner's sessions; the id follows in `key`
    char key[160];
    char index[80];                  // the owner's list of sessions
    char erasure[80];                // the mark of the owner's latest erasure
    char turn[RECORD_TURN_SIZE + 1]; // hash of the append's idempotency id; "" none
};

/* `name->id` may be NULL: the owner alone. */
struct record_place record_place(const struct keyring *ring, const struct session_name *name);

/* Write the turns as version `session->version + 1`, with the session's data key or a new one. ERR_TOO_LARGE names size and
 * limit. */
enum err record_seal(const struct keyring *ring, const struct record_place *place,
                     const struct session *session, size_t bytes_max, struct buf *record,
                     unsigned char wrapped[KEYRING_WRAPPED_SIZE]);

/* The fields of the hash as Redis has them. */
struct record_fields {
    uint64_t version;
    const char *record, *wrapped; // `wrapped` NULL: of format 1, which has no key of its own
    size_t record_size, wrapped_size;
};

/* Fill version, turns and data key of `out`. `turns` has room for SESSION_TURNS_MAX; they point into `plain`. ERR_INTERNAL
 * for what does not open. */
enum err record_open(const struct keyring *ring, const struct record_place *place,
                     const struct record_fields *fields, struct session *out, struct buf *plain,
                     struct session_turn *turns);
/* The failure of a hash that is no session's. */
enum err record_unreadable(void);

#endif

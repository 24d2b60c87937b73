/* scheduler/state/session.h -- conversations, sealed in Redis.
 *
 * A session belongs to (tenant, user); to anyone else it does not exist (ERR_NOT_FOUND). Its record is one Redis string
 * under a key that names the user only by a keyed hash; the record is sealed with XChaCha20-Poly1305 (libsodium),
 * with owner, id and version as associated data, so a record cannot be moved to another owner, id or version. docs/redis.md
 * draws the bytes. A record that does not open is ERR_INTERNAL, never a silent fresh start.
 *
 * Thread: the loop's. Every call answers exactly once, later, unless its ticket is dropped. */
#ifndef SCHEDULER_STATE_SESSION_H
#define SCHEDULER_STATE_SESSION_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct store;

enum {
    SESSION_ID_MAX = 64, // bytes: letters, digits, '-', '_', '.'
    SESSION_TURNS_MAX = 512,
    SESSION_BYTES_MAX = 256 << 10, // of all turns together (a setting may lower it)
    SESSION_KEY_SIZE = 32
};

struct session_turn {
    const char *role; // "system", "user", "assistant"
    const char *content;
    size_t content_size;
};

/* What is stored. `version` counts the appends; 0: there is no such session yet. */
struct session {
    uint64_t version;
    const struct session_turn *turns;
    size_t turn_count;
};

struct session_name {
    const char *tenant;
    const char *user; // may be "": the key's own
    const char *id;
};

struct sessions;
struct session_ticket;

struct session_options {
    struct store *store;
    const unsigned char *master; // [SESSION_KEY_SIZE], from a file of the operator's
    uint32_t ttl_seconds;        // renewed by each append
    size_t bytes_max;
};

struct sessions *sessions_new(const struct session_options *options);
void sessions_free(struct sessions *sessions);

/* ERR_INVALID names what is wrong with an id. */
enum err session_check_id(const char *id, size_t size);

/* `session` is borrowed until the function returns; version 0 with no turns when there is none. */
typedef void session_loaded_fn(void *argument, enum err err, const struct session *session);
struct session_ticket *session_load(struct sessions *sessions, const struct session_name *name,
                                    session_loaded_fn *done, void *argument);

/* Write `session` (all of its turns) as version `session->version + 1`, if the stored version is still
 * `session->version`: ERR_CONFLICT otherwise, with the current version in the note. ERR_TOO_LARGE beyond the limits, naming
 * size and limit. */
typedef void session_saved_fn(void *argument, enum err err, uint64_t version);
struct session_ticket *session_save(struct sessions *sessions, const struct session_name *name,
                                    const struct session *session, session_saved_fn *done,
                                    void *argument);

/* ERR_NOT_FOUND when there was none. */
struct session_ticket *session_delete(struct sessions *sessions, const struct session_name *name,
                                      session_saved_fn *done, void *argument);

/* The asker is gone: its function will not be called. A save or delete still happens. */
void session_drop(struct session_ticket *ticket);

#endif

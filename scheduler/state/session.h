/* scheduler/state/session.h -- conversations, sealed in Redis.
 *
 * A session belongs to (tenant, user); to anyone else it does not exist (ERR_NOT_FOUND). It is one Redis hash under a key
 * that names the user only by a keyed hash; its record is sealed under a data key of its own, which stands beside it,
 * wrapped by the operator's newest master key (record.h, keyring.h): deleting the hash deletes the key. A record that does
 * not open is ERR_INTERNAL, never a silent fresh start.
 *
 * Each write names the version that it read, and makes the next one. It may carry a turn id of the client's: the last
 * SESSION_TURN_IDS of them are kept (as keyed hashes), and a write whose id is among them is answered with the version
 * that it made then, instead of ERR_CONFLICT.
 *
 * When a user's data are erased (features/erase.h), a mark is left. What was stored before it is not there any more, also what no list
 * knows, and what was loaded before it cannot be saved (ERR_CONFLICT): an answer that was in the air brings nothing back.
 *
 * Thread: the loop's. Every call answers exactly once, later, unless its ticket is dropped. */
#ifndef SCHEDULER_STATE_SESSION_H
#define SCHEDULER_STATE_SESSION_H

#include "scheduler/state/keyring.h"

#include "base/digest.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct durables;
struct store;

enum {
    SESSION_ID_MAX = 64, // bytes: letters, digits, '-', '_', '.'
    SESSION_TURN_ID_MAX = 64,
    SESSION_TURN_IDS = 8, // kept with a session
    SESSION_TURNS_MAX = 512,
    SESSION_BYTES_MAX = 256 << 10, // of all turns together (a setting may lower it)
    SESSION_INDEX_MAX = 1000,      // sessions of one owner that can be listed: the latest
    SESSION_LIST_MAX = 100,        // of a list for a client
    SESSION_MARK_SIZE = 33         // of an erasure's mark: hexadecimal digits and a NUL
};

struct session_turn {
    const char *role; // "system", "user", "assistant"
    const char *content;
    size_t content_size;
    uint64_t version;             // that added it; 0: it is new
    bool cut;                     // ended by its length
    bool summary;                 // a system turn of ours, that stands for turns which are gone
    struct digest model, adapter; // that said it; zero: nobody has noted it
    uint64_t region;              // under whose rules: digest_tag() of its name; 0: not noted
};

/* What is stored. `version` counts the appends; 0: there is no such session yet. */
struct session {
    uint64_t version;
    const struct session_turn *turns;
    size_t turn_count;
    uint32_t keep_seconds; // of a save: it lives no longer than that, 0: as the options say
    uint64_t ttl_ms;       // left of its life, when loaded
    uint64_t repeated;     // loaded with a turn id that is known: the version that it made; else 0
    char mark[SESSION_MARK_SIZE]; // from load to save: the user's latest erasure then; "": none
    bool has_key;                 // from load to save: the session keeps its data key
    unsigned char key[KEYRING_KEY_SIZE];
};

struct session_name {
    const char *tenant;
    const char *user; // may be "": the key's own
    const char *id;
    const char *turn; // the idempotency id of an append; NULL: none
};

struct sessions;
struct session_ticket;

struct session_options {
    struct store *store;
    const struct keyring *keys; // borrowed
    uint32_t ttl_seconds;       // renewed by each append
    size_t bytes_max;
    struct durables *durables; // of replicated writes, borrowed; NULL: there are none
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
 * `session->version`: ERR_CONFLICT otherwise, with the current version in the note and as `version`. ERR_TOO_LARGE beyond the
 * limits, naming size and limit. `replicated` (with durables only): answers after as many replicas have it as the durables
 * ask for; ERR_NOT_REPLICATED with the version when they did not in time: it is stored all the same. `repeated`: an earlier
 * write with this turn id made the version, and nothing was written now. */
typedef void session_saved_fn(void *argument, enum err err, uint64_t version, bool repeated);
struct session_ticket *session_save(struct sessions *sessions, const struct session_name *name,
                                    const struct session *session, bool replicated,
                                    session_saved_fn *done, void *argument);

/* Once more for a turn id that is known: answers with the version that it made, replicated as a save would be. ERR_CONFLICT
 * when the id is not known (any more). */
struct session_ticket *session_confirm(struct sessions *sessions, const struct session_name *name,
                                       session_saved_fn *done, void *argument);

/* A number that the turn id, the session and its owner give, each time the same, and to nobody else known. */
uint64_t session_turn_seed(const struct sessions *sessions, const struct session_name *name);

/* ERR_NOT_FOUND when there was none. */
struct session_ticket *session_delete(struct sessions *sessions, const struct session_name *name,
                                      session_saved_fn *done, void *argument);

/* The owner's sessions, those that live longest first, at most `most` and SESSION_INDEX_MAX; `total` counts all that are known.
 * `name->id` is not read. Entries are borrowed until the function returns. */
struct session_entry {
    const char *id;
    uint64_t version, ttl_ms;
};

typedef void session_listed_fn(void *argument, enum err err, const struct session_entry *entries,
                               size_t count, size_t total);
struct session_ticket *session_list(struct sessions *sessions, const struct session_name *name,
                                    size_t most, session_listed_fn *done, void *argument);

/* The asker is gone: its function will not be called. A save or delete still happens. */
void session_drop(struct session_ticket *ticket);

#endif

/* scheduler/door/talk.h -- a conversation in memory: what a session held when it was loaded, and what was said since.
 *
 * It owns its texts, and wipes the session's data key with itself. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_TALK_H
#define SCHEDULER_DOOR_TALK_H

#include "scheduler/state/session.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

struct talk {
    struct session_turn *turns; // [count], owned with their contents; roles are literals
    size_t count, capacity;
    size_t fresh;   // turns[fresh, count) are new
    size_t bytes;   // of all contents
    size_t dropped; // turns that talk_drop_oldest() let go
    uint64_t version;
    char mark[SESSION_MARK_SIZE];
    bool has_key;
    unsigned char key[KEYRING_KEY_SIZE];
};

/* A zeroed struct is an empty talk. */
void talk_load(struct talk *talk, const struct session *session);
struct session_turn *talk_add(struct talk *talk, const char *role, const char *content,
                              size_t size);
/* Another content for a turn: `content` (of mem.h) is taken, the old one wiped. */
void talk_replace(struct talk *talk, size_t index, char *content, size_t size);
/* Let the oldest stored question go, with its answer, or the summary that stands for older ones; other system turns and the new
 * ones stay. What goes is added to `transcript` (NULL: to nothing). False: there is none. */
bool talk_drop_oldest(struct talk *talk, struct buf *transcript);
/* Put the summary of what went into its place, as a system turn. */
void talk_put_summary(struct talk *talk, const char *text, size_t size);
/* What a session_save() is given; borrows the turns. */
struct session talk_session(const struct talk *talk);
void talk_fini(struct talk *talk);

/* "system", "user" or "assistant", for a role that need not end with NUL. */
const char *talk_role(const char *role);

#endif

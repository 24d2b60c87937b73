/* scheduler/state/session_internal.h -- what the parts of session.h share; nobody else includes it.
 *
 *      session.c           load, save, confirm
 *      session_list.c      delete, list
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_STATE_SESSION_INTERNAL_H
#define SCHEDULER_STATE_SESSION_INTERNAL_H

#include "scheduler/state/record.h"
#include "scheduler/state/session.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store_script;

enum {
    SESSION_NUMBER_SIZE = 24
};

struct sessions {
    struct session_options options;
    struct store_script *load, *save, *delete, *list;
};

struct session_ticket {
    struct sessions *sessions;
    struct record_place place;
    session_loaded_fn *loaded; // NULL, as the two below: nobody asks (any more)
    session_saved_fn *saved;
    session_listed_fn *listed;
    void *argument;
    uint64_t version; // of a write
    char mark[SESSION_MARK_SIZE];
    uint32_t keep_seconds; // of a write: its life
    bool repeated;
};

struct session_ticket *session_ticket_new(struct sessions *sessions,
                                          const struct session_name *name, void *argument);
/* A write or deletion is over: tell, and free. */
void session_finish(struct session_ticket *ticket, enum err err);
/* Redis' failures in a client's words. */
enum err session_away(enum err err);

void session_list_scripts(struct sessions *sessions);

#endif

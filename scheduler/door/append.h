/* scheduler/door/append.h -- the session's side of one chat: what is loaded before it, and saved after it.
 *
 *      append_load --> done: the talk is there, with the new turns --> append_save --> done: it is stored
 *                        `repeated`: this turn was stored before ----> append_confirm --> done
 *
 * A turn that comes again with its id is not answered twice: what was stored is (`stored`). What a client believes about
 * the version is checked before anything is computed. How a conversation is made to fit is the request's choice: not at all, by
 * letting the oldest turns go, or by a summary in their place.
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_DOOR_APPEND_H
#define SCHEDULER_DOOR_APPEND_H

#include "scheduler/door/summary.h"
#include "scheduler/door/talk.h"
#include "scheduler/state/session.h"

#include "text/template.h"

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ask;
struct context;
struct door;
struct fleet_model;
struct flight_order;
struct http_request;

typedef void append_fn(void *owner, enum err err);

struct append {
    struct door *door;
    const struct context *context; // outlives the append, as the ask
    const struct ask *ask;
    append_fn *done;
    void *owner;
    struct session_ticket *ticket; // NULL: nothing is on its way
    struct talk talk;
    struct chat_message *messages; // views of the talk's turns
    struct buf joined;             // what the first message says, when a summary belongs to it
    uint64_t repeated;             // the version that this turn made before; 0: it is new
    size_t stored;                 // then: the index of its answer
    bool replicated;
    bool summed_up;               // the oldest turns have been; what does not fit now is dropped
    struct summary *summary;      // NULL: none was asked for
    struct summary_options asker; // who waits for it
    uint64_t current; // version of the session, for a failure that is about it; 0: it is not
    char told
        [192]; // "session":{…}, for the answer or its error; "" before there is anything to tell
};

void append_init(struct append *append, struct door *door, const struct context *context,
                 const struct ask *ask, void *owner);
void append_fini(struct append *append);
/* The client is gone: nothing is told any more. What is being written is written. */
void append_drop(struct append *append);

/* The session's first message, where it is a system message that the client wrote; NULL: it is not. */
const struct session_turn *append_opening(const struct append *append);
/* Before anything is asked of Redis: ERR_INVALID names an id that is none, a durability that is not to be had. */
enum err append_check(struct append *append);
/* ERR_CONFLICT: the version is another one, or the turn id was used for other messages. ERR_TOO_LARGE: turns or bytes beyond
 * the limits. ERR_NOT_FOUND: a prewarm of what is not there. */
void append_load(struct append *append, append_fn *done);
/* The answer is there: `cut` when its length ended it. Who made it is noted where the model matters. Failures are session_save()'s. */
void append_save(struct append *append, const char *text, size_t size, bool cut,
                 const struct fleet_model *model, append_fn *done);
/* A repeated turn that asks for replicas waits for them again; any other is confirmed at once: false, and `done` is not called. */
bool append_confirm(struct append *append, append_fn *done);

/* The header that names the session's version; nothing when there is none to name. */
void append_set_header(const struct append *append, struct http_request *request);

/* The messages of the prompt; valid until the next call. */
const struct chat_message *append_messages(struct append *append, size_t *count);
/* The prompt has `tokens`: does it leave room for an answer in the context? If not, let turns go, as the request allows, so that
 * it nearly does. Room is what is asked for, up to a quarter of the context. False: it does, or nothing more can go. */
bool append_shrink(struct append *append, size_t tokens, uint32_t context);
/* The prompt has `tokens`: are the oldest turns to be summed up first? At most once in an append. */
bool append_wants_summary(const struct append *append, size_t tokens, uint32_t context);
/* Take turns out, oldest first, until what stays fills half of what there is room for, and ask the model what they said; its answer
 * takes their place before `ended` is called. `flies` false: there is nothing to sum up, and `ended` is not called.
 * ERR_TOO_LARGE: what may not go is beyond the limits. Other failures are summary_start()'s. */
enum err append_sum_up(struct append *append, const struct summary_options *options,
                       const struct flight_order *order, size_t tokens, bool *flies);
/* Prompt and answer of the summary, so far. */
uint32_t append_summary_tokens(const struct append *append);

/* What could be done about a conversation that is too long, for the end of a note; "" when it is done, or there is no session. */
const char *append_advice(const struct append *append);
/* A seed that the same turn has each time: a turn that is answered twice by two schedulers is answered alike. False: it has no id. */
bool append_seed(const struct append *append, uint64_t *seed);

#endif

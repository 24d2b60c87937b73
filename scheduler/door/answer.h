/* scheduler/door/answer.h -- the flights of one request, turned into text and sent.
 *
 *      ids --door/choice_text--> text --> SSE chunks, or kept until the end
 *
 * Each choice (`n`) is a flight of its own, with the choice's number in its draws: it is the same whether the others are
 * there or not, and outlives a node by itself. All go to one node, if they can, which computes the prompt once. The
 * first choice that fails fails the answer. Usage counts the prompt once, and of it as cached what the first choice
 * found.
 *
 * Under an Idempotency-Key each event's id says how far its reader is (door/position.h), and a reader that comes back is not
 * sent again what it has: the ids come anew, their text and log-probabilities are left out up to there. A position that
 * these ids cannot have is ERR_INVALID.
 *
 * What the rules of its region ask for stands around the text of each choice (door/mark.h), and is no part of it: not of
 * answer_text(), positions or usage.
 *
 * A stop string ends the answer here: the node is told, surplus ids are dropped. Until the first
 * ids come nothing of the reply is sent, so a failure before them still has its own HTTP status.
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_DOOR_ANSWER_H
#define SCHEDULER_DOOR_ANSWER_H

#include "scheduler/core/flight.h"
#include "scheduler/door/mark.h"
#include "scheduler/door/shape.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct answer;
struct ask;
struct door;
struct fleet_model;
struct http_error;
struct http_request;
struct own;
struct resume;
struct screen;
struct tokenizer;

struct answer_options {
    struct door *door;
    struct http_request *request;
    const struct ask *ask; // outlives the answer, as the five below
    const struct fleet_model *model;
    const struct tokenizer *tokenizer;
    const struct resume *resume; // NULL: no Idempotency-Key
    struct screen *screen;       // NULL: nothing is filtered
    struct own *own;             // is told when the answer is delivered; NULL: nobody counts
    struct mark_order mark;      // its label
    uint32_t prompt_tokens;
    /* The flights have ended, all text is there; on failure the note is in err_text(). Called at
     * most once, never from inside of an answer_ function. The owner then calls answer_complete()
     * or answer_fail(). */
    void (*ended)(void *owner, enum err err, uint32_t retry_ms);
    void *owner;
};

/* Dispatch. Failures of stream_new() and flight_start(): nothing was made. */
enum err answer_start(struct answer **out, const struct answer_options *options,
                      const struct flight_order *order);
/* Cancels the flights that are still in the air. */
void answer_free(struct answer *answer);

/* The client is gone: cancel, send nothing more. */
void answer_abandon(struct answer *answer);
/* Send what ends a good reply; the request is dead after. */
void answer_complete(struct answer *answer);
/* Send the error: as the reply, or as an event when the stream has begun; the request is dead
 * after. */
void answer_fail(struct answer *answer, const struct http_error *error);

/* The whole text of a choice, below the request's `n`; kept only for plain replies, sessions and what is grounded. */
const char *answer_text(const struct answer *answer, uint32_t choice, size_t *size);
/* Whether its length ended the first choice. */
bool answer_was_cut(const struct answer *answer);
/* What answer_complete() says of the session (shape.h); borrowed until then. */
void answer_tell_session(struct answer *answer, const char *session);
/* The same of what it is grounded on. */
void answer_tell_context(struct answer *answer, const char *context);
struct shape_usage answer_usage(const struct answer *answer);

#endif

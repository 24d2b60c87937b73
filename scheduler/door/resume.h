/* scheduler/door/resume.h -- a completion under an Idempotency-Key: asked again, it is the same answer, and goes on where its
 * reader was.
 *
 *      resume_new --claim--> (Redis) --granted--> mark, reserve, fly … --release--> free
 *                               |                          |
 *                               |                          +--taken: a newer request goes on with it
 *                               +--refused: another body, another model, a newer request, …
 *
 * The first attempt's seed, id, time and model stand in Redis (state/idem.h), so that any scheduler computes the answer
 * again, to the byte, and leaves out what Last-Event-ID says was read (door/position.h). No text is kept anywhere.
 *
 * An answer is charged once: an attempt reserves what others have not paid or reserved, and is charged what it used beyond
 * that. What a killed scheduler had reserved stays charged, and counts for those who come after it.
 *
 * A session's turn is appended once: the key is its turn id (door/append.h), and a turn that is stored is answered by what was
 * stored. One that is not is answered out of the session as it stood before the first attempt, or refused.
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_DOOR_RESUME_H
#define SCHEDULER_DOOR_RESUME_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ask;
struct context;
struct digest;
struct door;
struct fleet_model;
struct http_error;
struct http_request;
struct position;
struct resume;
struct shape;

/* Read the two headers. *out is NULL without an Idempotency-Key. ERR_INVALID names the header. The key of `context` and
 * `ask` outlive it. */
enum err resume_new(struct resume **out, struct door *door, struct http_request *request,
                    const struct context *context, const struct ask *ask);
/* Drops a claim under way, releases what was not released. NULL is ignored. */
void resume_free(struct resume *resume);

/* Ask Redis, before anything else is done for the request; `model` is what it would be answered with. `done` comes later, once,
 * unless resume_free() is first. On failure resume_explain() fills in code and headers. */
typedef void resume_fn(void *argument, enum err err);
/* A newer request has the answer now: this one is to end, with ERR_CONFLICT and resume_explain()'s code, and resume_release() when
 * nothing of it runs any more. The note is in err_text(). Called once at most, after `done`. */
typedef void resume_taken_fn(void *argument);
void resume_claim(struct resume *resume, const struct fleet_model *model, resume_fn *done,
                  resume_taken_fn *taken, void *argument);
void resume_explain(const struct resume *resume, struct http_error *error);

/* All from here on after `done` with ERR_OK. */

/* The model to answer with: the first attempt's. */
const struct fleet_model *resume_model(const struct resume *resume);
uint64_t resume_seed(const struct resume *resume);
int64_t resume_wall_ms(const struct resume *resume);
/* Give the answer its id and time. */
void resume_sign(const struct resume *resume, struct shape *shape);
/* Where the reader is. NULL: events have no ids, because Redis was away and the answer cannot be resumed. */
const struct position *resume_position(const struct resume *resume);

/* The turn's id in a session, should the request name none. */
const char *resume_turn(const struct resume *resume);
/* The session, as loaded, has `version` and not this turn. ERR_CONFLICT when it was another before the first attempt. */
enum err resume_base(struct resume *resume, uint64_t version);

/* What the prompt is grounded on. ERR_CONFLICT when it was something else in the first attempt: explain it. */
enum err resume_ground(struct resume *resume, const struct digest *ground);

/* What a choice may have, as the first attempt had it; false when that was not known yet. */
bool resume_take_max(const struct resume *resume, uint32_t *max_tokens);
/* Tokens that others have paid or reserved. */
uint64_t resume_paid(const struct resume *resume);
/* Before `tokens` are reserved, paid ones among them, and before anything is appended: should this scheduler die, the next one
 * knows. */
void resume_mark(struct resume *resume, uint64_t tokens, uint32_t max_tokens);
/* The attempt has ended, and needed `used` tokens: how many of them it is to be charged. */
uint64_t resume_release(struct resume *resume, uint64_t used);

#endif

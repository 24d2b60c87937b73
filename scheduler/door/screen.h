/* scheduler/door/screen.h -- what a request says and what it is told, before the safety filter of its region's rules.
 *
 *      screen_new --> screen_ask: is who asks suspended? (Redis, where the rules count strikes)
 *          --> screen_prompt or screen_query: what is said    masked, or refused: no node is asked
 *          --> screen_talk, screen_stored: what a session has    the same, by the rules of who asks now
 *          --> screen_sieve, for each choice: what is told    masked, or it ends with the refusal
 *          --> screen_note: what each sieve found             counted, recorded; what is blocked is a strike
 *
 * Where nothing is governed, or the rules ask for no filter, there is no screen: NULL, which every function here takes and which lets everything
 * pass. Rules that require a filter and have no valid bundle deny (`filter_not_ready`).
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_DOOR_SCREEN_H
#define SCHEDULER_DOOR_SCREEN_H

#include "scheduler/policy/rules.h"
#include "scheduler/policy/sieve.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ask;
struct context;
struct door;
struct screen;
struct talk;

#define SCREEN_CODE \
    "content_filter" // of what is refused: an error's code, an answer's finish_reason
#define SCREEN_FINISH SCREEN_CODE

/* By context->rules; the context and its rules outlive the screen. The error is the reason's. */
enum err screen_new(struct screen **out, struct door *door, const struct context *context,
                    enum feature feature, const char **code);
void screen_free(struct screen *screen);

/* `err`: who asks is suspended, or nobody can say; with its note. */
typedef void screen_fn(void *owner, enum err err, const char *code, uint32_t retry_seconds);
/* True: `done` comes later, unless the screen is freed. False: nobody is suspended by these rules. */
bool screen_ask(struct screen *screen, screen_fn *done, void *owner);

/* What cannot be screened is not served: ids for a text, log-probabilities that spell out what is masked. ERR_INVALID names the
 * parameter. */
enum err screen_check(const struct screen *screen, const struct ask *ask);
/* The texts of a completion: what is masked stands masked in `ask`, until the screen is freed. False: it is refused. */
bool screen_prompt(struct screen *screen, struct ask *ask);
/* A search's words, the same. ERR_FORBIDDEN: they are refused; the note is the refusal. */
enum err screen_query(struct screen *screen, const char *param, const char **text, size_t *size,
                      const char **code);

/* What is said instead of an answer, in the request's language. Borrowed from the rules. */
const char *screen_refusal(const struct screen *screen);
/* A text of a model that was stored, perhaps by another region's rules or older terms: masked until the screen is freed. False: it is
 * refused, and is the refusal now. */
bool screen_stored(struct screen *screen, const char **text, size_t *size);
/* The stored turns of a conversation that goes on; the new ones are screen_prompt()'s. */
void screen_talk(struct screen *screen, struct talk *talk);
/* For one text that is told; NULL without a screen. sieve_free() it, before the screen. */
struct sieve *screen_sieve(struct screen *screen);
/* The text has ended, or will never. NULL is fine. */
void screen_note(struct screen *screen, const struct sieve *sieve, enum sieve_side side);

#endif

/* scheduler/door/ground.h -- what a chat with `context` is grounded on: gathered once before its prompt is made, the same for
 * all of its flights, summaries and retries, and cited in the answer.
 *
 *      grounding_start --> the history, with consent (Redis) --+
 *                      \-> a search in each index (workers) ---+--> ready --> grounding_messages, … --> grounding_tell
 *
 * The last question is what is searched for, and gives the language. What cannot be had in time is left out, and the
 * answer says why; an index that there is not is an error.
 *
 * Thread: the loop's; the messages are read by a worker while the prompt is made. */
#ifndef SCHEDULER_DOOR_GROUND_H
#define SCHEDULER_DOOR_GROUND_H

#include "scheduler/features/ground.h"

#include "text/template.h"

#include "base/digest.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ask;
struct buf;
struct context;
struct door;
struct grounding;
struct tokenizer;

enum {
    GROUNDING_MS = 1000 // at most
};

/* ERR_NOT_FOUND, ERR_INVALID: an index; json_param() names the entry. */
typedef void grounding_fn(void *owner, enum err err);

struct grounding_options {
    struct door *door;
    const struct context *context; // outlives it, as the two below
    const struct ask *ask;
    const struct tokenizer *tokenizer;
    uint32_t context_length; // the model's
    uint64_t wait_ms;        // for what is slow; at most GROUNDING_MS
    int64_t until_ms;        // later events are not seen: those of the first attempt are a retry's
    bool is_repeatable; // a retry must find the same: nothing that depends on which nodes are there
    grounding_fn *done; // once, later, unless it is freed before
    void *owner;
};

struct grounding *grounding_start(const struct grounding_options *options);
/* NULL is ignored. */
void grounding_free(struct grounding *grounding);

/* All from here on after `done` with ERR_OK. */

/* The prompt's messages with the part: as a system message before them, or behind the words of the one that stands first there.
 * Valid until the next call. */
const struct chat_message *grounding_messages(struct grounding *grounding,
                                              const struct chat_message *messages, size_t *count);
/* A prompt of `tokens` is too long for an answer of `wanted` tokens: make the part smaller. False: there is nothing left of it,
 * or it fits. */
bool grounding_shrink(struct grounding *grounding, size_t tokens, uint32_t wanted);
/* As it was before it was made smaller. */
struct digest grounding_digest(const struct grounding *grounding);
/* "context":[…] of the answer; borrowed. */
const char *grounding_tell(struct grounding *grounding, const struct ground_answer *answers,
                           size_t count);

#endif

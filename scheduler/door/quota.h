/* scheduler/door/quota.h -- what one request may spend of its key's and its user's limits, and the headers that say so.
 *
 *      quota_reserve ----> on_reserved ----> quota_settle          always settled, by whatever end; twice is once
 *
 * A request reserves its prompt and max_tokens for each choice. One whose client did not say max_tokens is shortened to
 * what is left (QUOTA_ANSWER_LEAST tokens at least): its answer then ends with finish_reason "length" where the limit ends. A
 * client that asked for a number is not given less than it asked for: it hears 429, and how much is left.
 *
 * Headers, in OpenAI's names, of the key or the user, whichever has less left: x-ratelimit-limit-, -remaining- and
 * -reset- with requests (per minute), tokens (per minute) and tokens-day. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_QUOTA_H
#define SCHEDULER_DOOR_QUOTA_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct context;
struct door;
struct http_request;
struct limit_ticket;

enum {
    QUOTA_ANSWER_LEAST = 16,
    QUOTA_DURATION_SIZE = 32
};

struct quota_ask {
    uint32_t prompt_tokens;
    uint32_t choices, max_tokens; // for each choice
    bool may_shorten;             // nobody asked for just so many
    uint64_t paid;                // of all these, by earlier attempts (door/resume.h)
};

/* `max_tokens` for each choice is what was reserved. ERR_LIMITED, ERR_TOO_LARGE, ERR_STORE_AWAY as limit.h says. */
typedef void quota_fn(void *owner, enum err err, uint32_t max_tokens, uint32_t retry_seconds);

/* Part of the request's own record; the first three are the owner's to set. */
struct quota {
    struct door *door;
    struct http_request *request;  // not touched after quota_settle()
    const struct context *context; // outlives the quota
    struct quota_ask ask;
    struct limit_ticket *ticket; // NULL: nothing is reserved
    bool held;                   // the ticket was admitted
    quota_fn *done;
    void *owner;
};

/* True: `done` comes later. False: it is admitted now, with *max_tokens for each choice, and `done` is not called: nothing
 * limits it, or what the scheduler holds of its key is enough. */
bool quota_reserve(struct quota *quota, const struct quota_ask *ask, quota_fn *done, void *owner,
                   uint32_t *max_tokens);
/* The end, however it came: what was reserved beyond `used` tokens goes back. */
void quota_settle(struct quota *quota, uint64_t used);

/* As OpenAI writes durations: "17ms", "1s", "6m0s", "23h59m59s"; whole seconds, rounded up, from one second on. */
void quota_write_duration(char out[QUOTA_DURATION_SIZE], uint64_t ms);

#endif

/* scheduler/state/spent.h -- what stands counted against a user's limits (meter.h), for the user to see.
 *
 *      qiao:{u:OWNER}:spent
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_STATE_SPENT_H
#define SCHEDULER_STATE_SPENT_H

#include "base/err.h"

#include <stdint.h>

struct spent_ticket;
struct store;

/* Over all slots that are there still: a minute and a little, a day and a little. Only what has a limit is counted. */
struct spent {
    uint64_t requests, tokens, day_tokens;
};

/* Once, from the loop, unless the ticket is dropped; NULL with an error. */
typedef void spent_fn(void *argument, enum err err, const struct spent *spent);
struct spent_ticket *spent_read(struct store *store, const char *owner, spent_fn *done,
                                void *argument);
void spent_drop(struct spent_ticket *ticket);

#endif

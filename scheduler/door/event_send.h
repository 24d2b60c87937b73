/* scheduler/door/event_send.h -- events of many users on their way into Redis: one call for each user, some at once.
 *
 *      event_send() sorts what it is given by user and time --> events_store() for each user --> what is new is counted as
 *      popular, each one's fate stands beside it, and judged() is called --> done(), once for all
 *
 * Nobody can stop it: who no longer waits lets it end. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_EVENT_SEND_H
#define SCHEDULER_DOOR_EVENT_SEND_H

#include "scheduler/features/events.h"
#include "scheduler/state/owner.h"

#include "base/err.h"

#include <stddef.h>

struct door;

enum {
    EVENT_SEND_FLYING_MAX = 64 // users whose events are on their way at once
};

struct event_parcel {
    struct event event; // its texts outlive the sending
    char owner[OWNER_TEXT_SIZE];
    size_t index; // the caller's
    enum event_fate fate;
};

/* A user's, as far as Redis has told: with an error (and its note) their fate is EVENT_UNSURE. */
typedef void event_judged_fn(void *argument, const struct event_parcel *parcels, size_t count,
                             enum err err);
typedef void event_sent_fn(void *argument);

/* All that it borrows outlives the sending. */
struct event_sending {
    const char *tenant, *region; // the request's; `region` "": it names none
    const char *source;          // "": the users' own events
    struct event_parcel *parcels;
    size_t count;
    event_judged_fn *judged;
    event_sent_fn
        *done; // from the loop, or from inside of event_send() when there is nothing to send
    void *argument;
};

void event_send(struct door *door, const struct event_sending *sending);

#endif

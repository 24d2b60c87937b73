/* scheduler/door/event_send.h -- events of many users on their way into Redis: one call for each user, some at once.
 *
 *      event_send() sorts what it is given by user and time --> events_store() for each user --> what is new is counted as
 *      popular --> done(): each one's fate stands beside it
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
    enum err err; // of one whose fate is not known
};

typedef void event_sent_fn(void *argument);

/* `source` "": the users' own events. All is borrowed until `done` is called, from the loop or from inside when there is nothing
 * to send. */
void event_send(struct door *door, const char *tenant, const char *region, const char *source,
                struct event_parcel *parcels, size_t count, event_sent_fn *done, void *argument);

#endif

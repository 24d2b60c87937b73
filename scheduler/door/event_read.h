/* scheduler/door/event_read.h -- one event of a body, checked (features/events.h).
 *
 *      id          1 to 128 bytes: an event that is sent again under its id is stored once; may be absent
 *      type        view, cart, favourite, purchase or search
 *      item        its id; a search needs none
 *      time        seconds since 1970, or "2026-11-26T05:06:03Z" (RFC 3339); absent: now
 *      session     up to 128 bytes; properties: an object of at most 2 KiB
 *      user        for whom, where the key may say so (X-Qiao-User otherwise)
 *
 * Clients of PutEvents say it in their words: event_name_members() gives the members these names. `properties` may then be a
 * text that holds the object's JSON. Ids may be whole numbers.
 *
 * Thread: any. */
#ifndef SCHEDULER_DOOR_EVENT_READ_H
#define SCHEDULER_DOOR_EVENT_READ_H

#include "scheduler/features/events.h"

#include "base/err.h"

#include <jansson.h>

/* What holds for all events of a call. */
struct event_rules {
    int64_t now_ms;
    int64_t age_ms; // the oldest that are taken
};

/* Texts are borrowed from the object, but for properties, which mem_free() frees. ERR_INVALID and ERR_TOO_LARGE name the
 * member (json_param() too). */
enum err event_read(struct event *out, const json_t *object, const struct event_rules *rules);
/* eventId, event_type, itemId, sentAt, timestamp, …: as above; of a call eventList: events. ERR_INVALID: one is there twice. */
enum err event_name_members(json_t *object);
/* RFC 3339 to ms since 1970; false: it is none. */
bool event_read_time(const char *text, int64_t *out);

#endif

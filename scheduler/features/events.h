/* scheduler/features/events.h -- what users looked at, wanted and bought: written, once each, with their consent alone.
 *
 *      qiao:{u:OWNER}:events             list of records, the latest that came first, at most EVENTS_KEPT
 *      qiao:{u:OWNER}:event_ids          sorted set of hashes of the latest EVENT_IDS_KEPT event ids, by when they came
 *      qiao:{u:OWNER}:event_key          the data key that seals the records (seal.h)
 *      qiao:{u:OWNER}:events:SOURCE, …:event_ids:SOURCE, …:event_key:SOURCE    the same of a second party's events
 *      each with "@HOME" behind it where the events are of a region; qiao:{u:OWNER}:event_homes has the lists' lives (home.h)
 *      qiao:{c:items:TENANT}:owners      set of OWNERs who have events
 *
 * A record is JSON, sealed: t (ms since 1970), y (type), i (item), s (session), p (properties), r (region). One call of Redis takes all events of
 * one user: it looks for the consent (`history`, or `partner:SOURCE`) and the switch, drops ids that it has seen, pushes, trims
 * and renews the time to live. What it refuses is told event by event. Thread: the loop's. */
#ifndef SCHEDULER_FEATURES_EVENTS_H
#define SCHEDULER_FEATURES_EVENTS_H

#include "scheduler/state/owner.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct events;
struct keyring;
struct store;

enum {
    EVENTS_KEPT = 200, // of one user
    EVENT_IDS_KEPT = 1000,
    EVENTS_CALL_MAX = 1000, // of one call, over all users
    EVENT_ID_MAX = 128,     // bytes
    EVENT_SESSION_MAX = 128,
    EVENT_PROPERTIES_MAX = 2048,    // bytes of them as JSON
    EVENT_FUTURE_MS = 5 * 60 * 1000 // how far a client's clock may be ahead
};

enum event_type {
    EVENT_VIEW,
    EVENT_CART,
    EVENT_FAVOURITE,
    EVENT_PURCHASE,
    EVENT_SEARCH,
    EVENT_TYPES
};

const char *event_type_name(enum event_type type);
bool event_type_find(const char *name, enum event_type *out);

struct event {
    const char *id; // the client's; NULL: it cannot be told from another of its kind
    enum event_type type;
    const char *item; // NULL: none, of a search
    int64_t time_ms;
    const char *session;    // NULL: none
    const char *properties; // a JSON object; NULL: none
};

enum event_fate {
    EVENT_UNSURE, // Redis' answer was lost: send it again, its id makes it one event
    EVENT_STORED,
    EVENT_REPEATED, // it was stored before
    EVENT_REFUSED,  // the user has not agreed
    EVENT_CROWDED   // the user has HOMES_MAX lists of other regions and sources (home.h)
};

/* `keys` outlive it. */
struct events *events_new(struct store *store, const struct keyring *keys, uint32_t ttl_seconds);
void events_free(struct events *events);

/* Wipe what this scheduler remembers of the owner's data keys: they are to be destroyed. */
void events_forget(struct events *events, const char *owner);

/* Those of one user, in the order of their times, from the user's own client ("") or a source. */
struct event_batch {
    const char *tenant;
    const char *owner; // OWNER
    const char *source;
    const char *region; // whose rules they are under; NULL: none's
    const struct event *events;
    size_t count;          // at most EVENTS_CALL_MAX
    uint32_t keep_seconds; // the history lives no longer than that after them, 0: as it is set
    unsigned char *fates;  // [count], enum event_fate; borrowed until the answer
};

/* Answers once, from the loop. */
typedef void events_stored_fn(void *argument, enum err err);
void events_store(struct events *events, const struct event_batch *batch, events_stored_fn *done,
                  void *argument);

#endif

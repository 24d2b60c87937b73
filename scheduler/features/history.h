/* scheduler/features/history.h -- what a user did lately, for a purpose that the user has agreed to.
 *
 * One call of Redis looks for the purpose and the switch, and only with a yes reads the histories that the user lets be kept:
 * the user's own (`history`) and those of the partners (`partner:SOURCE`). With a no nothing of them is touched. What is read to make
 * something of it leaves out what the user has taken away (tags.h); to the user alone (`history`) all of it is shown.
 *
 * Each list is of a region or of none (home.h). What is read is what the scope allows: the others are neither read nor opened, and
 * counted. What is over by its own region's life is not read either, and deleted by the way.
 * Thread: the loop's. */
#ifndef SCHEDULER_FEATURES_HISTORY_H
#define SCHEDULER_FEATURES_HISTORY_H

#include "scheduler/features/consent.h"
#include "scheduler/features/events.h"

#include "base/err.h"

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct catalogues;
struct histories;
struct history_ticket;
struct keyring;

enum {
    HISTORY_REGIONS_MAX = 256
};

/* Whose events may be read. A zeroed one: nobody's. */
struct history_scope {
    bool all;                                 // of every region and of none
    bool homeless;                            // those that are of no region
    const char *regions[HISTORY_REGIONS_MAX]; // and those of these; borrowed for the call
    size_t count;
};

extern const struct history_scope history_everything;

struct history_event {
    enum event_type type;
    const char *source; // "": the user's own client; else the partner
    const char *region; // under whose rules it came; NULL: none
    const char *item;   // NULL: none, of a search
    int64_t time_ms;
    const char *session;      // NULL: none
    const char *query;        // of a search: properties.query; NULL: none
    const json_t *properties; // NULL: none
};

/* Borrowed until the function returns. */
struct history {
    bool allowed;                       // false: the user has not agreed, and nothing was read
    const struct history_event *events; // the oldest first; of equal times those that came first
    size_t count;                       // at most EVENTS_KEPT, but for history_read_all()
    size_t withheld;                    // lists of events that the scope does not allow
    const json_t *hidden;               // tags that the user has taken away; NULL: none
};

/* `keys` and `catalogues` outlive it; `catalogues` NULL: no item has a tag that is known. */
struct histories *histories_new(struct store *store, const struct owner_key *key,
                                const struct keyring *keys, struct catalogues *catalogues);
void histories_free(struct histories *histories);

/* Answers once, from the loop, unless the ticket is dropped. ERR_STORE_AWAY: nobody knows whether the user has agreed.
 * ERR_INTERNAL: the history is sealed by a key that is not in the file any more (the note says its id), or damaged. */
typedef void history_fn(void *argument, enum err err, const struct history *history);
struct history_ticket *history_read(struct histories *histories, const char *tenant,
                                    const char *user, enum consent_purpose purpose,
                                    const struct history_scope *scope, history_fn *done,
                                    void *argument);
/* The same of the tenant's OWNER, whoever that is. */
struct history_ticket *history_read_owner(struct histories *histories, const char *tenant,
                                          const char *owner, enum consent_purpose purpose,
                                          const struct history_scope *scope, history_fn *done,
                                          void *argument);
/* Everything that is kept, for the user to take along: whatever was agreed to and wherever it came from, with personalization off, too. */
struct history_ticket *history_read_all(struct histories *histories, const char *tenant,
                                        const char *user, history_fn *done, void *argument);
void history_drop(struct history_ticket *ticket);

/* One record, opened: what the event's texts are borrowed from, json_decref() it; NULL: it is of a later version. */
json_t *history_read_event(struct history_event *out, const char *text, size_t size);

#endif

/* scheduler/features/forget.h -- events of a user that are taken back one by one.
 *
 *      forget_events --> the user's own events, of all regions, are read --> pick(event) for each --> those are deleted, with their ids --> done(count)
 *
 * It asks for no consent: who may have something kept may have it deleted, also with personalization off. The ids of what is
 * deleted are forgotten, too, so that the same may be said again. Counts of what is popular stay; they name nobody.
 * Thread: the loop's. */
#ifndef SCHEDULER_FEATURES_FORGET_H
#define SCHEDULER_FEATURES_FORGET_H

#include "scheduler/features/events.h"
#include "scheduler/features/history.h"
#include "scheduler/state/owner.h"

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct forgets;
struct keyring;
struct store;

/* `keys` outlive it. */
struct forgets *forgets_new(struct store *store, const struct owner_key *key,
                            const struct keyring *keys);
void forgets_free(struct forgets *forgets);

/* True: the event goes, and with it that it was stored under `id`, which is "" until it is filled in. */
typedef bool forget_pick_fn(void *argument, const struct history_event *event,
                            char id[EVENT_ID_MAX + 1]);
/* How many were deleted; once, from the loop. `pick` is not called after it. */
typedef void forget_fn(void *argument, enum err err, uint64_t count);
void forget_events(struct forgets *forgets, const char *tenant, const char *user,
                   forget_pick_fn *pick, forget_fn *done, void *argument);

#endif

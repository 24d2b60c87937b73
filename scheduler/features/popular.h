/* scheduler/features/popular.h -- what is liked in a region, counted with forgetting: the list for those whom nobody knows.
 *
 *      qiao:{c:items:TENANT}:popular:REGION   sorted set: item -> weight; REGION "*" counts all of them together
 *
 * An event weighs by its type (a purchase 8, a cart or a favourite 4, a view 1, a search nothing) times 2^(age of the event since
 * POPULAR_EPOCH_MS / POPULAR_HALF_LIFE_MS): so the younger weighs more, by half for each week, and nothing that stands there ever needs
 * to be made less. The POPULAR_KEPT heaviest stay. Counts name items, never users. Thread: the loop's. */
#ifndef SCHEDULER_FEATURES_POPULAR_H
#define SCHEDULER_FEATURES_POPULAR_H

#include "scheduler/features/events.h"

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct popular;
struct popular_ticket;

#define POPULAR_EPOCH_MS     INT64_C(1767225600000) // 2026-01-01
#define POPULAR_HALF_LIFE_MS INT64_C(604800000)     // a week; 20 years fit a double

enum {
    POPULAR_KEPT = 10000,
    POPULAR_LIST_MAX = 1000
};

struct popular *popular_new(struct store *store);
void popular_free(struct popular *popular);

/* Count the events; nobody waits for it, and what Redis does not take is not counted. `region` "": of none. */
void popular_add(struct popular *popular, const char *tenant, const char *region,
                 const struct event *const *events, size_t count);
double popular_weight(enum event_type type, int64_t time_ms);

/* The heaviest first, at most `most` of them; borrowed until the function returns. `region` "": of all. */
typedef void popular_fn(void *argument, enum err err, const char *const *items, size_t count);
struct popular_ticket *popular_read(struct popular *popular, const char *tenant, const char *region,
                                    size_t most, popular_fn *done, void *argument);
void popular_drop(struct popular_ticket *ticket);

#endif

/* scheduler/door/retention.h -- how long something of a user is kept: as it is set, or shorter where a region's rules say so.
 *
 * Where a request names no region, or one that no rules are of, events are kept as the strictest of all rules say. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_RETENTION_H
#define SCHEDULER_DOOR_RETENTION_H

#include <stdint.h>

struct context;
struct door;

/* Of a history after its latest event, and of the oldest event that is taken. At least 1. */
uint32_t retention_history_days(const struct door *door, const char *tenant, const char *region);
/* Of a session after its latest turn; 0: as it is set. */
uint32_t retention_session_seconds(const struct context *context);

#endif

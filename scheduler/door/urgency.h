/* scheduler/door/urgency.h -- how urgent a request is: its class, and by when its answer must be whole.
 *
 *      service_tier   "auto", "default": the key's class; "flex": batch; "priority": interactive
 *      deadline_ms    less than the setting's; what cannot begin in time is refused at once (503 and Retry-After)
 *
 * A request may be less urgent than its key, never more: ERR_FORBIDDEN. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_URGENCY_H
#define SCHEDULER_DOOR_URGENCY_H

#include "wire/message.h"

#include "base/err.h"

#include <jansson.h>

#include <stdint.h>

struct key;

struct urgency {
    enum wire_priority priority;
    uint64_t deadline_ms; // from now
};

/* Of a request's body. Failures name the field (json_param() too). */
enum err urgency_read(struct urgency *out, const json_t *root, const struct key *key,
                      uint64_t longest_ms);

#endif

/* scheduler/door/gate_ask.h -- the body of a change of a gate.
 *
 *      each       feature, region
 *      draft      os: ["AcmeOS/18.4"], models: digests, or names of models that are served now
 *      evidence   type, reference, sha256, from, until (ms since 1970; absent: now; no end)
 *      approve    approver, signature (base64), serial
 *      roll       percent
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_DOOR_GATE_ASK_H
#define SCHEDULER_DOOR_GATE_ASK_H

#include "scheduler/door/json.h"
#include "scheduler/policy/gate_rules.h"

#include "base/err.h"

#include <stdint.h>

struct fleet;

/* `feature` and `region` into `out`. ERR_INVALID names the field, as below. */
enum err gate_ask_names(struct approval *out, const json_t *root);
enum err gate_ask_read(struct gate_command *out, enum gate_verb verb, const json_t *root,
                       const struct fleet *fleet, int64_t now_ms);

#endif

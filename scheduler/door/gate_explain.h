/* scheduler/door/gate_explain.h -- POST /admin/gate/explain: what a request would meet, check by check (docs/gate.md).
 *
 *      policy, feature, label, language, audit     hurdles.h, by the rules of the tenant
 *      lease, record, state … rollout              gate_rules.h; `gate` where the policy asks for no approval
 *      filter                                      hurdles.h
 *      strikes                                     strikes.h, of a user that is named
 *
 * The answer's reason is the first that a request would be denied with. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_GATE_EXPLAIN_H
#define SCHEDULER_DOOR_GATE_EXPLAIN_H

#include "base/err.h"

struct context;
struct door;
struct http_request;

/* `context` is the operator's. The request is answered, now or later, unless there is an error. */
enum err gate_explain(struct door *door, struct http_request *request,
                      const struct context *context);

#endif

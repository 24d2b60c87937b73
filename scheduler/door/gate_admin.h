/* scheduler/door/gate_admin.h -- operators and approvers look at the gates, and change them (docs/gate.md).
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_DOOR_GATE_ADMIN_H
#define SCHEDULER_DOOR_GATE_ADMIN_H

#include "base/err.h"

struct door;
struct http_request;

/* GET /admin/gate, /admin/gate/REGION/FEATURE; POST /admin/gate/VERB, /admin/gate/explain. */
void gate_admin_list(struct door *door, struct http_request *request);
void gate_admin_show(struct door *door, struct http_request *request);
void gate_admin_post(struct door *door, struct http_request *request);

/* ERR_UNSUPPORTED: there are no gates without a policy. */
enum err gate_admin_governed(const struct door *door);

#endif

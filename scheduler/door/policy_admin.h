/* scheduler/door/policy_admin.h -- operators look at the policy documents, check one, and have the folder read again.
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_DOOR_POLICY_ADMIN_H
#define SCHEDULER_DOOR_POLICY_ADMIN_H

#include "base/err.h"

struct door;
struct http_request;

/* GET /admin/policy, /admin/policy/explain?region=R&tenant=T; POST /admin/policy/check, /admin/policy/reload. */
void policy_admin_show(struct door *door, struct http_request *request);
void policy_admin_explain(struct door *door, struct http_request *request);
void policy_admin_check(struct door *door, struct http_request *request);
void policy_admin_reload(struct door *door, struct http_request *request);

/* What this scheduler begins with. Nothing where nothing is governed, as below. */
void policy_begin(struct door *door);
/* Read the folder if it has changed (door/folders.h). */
void policy_look(struct door *door);
/* Read it now. What comes of either is logged, counted, audited. ERR_UNSUPPORTED: nothing is governed. */
enum err policy_reload(struct door *door);

#endif

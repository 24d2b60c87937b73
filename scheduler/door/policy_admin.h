/* scheduler/door/policy_admin.h -- operators look at the policy documents, check one, and have the folder read again; and the watch that
 * reads it by itself.
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_DOOR_POLICY_ADMIN_H
#define SCHEDULER_DOOR_POLICY_ADMIN_H

#include "base/err.h"

struct door;
struct http_request;
struct policy_watch;

/* GET /admin/policy, /admin/policy/explain?region=R&tenant=T; POST /admin/policy/check, /admin/policy/reload. */
void policy_admin_show(struct door *door, struct http_request *request);
void policy_admin_explain(struct door *door, struct http_request *request);
void policy_admin_check(struct door *door, struct http_request *request);
void policy_admin_reload(struct door *door, struct http_request *request);

/* Look for changes every POLICY_LOOK_MS, and read them; what it begins with is logged and audited. NULL where nothing is governed. Before the door's loop ends policy_watch_free() it. */
struct policy_watch *policy_watch_new(struct door *door);
void policy_watch_free(struct policy_watch *watch);
/* Read the folder now; what came of it is logged, counted, audited. ERR_UNSUPPORTED: nothing is governed. */
enum err policy_reload(struct door *door);

#endif

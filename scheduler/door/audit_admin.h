/* scheduler/door/audit_admin.h -- the audit as its readers see it: operators, and everybody else.
 *
 *      GET /admin/audit           this scheduler's chain, what waits, the newest sealed file
 *      POST /admin/audit/seal     have all records sealed that are there now; the file
 *      GET /v1/transparency       open to everybody: what is served here, by which rules, and the roots that prove the records
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_DOOR_AUDIT_ADMIN_H
#define SCHEDULER_DOOR_AUDIT_ADMIN_H

struct door;
struct http_request;

void audit_admin_show(struct door *door, struct http_request *request);
void audit_admin_seal(struct door *door, struct http_request *request);
void audit_admin_transparency(struct door *door, struct http_request *request);

#endif

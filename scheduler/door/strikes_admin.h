/* scheduler/door/strikes_admin.h -- POST /admin/strikes/forgive: a user, or a key, is let in again.
 *
 * {"tenant": …, "user": …}, or {"tenant": …, "key": the key's id}. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_STRIKES_ADMIN_H
#define SCHEDULER_DOOR_STRIKES_ADMIN_H

struct door;
struct http_request;

void strikes_admin_forgive(struct door *door, struct http_request *request);

#endif

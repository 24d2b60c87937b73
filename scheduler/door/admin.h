/* scheduler/door/admin.h -- what operators ask and do: /admin/nodes, schedulers, status, drain,
 * undrain, reload.
 *
 * Open to keys with `admin`; without keys to everyone, who is then on this machine. Thread: the
 * loop's. */
#ifndef SCHEDULER_DOOR_ADMIN_H
#define SCHEDULER_DOOR_ADMIN_H

struct door;
struct http_request;

void admin_nodes(struct door *door, struct http_request *request);
void admin_schedulers(struct door *door, struct http_request *request);
void admin_status(struct door *door, struct http_request *request);
void admin_drain(struct door *door, struct http_request *request);
void admin_undrain(struct door *door, struct http_request *request);
void admin_reload(struct door *door, struct http_request *request);

#endif

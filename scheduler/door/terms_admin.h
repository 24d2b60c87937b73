/* scheduler/door/terms_admin.h -- operators and the bundles of terms: what is in force, and the folder is looked at again.
 *
 *      GET  /admin/terms            the bundles, and why the latest reading failed
 *      POST /admin/terms/reload     read the folder now; it is looked at anyway (door/folders.h)
 *      POST /admin/terms/check      {"name", "text"}: what is wrong with a bundle that is not there yet
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_DOOR_TERMS_ADMIN_H
#define SCHEDULER_DOOR_TERMS_ADMIN_H

struct door;
struct http_request;

/* Read the folder if it has changed; or again, whatever it is. Nothing where there is none; what came of it is logged, counted, audited. */
void terms_look(struct door *door);
void terms_reload(struct door *door);

void terms_admin_show(struct door *door, struct http_request *request);
void terms_admin_reload(struct door *door, struct http_request *request);
void terms_admin_check(struct door *door, struct http_request *request);

#endif

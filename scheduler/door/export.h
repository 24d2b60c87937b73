/* scheduler/door/export.h -- what a recommender is trained on, a page at a time, for `qiaoctl recommender export`; keys need
 * `admin`.
 *
 *      POST /admin/histories   {"cursor": "0", "salt": TEXT} -> {"cursor": …, "data": [{"tag": …, "items": […], "times": […],
 *                              "types": […]}, …]}; the cursor "0" that comes back is the end
 *      POST /admin/catalogue   {"from": 0} -> {"next": ROW or null, "changes": N, "data": [items]}
 *
 * A history is that of a user who has agreed to `recommendations` and has personalization on now; others are not read. The
 * oldest event comes first, times are in ms, searches are left out. Nobody is named: `tag` is a hash of the user under the
 * salt, by which one who comes twice is known. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_EXPORT_H
#define SCHEDULER_DOOR_EXPORT_H

struct door;
struct http_request;

void export_histories(struct door *door, struct http_request *request);
void export_catalogue(struct door *door, struct http_request *request);

#endif

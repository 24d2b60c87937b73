/* scheduler/door/indexes.h -- search over HTTP: /v1/indexes and what lies below it (docs/api.md).
 *
 *      GET /v1/indexes                         the tenant's indexes
 *      PUT, GET, DELETE /v1/indexes/NAME       settings
 *      POST /v1/indexes/NAME/documents         documents, in bulk
 *      GET, DELETE /v1/indexes/NAME/documents/ID
 *      POST /v1/indexes/NAME/search, /suggest
 *
 * Indexes belong to the key's tenant; writing needs a key with `data`. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_INDEXES_H
#define SCHEDULER_DOOR_INDEXES_H

struct door;
struct http_request;

void indexes_door_list(struct door *door, struct http_request *request);
void indexes_door_get(struct door *door, struct http_request *request);
void indexes_door_put(struct door *door, struct http_request *request);
void indexes_door_post(struct door *door, struct http_request *request);
void indexes_door_delete(struct door *door, struct http_request *request);

#endif

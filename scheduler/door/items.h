/* scheduler/door/items.h -- the door to a tenant's catalogue (features/catalogue.h): write many, read one, forget one.
 *
 * A write answers when Redis has it and this scheduler's copy too, or ITEMS_WAIT_MS later ("visible": false); the other
 * schedulers' copies are some 50 ms behind. Who goes away first does not stop it. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_ITEMS_H
#define SCHEDULER_DOOR_ITEMS_H

struct door;
struct http_request;

enum {
    ITEMS_LINES_MAX = 100000 // of one body
};

/* PUT, POST /v1/items: a line an item; {"id":…,"delete":true} deletes one. */
void items_put(struct door *door, struct http_request *request);
/* GET /v1/items: how many there are, and the version. */
void items_count(struct door *door, struct http_request *request);
/* GET, DELETE /v1/items/{id} */
void items_show(struct door *door, struct http_request *request);
void items_delete(struct door *door, struct http_request *request);

#endif

/* scheduler/door/items_load.h -- items that were read, on their way into Redis and then into this scheduler's copy.
 *
 *      items_load_new --> items_load_add … --> items_load_send --> reply(request, load), once; what is refused is in its report
 *
 * What was added is written also when the client goes away; then nobody is told. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_ITEMS_LOAD_H
#define SCHEDULER_DOOR_ITEMS_LOAD_H

#include "scheduler/door/ndjson.h"
#include "scheduler/features/collection.h"

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct catalogue;
struct context;
struct door;
struct follower_wait;
struct http_request;

enum {
    ITEMS_WAIT_MS = 1000 // for the copy; then the answer says that it is not there yet
};

struct items_load;
typedef void items_reply_fn(struct http_request *request, const struct items_load *load);

struct items_load {
    struct door *door;
    struct http_request *request; // NULL: nobody hears the end
    struct catalogue *catalogue;
    items_reply_fn *reply;
    struct collection_entry *entries; // whose texts are in `texts`, by offsets until it is whole
    size_t *lines;                    // of the entries
    unsigned char *fates;
    size_t count, capacity;
    struct buf texts;
    struct ndjson_report report;
    struct follower_wait *wait;
    uint64_t version;
    bool visible;
    size_t counts[COLLECTION_FULL + 1]; // of each enum collection_fate
};

/* The tenant's catalogue; NULL with ERR_BUSY's note when there are too many. */
struct catalogue *items_catalogue(struct door *door, const struct context *context);

struct items_load *items_load_new(struct door *door, struct http_request *request,
                                  struct catalogue *catalogue, items_reply_fn *reply);
/* Before it is sent. */
void items_load_free(struct items_load *load);
/* An item, checked (features/catalogue.h), or the deletion of one. ERR_INVALID, ERR_TOO_LARGE: json_param() names the member. */
enum err items_load_put(struct items_load *load, size_t line, const json_t *object);
void items_load_delete(struct items_load *load, size_t line, const char *id);
/* The load is gone when its reply has been called. With no item in it that is now. */
void items_load_send(struct items_load *load);

#endif

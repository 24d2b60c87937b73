/* scheduler/door/events_post.h -- events that were read, on their way into Redis: user by user, each with their own consent.
 *
 *      events_post_new --> events_post_take … --> events_post_send --> reply(request, post), once; what is refused is in its report
 *
 * What was taken is stored also when the client goes away; then nobody is told. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_EVENTS_POST_H
#define SCHEDULER_DOOR_EVENTS_POST_H

#include "scheduler/door/context.h"
#include "scheduler/door/event_send.h"
#include "scheduler/door/ndjson.h"
#include "scheduler/features/events.h"

#include <jansson.h>

#include <stddef.h>

struct door;
struct http_request;

struct events_post;
typedef void events_reply_fn(struct http_request *request, const struct events_post *post);

struct events_post {
    struct door *door;
    struct http_request *request; // NULL: nobody hears the end
    struct context context;
    json_t *root; // what the events are borrowed from
    events_reply_fn *reply;
    struct event_parcel *taken; // [count]
    size_t count, capacity, stored, repeated;
    struct ndjson_report report;
};

struct events_post *events_post_new(struct door *door, struct http_request *request,
                                    const struct context *context, events_reply_fn *reply);
/* Before it is sent. */
void events_post_free(struct events_post *post);
/* An event of the user that the context names; `index` is its number in the report. Its properties are the post's from then on, the other
 * texts are borrowed from `root`. */
void events_post_take(struct events_post *post, const struct context *context,
                      const struct event *event, size_t index);
/* The post is gone when its reply has been called. */
void events_post_send(struct events_post *post);

#endif

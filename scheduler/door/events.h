/* scheduler/door/events.h -- POST /v1/events: what users did, up to 1,000 events a call, of one user or of several.
 *
 *      {"user": …, "session": …, "events": [{"id": …, "type": "view", "item": …, "time": …, "properties": {…}}, …]}
 *
 * or {"events": […]} whose events name their users, or one event alone. Each is judged for itself: the answer lists those
 * that were not taken, by their index, and no other. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_EVENTS_H
#define SCHEDULER_DOOR_EVENTS_H

struct door;
struct http_request;

void events_post(struct door *door, struct http_request *request);

#endif

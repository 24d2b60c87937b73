/* scheduler/door/sessions.h -- the doors to stored sessions: list, show, export, delete, prewarm.
 *
 * A session is its tenant's and user's; to anyone else it is not there (404). Thread: the loop's. */
#ifndef SCHEDULER_DOOR_SESSIONS_H
#define SCHEDULER_DOOR_SESSIONS_H

struct append;
struct door;
struct http_request;
struct shape_usage;

/* GET /v1/sessions */
void sessions_list(struct door *door, struct http_request *request);
/* GET /v1/sessions/{id}, GET /v1/sessions/{id}/export */
void sessions_show(struct door *door, struct http_request *request);
/* DELETE /v1/sessions/{id} */
void sessions_delete(struct door *door, struct http_request *request);
/* POST /v1/sessions/{id}/prewarm */
void sessions_prewarm(struct door *door, struct http_request *request);

/* The answer to a prewarm; the request is dead after. */
void sessions_reply_prewarmed(struct http_request *request, const struct append *append,
                              const char *model, const struct shape_usage *usage);

#endif

/* scheduler/door/me_tags.h -- what the history says that a user likes: look, take away, give back (features/tags.h).
 *
 * The user is the key's own, or the one of X-Qiao-User. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_ME_TAGS_H
#define SCHEDULER_DOOR_ME_TAGS_H

struct door;
struct http_request;

/* GET /v1/me/tags: with the consent `history`, and personalization on; else nothing is derived. */
void me_tags(struct door *door, struct http_request *request);
/* DELETE, PUT /v1/me/tags/TAG: from now on nothing is made of it; again something is. Both may be repeated. */
void me_delete_tag(struct door *door, struct http_request *request);
void me_put_tag(struct door *door, struct http_request *request);

#endif

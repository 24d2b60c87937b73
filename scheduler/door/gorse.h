/* scheduler/door/gorse.h -- the REST paths of Gorse, a recommender, for its clients: /api/feedback, /api/recommend, /api/item, /api/user …
 *
 * Feedback is events, items are the catalogue, recommendations are recommendations; users are nobody until they have agreed to
 * something (features/consent.h), which their own consents say and Gorse's words cannot. The key is in X-API-Key (or Authorization);
 * a user in a path needs one that may assert users, as X-Qiao-User does. Errors are the message as plain text.
 *
 * Gorse's feedback types are names of the shop's own. These are events here: view, read, click; cart; favourite, favorite, like, star;
 * purchase, buy, order. The name is kept in the event's properties and told back. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_GORSE_H
#define SCHEDULER_DOOR_GORSE_H

struct door;
struct http_request;

/* Whatever is below /api/. */
void gorse_handle(struct door *door, struct http_request *request);

#endif

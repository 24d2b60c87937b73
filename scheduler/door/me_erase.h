/* scheduler/door/me_erase.h -- everything of a user is deleted, and what a receipt says of it (features/erase.h).
 *
 * The user is the key's own, or the one of X-Qiao-User. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_ME_ERASE_H
#define SCHEDULER_DOOR_ME_ERASE_H

struct door;
struct http_request;

/* DELETE /v1/me: answered when nothing of the user is served any more; the body is the receipt. */
void me_erase(struct door *door, struct http_request *request);
/* GET /v1/me/erasures: the ids of the receipts, the newest first; who lost the answer finds it so. */
void me_erasures(struct door *door, struct http_request *request);
/* GET /v1/me/erasures/ID: the receipt as it stands now. */
void me_erasure(struct door *door, struct http_request *request);

#endif

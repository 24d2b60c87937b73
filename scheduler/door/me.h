/* scheduler/door/me.h -- what a user has agreed to: look, and change (features/consent.h); and what is kept of the user.
 *
 * The user is the key's own, or the one of X-Qiao-User. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_ME_H
#define SCHEDULER_DOOR_ME_H

#include "base/err.h"

struct door;
struct history;
struct http_request;

/* GET, PUT /v1/me/consents: {"consents":{"history":true,"partner:SOURCE":true},"pseudonyms":{"SOURCE":"…"}}; what is not
 * named stays. */
void me_consents(struct door *door, struct http_request *request);
void me_put_consents(struct door *door, struct http_request *request);
/* GET, PUT /v1/me/personalization: {"enabled":true} */
void me_personalization(struct door *door, struct http_request *request);
void me_put_personalization(struct door *door, struct http_request *request);
/* GET /v1/me/events: what is kept of the user, partners' events too, the newest first, with the consent `history` alone. */
void me_events(struct door *door, struct http_request *request);
/* ERR_FORBIDDEN, with its note: nothing of it was read. */
enum err me_check_read(const struct history *history);

#endif

/* scheduler/door/links.h -- who a user is at a partner, proven by the partner.
 *
 *      POST   /v1/me/links          {"token": …}: the partner's token (partners.h) says which of its users this is; gives the
 *                                   consent partner:SOURCE
 *      DELETE /v1/me/links/SOURCE   withdraw it: link and events of that partner are deleted
 *
 * The user is the key's own, or the one of X-Qiao-User. A token links one user; shown again by the same, it does the same.
 * Thread: the loop's. */
#ifndef SCHEDULER_DOOR_LINKS_H
#define SCHEDULER_DOOR_LINKS_H

struct door;
struct http_request;

void links_post(struct door *door, struct http_request *request);
void links_delete(struct door *door, struct http_request *request);

#endif

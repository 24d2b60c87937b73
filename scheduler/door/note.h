/* scheduler/door/note.h -- audit records of what comes in through the door: operators' orders, users' decisions.
 *
 * None names a user, and none has content: the path as the table of routes has it, the key, the answer's status, and what the handler says
 * the request is about (http_set_subject()). Without an audit nothing happens. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_NOTE_H
#define SCHEDULER_DOOR_NOTE_H

struct door;
struct http_request;

/* A scheduler begins. */
void note_start(struct door *door);
/* How long records must be kept follows from the policies in force. */
void note_retention(struct door *door);
/* A request has ended: an order of an operator whatever came of it, and what a user decided if it was done. */
void note_request(struct door *door, const struct http_request *request, int status);

#endif

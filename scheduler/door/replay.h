/* scheduler/door/replay.h -- a text that is there is sent as an answer, in the shape that the request asks for.
 *
 * No token is computed: usage counts none. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_REPLAY_H
#define SCHEDULER_DOOR_REPLAY_H

struct ask;
struct fleet_model;
struct http_request;
struct resume;
struct session_turn;

/* `resume` NULL: no Idempotency-Key; else a stream goes on where its reader is, by the bytes of its position: what it says of
 * tokens is kept. The request is dead after. `told` is shape.h's `session`. */
void replay_send(struct http_request *request, const struct ask *ask,
                 const struct fleet_model *model, const struct session_turn *turn, const char *told,
                 const struct resume *resume);
/* What the rules say instead of an answer, for each choice. */
void replay_refusal(struct http_request *request, const struct ask *ask,
                    const struct fleet_model *model, const char *text);

#endif

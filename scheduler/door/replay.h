/* scheduler/door/replay.h -- a text that is there is sent as an answer, in the shape that the request asks for.
 *
 * No token is computed: usage counts none. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_REPLAY_H
#define SCHEDULER_DOOR_REPLAY_H

#include "scheduler/door/mark.h"

struct ask;
struct door;
struct fleet_model;
struct http_request;
struct resume;
struct session_turn;

struct replay_order {
    struct door *door;
    struct http_request *request; // dead after
    const struct ask *ask;
    const struct fleet_model *model;
    const char *told;       // shape.h's `session`
    struct mark_order mark; // its label
    /* NULL: no Idempotency-Key; else a stream goes on where its reader is, by the bytes of its position: what it says of
     * tokens is kept. */
    const struct resume *resume;
};

void replay_send(const struct replay_order *order, const struct session_turn *turn);
/* What the rules say instead of an answer, for each choice. */
void replay_refusal(const struct replay_order *order, const char *text);

#endif

/* scheduler/door/own.h -- how much of an answer's time is the scheduler's own, the nodes' left out.
 *
 *      request --read--> --limits--> --send--> …the node… --deliver--> answer
 *
 *      read      from a whole request to its prompt's tokens: key, JSON, template, tokenizer; a session or an
 *                Idempotency-Key from Redis too
 *      limits    until key and user are admitted
 *      send      a node is chosen, and its message handed to the link
 *      deliver   from the hearing of the node's last word (of a stream: its first token) by NNG's thread until the answer
 *                (its first token) is handed to the client's socket
 *
 * Counted once an answer, when the last part is over: an answer that fails has none, nor has one that waited for a node,
 * or needed another answer first (a summary). What passes before the loop hears of a request is not seen here; bench/gateway
 * measures it from outside.
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_DOOR_OWN_H
#define SCHEDULER_DOOR_OWN_H

#include <stdbool.h>
#include <stdint.h>

struct metrics;

enum own_part {
    OWN_READ,
    OWN_LIMITS,
    OWN_SEND,
    OWN_DELIVER,
    OWN_PARTS
};

struct own {
    uint64_t at_ns; // the part that runs began
    uint64_t parts_ns[OWN_PARTS];
    bool over; // counted, or never to be
};

void own_begin(struct own *own);
/* The part ends now, and the next begins. */
void own_pass(struct own *own, enum own_part part);
/* It will not be counted. */
void own_forget(struct own *own);
/* Delivered: count. `heard_ns` 0: not known when the node was heard, and nothing is counted. Later calls do nothing. */
void own_deliver(struct own *own, struct metrics *metrics, uint64_t heard_ns);

#endif

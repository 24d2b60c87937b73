/* scheduler/door/embeddings.h -- texts to vectors: POST /v1/embeddings.
 *
 *      texts --(long: a worker)--> ids --quota--> a flight each, EMBEDDINGS_AIR_MAX at once --> one reply, in the order of the texts
 *
 * The first text that fails ends them all. When the client goes away, what is in the air is cancelled. Thread: the
 * loop's. */
#ifndef SCHEDULER_DOOR_EMBEDDINGS_H
#define SCHEDULER_DOOR_EMBEDDINGS_H

struct door;
struct http_request;

enum {
    EMBEDDINGS_TEXTS_MAX = 2048, // of one request
    EMBEDDINGS_AIR_MAX = 64      // flights of one request at once
};

void embeddings_post(struct door *door, struct http_request *request);

#endif

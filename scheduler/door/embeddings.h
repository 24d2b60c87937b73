/* scheduler/door/embeddings.h -- texts to vectors: POST /v1/embeddings.
 *
 * The texts are an errand (errand.h); its vectors are written in their order, many of them by a worker. When the client goes
 * away, so does the errand. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_EMBEDDINGS_H
#define SCHEDULER_DOOR_EMBEDDINGS_H

struct door;
struct http_request;

void embeddings_post(struct door *door, struct http_request *request);

#endif

/* scheduler/door/rerank.h -- which of many texts answer a query: POST /v1/rerank (and /v2/rerank, where Cohere's clients go) and
 * POST /rerank.
 *
 * The texts are an errand of scores (errand.h), by a model that reads query and text together. Texts are answered the best first,
 * ties in their order. Shapes: rerank_ask.h. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_RERANK_H
#define SCHEDULER_DOOR_RERANK_H

struct door;
struct http_request;

/* In Cohere's and Jina's shape. */
void rerank_post(struct door *door, struct http_request *request);
/* In the shape of text-embeddings-inference. */
void rerank_post_texts(struct door *door, struct http_request *request);

#endif

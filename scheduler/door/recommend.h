/* scheduler/door/recommend.h -- POST /v1/recommendations: what one user, or one visit, may like next.
 *
 *      body --> history (consent) or session's items --> rows of the model --> a node --> items, best first
 *                    \--- none, or not allowed: what is popular in the region (personalized: false)
 *
 * Without consent, with personalization off, or for a visit that is told in the body, the history is not read. What may be
 * recommended -- items that the catalogue has and that are sold in the region -- goes to the node as a bitmap over the
 * model's rows, named by its digest: the bits are sent when the node does not have them. While the catalogue is empty, and
 * where the rows of the model have no names (text/rows.h), any may be. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_RECOMMEND_H
#define SCHEDULER_DOOR_RECOMMEND_H

struct door;
struct http_request;

enum {
    RECOMMEND_COUNT_MAX = 100,
    RECOMMEND_SESSION_MAX = 200 // items of a visit
};

void recommend_post(struct door *door, struct http_request *request);

#endif

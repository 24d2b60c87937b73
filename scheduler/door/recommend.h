/* scheduler/door/recommend.h -- POST /v1/recommendations: what one user, or one visit, may like next.
 *
 *      body --> history (consent), the session's items, or one item --> rows of the model --> a node --> items, best first
 *                    \--- none, or not allowed: what is popular in the region (personalized: false)
 *
 * Without consent, with personalization off, or for a visit that is told in the body, the history is not read. What may be
 * recommended -- items that the catalogue has, that are sold in the region and for which the filter holds -- goes to the node as a
 * bitmap over the model's rows (features/sold.h), named by its digest: the bits are sent when the node does not have them. Without a
 * filter any row may be while the catalogue is empty, and where the rows of the model have no names (text/rows.h).
 *
 * The same serves other APIs, which read their own questions and say the answers in their own words. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_RECOMMEND_H
#define SCHEDULER_DOOR_RECOMMEND_H

struct context;
struct door;
struct http_error;
struct http_request;
struct recommend_answer;
struct recommend_ask;

enum {
    RECOMMEND_COUNT_MAX = 100,
    RECOMMEND_LIST_MAX = 1000, // of all that one question may be about, what is skipped too
    RECOMMEND_SESSION_MAX =
        4096 // items of a visit; all are left out of the list, the model takes the newest
};

void recommend_post(struct door *door, struct http_request *request);

/* How an answer is said; exactly one of the two is called, unless the client goes away first. */
struct recommend_words {
    void (*reply)(struct http_request *request, const struct recommend_answer *answer);
    void (*refuse)(struct http_request *request, const struct http_error *error);
};

/* A question that was read: `ask` is emptied, `context` copied. */
void recommend_begin(struct door *door, struct http_request *request, const struct context *context,
                     struct recommend_ask *ask, const struct recommend_words *words);

#endif

/* scheduler/door/completion.h -- one answer: from the body of a POST to the last byte of its reply.
 *
 *      start --(Idempotency-Key)--> CLAIMING --granted--> as if there were none, with the first attempt's seed and model
 *
 *      start --(session)--> LOADING --turns--+   (and GROUNDING behind it)
 *        +--(context)--> GROUNDING ----------+--> ENCODING --ids--> RESERVING --admitted--> FLYING
 *                       (short texts and keys without limits: at once)   |                     |
 *                             ^                                          | (a summary first)   |
 *                             +------------------- SUMMING_UP <----------+                     |
 *                                                   reply, settle <-- (session) SAVING <-- end +
 *
 *      A turn that was stored before goes from LOADING to its reply, by SAVING when replicas are to be waited for.
 *      any failure: an error reply, or an error event when the stream has begun
 *
 * Whatever happens, it ends once: reply sent or client gone, flight ended or cancelled, limits
 * settled, pack released. The assistant's turn is appended to the session only when the answer is
 * complete, and the reply says that it ended only after that.
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_DOOR_COMPLETION_H
#define SCHEDULER_DOOR_COMPLETION_H

struct door;
struct http_request;

/* POST /v1/chat/completions, POST /v1/completions. */
void completion_chat(struct door *door, struct http_request *request);
void completion_text(struct door *door, struct http_request *request);
/* POST /v1/sessions/{id}/prewarm: the session's prompt is computed, nothing is answered or appended. */
void completion_prewarm(struct door *door, struct http_request *request, const char *session);

#endif

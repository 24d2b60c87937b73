/* scheduler/door/labels.h -- whether content has the label that it had when it was made here: /v1/labels.
 *
 * Who has the public keys (GET /v1/labels/keys) can check by himself: base/aigc.h says how. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_LABELS_H
#define SCHEDULER_DOOR_LABELS_H

struct door;
struct http_request;

/* {"content": "…" or ["…", …], "label": {"before", "behind"} if it is known, "AIGC": {…}}, or an answer's whole body */
void labels_verify(struct door *door, struct http_request *request);
void labels_keys(struct door *door, struct http_request *request);

#endif

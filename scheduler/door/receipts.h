/* scheduler/door/receipts.h -- the receipts of governed answers (base/receipt.h).
 *
 * A chat's or completion's stands in its body and in the chunk that ends a choice, as `receipt`; every other answer's in the header
 * X-Qiao-Receipt. Where nothing governs an answer, or the scheduler has no key to sign with (--label-key), there is none.
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_DOOR_RECEIPTS_H
#define SCHEDULER_DOOR_RECEIPTS_H

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct digest;
struct door;
struct governed;
struct http_request;

/* What a receipt is of. */
struct receipts_order {
    const struct door *door;
    const struct governed *governed;
    const struct digest *model; // NULL: no model had a part in it
    const char *answer;         // its id
    const char *label;          // its AIGC label's id; "": it has none
    int64_t time_ms;
};

/* Append the object. False, and nothing is written: there is no receipt. */
bool receipts_write(struct buf *out, const struct receipts_order *order);
/* The header, for the request's id and of now. */
void receipts_set_header(const struct door *door, struct http_request *request,
                         const struct governed *governed, const struct digest *model);

#endif

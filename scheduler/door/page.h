/* scheduler/door/page.h -- evhttp's own error pages, in the API's shape.
 *
 * When a request is not valid HTTP or passes a limit, evhttp answers by itself with an HTML page
 * and offers no hook (2.1). The page is then queued in the connection's output and nothing of it
 * has left: here it is replaced by the same status with our headers and a JSON body. Thread: the
 * loop's. */
#ifndef SCHEDULER_DOOR_PAGE_H
#define SCHEDULER_DOOR_PAGE_H

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct evbuffer;

struct page_limits {
    size_t header_bytes, body_bytes; // as the message says them
};

/* `output` is the whole of a connection's queued output, frozen at its front as bufferevents keep
 * it. Returns the status of the page that was replaced; 0 when it was none (an interim answer,
 * say) and nothing was done. */
int page_repair(struct evbuffer *output, const struct page_limits *limits);

/* The whole answer for a client that is one too many. */
void page_refusal(struct buf *out);

#endif

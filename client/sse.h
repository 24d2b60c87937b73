/* client/sse.h -- the event stream of server-sent events (WHATWG HTML, section 9.2.6), read as its bytes come.
 *
 * Lines end with LF, CR LF or CR; `data:` lines of one event are joined with LF; comments and other fields are
 * skipped. An event larger than SSE_EVENT_MAX is an error. Thread: one owner. */
#ifndef CLIENT_SSE_H
#define CLIENT_SSE_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    SSE_EVENT_MAX = 1 << 20
};

struct sse {
    struct buf line, data;
    bool has_data;
    bool after_cr; // a LF that follows belongs to the line before
    /* One event's data, NUL-terminated; borrowed until it returns. */
    void (*event)(void *argument, const char *data, size_t size);
    void *argument;
};

void sse_init(struct sse *sse, void (*event)(void *argument, const char *data, size_t size),
              void *argument);
void sse_fini(struct sse *sse);
enum err sse_push(struct sse *sse, const char *bytes, size_t size);

#endif

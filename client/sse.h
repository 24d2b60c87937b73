/* client/sse.h -- the event stream of server-sent events (WHATWG HTML, section 9.2.6), read as its bytes come.
 *
 * Lines end with LF, CR LF or CR; `data:` lines of one event are joined with LF; comments and other fields but `id:` are
 * skipped. An event larger than SSE_EVENT_MAX is an error. Thread: one owner. */
#ifndef CLIENT_SSE_H
#define CLIENT_SSE_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    SSE_EVENT_MAX = 1 << 20,
    SSE_ID_MAX = 255 // bytes of an id; longer ones are skipped
};

struct sse {
    struct buf line, data;
    bool has_data;
    bool after_cr;                  // a LF that follows belongs to the line before
    char coming_id[SSE_ID_MAX + 1]; // as the lines say it; it counts once its event is whole
    char
        last_id[SSE_ID_MAX + 1]; // of the latest whole event, what Last-Event-ID asks for; "": none
    /* One event's data, NUL-terminated; borrowed until it returns. */
    void (*event)(void *argument, const char *data, size_t size);
    void *argument;
};

void sse_init(struct sse *sse, void (*event)(void *argument, const char *data, size_t size),
              void *argument);
void sse_fini(struct sse *sse);
enum err sse_push(struct sse *sse, const char *bytes, size_t size);

#endif

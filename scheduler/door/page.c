#include "scheduler/door/page.h"

#include "scheduler/door/http.h"

#include "base/buf.h"
#include "base/rand.h"

#include <event2/buffer.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    START_MAX = 64 // of the status line that is looked at
};

static enum err error_of(int status)
{
    switch (status) {
    case 404: return ERR_NOT_FOUND;
    case 405: return ERR_METHOD;
    case 413: return ERR_TOO_LARGE;
    case 417:
    case 501: return ERR_UNSUPPORTED;
    default: return status < 500 ? ERR_INVALID : ERR_INTERNAL;
    }
}

static int replace(struct evbuffer *output, const struct page_limits *limits)
{
    char start[START_MAX] = "", note[160];
    ev_ssize_t size = evbuffer_copyout(output, start, sizeof start - 1);
    int status = 0;
    if (size < 12 || memcmp(start, "HTTP/1.", 7) != 0) return 0;
    if (sscanf(start + 8, " %3d", &status) != 1 || status < 400) return 0;

    enum err err = error_of(status);
    struct http_error error = {.err = err, .message = note};
    if (err == ERR_TOO_LARGE)
        snprintf(note, sizeof note,
                 "the request is larger than the limit: %zu bytes of headers, %zu bytes of body",
                 limits->header_bytes, limits->body_bytes);
    else if (err == ERR_INVALID)
        snprintf(note, sizeof note,
                 "the request is not valid HTTP/1.1, or has more than %zu bytes of headers",
                 limits->header_bytes);
    else
        error.message = NULL;
    struct buf body = {0};
    http_write_error(&body, &error);

    evbuffer_drain(output, evbuffer_get_length(output));
    evbuffer_add_printf(
        output,
        "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
        "x-request-id: req-%016" PRIx64 "\r\nConnection: close\r\n\r\n",
        status, err_name(err), body.size, rand_entropy());
    evbuffer_add(output, body.data, body.size);
    buf_fini(&body);
    return status;
}

int page_repair(struct evbuffer *output, const struct page_limits *limits)
{
    evbuffer_unfreeze(output, 1); // a frozen front can neither be looked at nor taken away
    int status = replace(output, limits);
    evbuffer_freeze(output, 1);
    return status;
}

void page_refusal(struct buf *out)
{
    struct buf body = {0};
    http_write_error(
        &body, &(struct http_error){.err = ERR_BUSY, .message = "too many client connections"});
    buf_addf(out,
             "HTTP/1.1 503 BUSY\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
             "Retry-After: 1\r\nConnection: close\r\n\r\n%s",
             body.size, body.data);
    buf_fini(&body);
}

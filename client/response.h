/* client/response.h -- an HTTP/1.1 response, read as its bytes come (RFC 9112).
 *
 *      STATUS --line--> HEADERS --empty line--> BODY (sized | chunked | until close) --> END
 *
 * Push bytes as they arrive, in pieces of any size; the body is handed on as it is decoded, never kept. Everything that a
 * server could make large has a limit. Thread: one owner. */
#ifndef CLIENT_RESPONSE_H
#define CLIENT_RESPONSE_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RESPONSE_LINE_MAX = 8 << 10,
    RESPONSE_HEADERS_MAX = 64 << 10
};

enum response_state {
    RESPONSE_STATUS,
    RESPONSE_HEADERS,
    RESPONSE_SIZED,
    RESPONSE_CHUNK_SIZE,
    RESPONSE_CHUNK,
    RESPONSE_CHUNK_END,
    RESPONSE_TRAILERS,
    RESPONSE_UNTIL_CLOSE,
    RESPONSE_END
};

struct response {
    enum response_state state;
    int status;
    bool chunked, sized;
    bool event_stream; // Content-Type: text/event-stream
    bool keep_alive;
    uint32_t retry_after; // seconds; 0: not said
    uint64_t left;        // of the body or of the chunk
    size_t header_bytes;
    struct buf line;
    void (*body)(void *argument, const char *bytes, size_t size);
    void *argument;
};

void response_init(struct response *response,
                   void (*body)(void *argument, const char *bytes, size_t size), void *argument);
void response_fini(struct response *response);
/* Take `size` bytes; *used tells how many belong to this response. ERR_FORMAT names what is wrong. */
enum err response_push(struct response *response, const char *bytes, size_t size, size_t *used);
/* The server closed. ERR_FORMAT when the response was not whole. */
enum err response_close(struct response *response);

#endif

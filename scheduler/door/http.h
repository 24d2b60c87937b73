/* scheduler/door/http.h -- the door of the clients: libevent's evhttp, wrapped.
 *
 *      arrival --> handler(request) --> http_reply*()                         (one answer)
 *                                   +-> http_stream_begin() event … event http_stream_end()
 *                                   +-> the client goes away: `gone` is called
 *
 * Exactly one of the three ends a request; after it (and after `gone` returns) the pointer is
 * dead. From the handler on, a closed connection is noticed at once, also while nothing is written.
 *
 * Every error has the API's shape, those that evhttp makes itself too (a malformed request line,
 * headers or a body beyond the limit): the page that evhttp writes is replaced in the connection's
 * output before it leaves.
 *
 * Bounds: connections, header bytes, body bytes, unsent bytes of a stream, time that a client may
 * do nothing.
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_DOOR_HTTP_H
#define SCHEDULER_DOOR_HTTP_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct gate;
struct gate_pass;
struct http;
struct http_request;

enum {
    HTTP_HEADERS_MAX = 32 << 10, // bytes of request line and headers
    HTTP_ID_MAX = 64,            // bytes of an x-request-id
    HTTP_SUBJECT_MAX = 96,       // bytes of an http_subject()
    HTTP_DRAIN_IDLE_MS = 500     // see http_drain()
};

typedef void http_handler_fn(void *owner, struct http_request *request);
/* A request has ended: `status` as sent, 499 when the client went away first. */
typedef void http_ended_fn(void *owner, const struct http_request *request, int status,
                           uint64_t duration_ns);
/* The client is gone; called at most once and, but for http_free(), never from inside
 * of an http_ function. */
typedef void http_gone_fn(void *argument);

struct http_options {
    struct event_base *base;
    const char *host;
    uint16_t port; // 0: any
    size_t body_bytes, unsent_bytes, connections;
    uint32_t timeout_seconds;
    uint32_t drain_idle_ms; // 0: HTTP_DRAIN_IDLE_MS
    void *owner;
    http_handler_fn *handler;
    http_ended_fn *ended;
};

struct http_stats {
    size_t connections, requests; // now
    uint64_t refused, slow;       // since the start
    uint64_t held, cut; // gated answers that waited for a lease; that were ended by the gate
};

/* Listen. ERR_IO names the address and the cause. */
enum err http_new(struct http **out, const struct http_options *options);
/* Drops every connection; requests in hand are told that their client is gone. */
void http_free(struct http *http);
uint16_t http_port(const struct http *http);
/* Stop accepting: whoever stands in the kernel's queue is let in, then the address is closed and new
 * connections are refused. What was received is answered, and every answer that begins now closes its
 * connection. A connection on which nothing is under way may still bring a request (one that was sent before
 * its client could know) until it has been idle for HTTP_DRAIN_IDLE_MS; then it closes. When stats.connections
 * is 0 after http_is_closed(), every byte of every answer has left. */
void http_drain(struct http *http);
/* Nobody is let in any more. */
bool http_is_closed(const struct http *http);
const struct http_stats *http_stats(const struct http *http);

/* "GET", "POST", …; "" for one that we do not know. */
const char *http_method(const struct http_request *request);
const char *http_path(const struct http_request *request);
/* Whether the path is followed by '?' and, among parts that '&' joins, `part`, such as "wait=true". */
bool http_query_has(const struct http_request *request, const char *part);
/* The value of the query's first `name`, decoded, into `out`; "" when there is none. ERR_INVALID: it is longer, or has a NUL. */
enum err http_query_text(const struct http_request *request, const char *name, char *out,
                         size_t out_size);
/* NULL when absent. Borrowed. */
const char *http_header(const struct http_request *request, const char *name);
/* How often the header stands there. */
size_t http_header_count(const struct http_request *request, const char *name);
const char *http_body(const struct http_request *request, size_t *size);
/* The client's x-request-id when it gave a proper one, else one of ours. */
const char *http_id(const struct http_request *request);
uint64_t http_arrival_ns(const struct http_request *request);

/* A name of ours for metrics and logs; a literal. "other" until set. */
void http_set_route(struct http_request *request, const char *route);
const char *http_route(const struct http_request *request);
/* For audit records: the path as the table of routes has it, a literal; the id of the key that asked, which lives as long as the keys; and what the request is about where the path does not
 * say it, a name of ours or the operator's, never a user's. "" until set; a longer subject is cut. */
void http_set_pattern(struct http_request *request, const char *path);
const char *http_pattern(const struct http_request *request);
void http_set_asker(struct http_request *request, const char *key_id);
const char *http_asker(const struct http_request *request);
void http_set_subject(struct http_request *request, const char *subject);
const char *http_subject(const struct http_request *request);
void http_set_gone(struct http_request *request, http_gone_fn *gone, void *argument);
/* It is gated: its answer leaves only while the gate stands for each pass that it has (leash.h); before it begins. When it is cut, `gone` is
 * called, and the client is told the reason. Of a pass of the same name the latest counts. The gate outlives the request; errors are no answer
 * and leave as they always do. */
void http_add_pass(struct http_request *request, struct gate *gate, const struct gate_pass *pass);
/* The gate has changed: look at all gated requests anew. */
void http_look(struct http *http);
/* A header of the answer; before it begins. */
void http_set_header(struct http_request *request, const char *name, const char *value);

void http_reply(struct http_request *request, int status, const char *type, const void *body,
                size_t size);
void http_reply_json(struct http_request *request, int status, const void *body, size_t size);

/* What went wrong, for a client. Zero fields take what the error's row says. */
struct http_error {
    enum err err;
    const char *message; // err_text() of the failure, or NULL: the error's phrase
    const char *param;   // the field; NULL or "": none
    const char *code;    // another code than the row's
    const char *more;    // a further member of the error's object, as JSON; NULL or "": none
    uint32_t retry_seconds;
};

void http_reply_error(struct http_request *request, const struct http_error *error);
/* {"error":{"message":…,"type":…,"param":…,"code":…}} */
struct buf;
void http_write_error(struct buf *out, const struct http_error *error);

/* Server-sent events, each with its `id` if that is not NULL. Once the unsent bytes pass the limit and the socket takes no more, or 16 times
 * the limit, nothing more is queued, and the client is dropped. */
void http_stream_begin(struct http_request *request);
void http_stream_event(struct http_request *request, const char *id, const void *data, size_t size);
void http_stream_end(struct http_request *request);

/* A body of any length in parts: `sent` is called from the loop when the socket has taken all of a part, and only then comes the next one,
 * or the end. A part has at least one byte; HEAD is not answered this way. Who reads too slowly is dropped by the timeout. */
typedef void http_sent_fn(void *argument);
void http_file_begin(struct http_request *request, const char *type);
void http_file_add(struct http_request *request, const void *data, size_t size, http_sent_fn *sent,
                   void *argument);
void http_file_end(struct http_request *request);

#endif

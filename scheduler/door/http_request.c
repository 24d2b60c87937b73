#include "scheduler/door/http_internal.h"
#include "scheduler/door/leash.h"
#include "scheduler/door/push.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    UNSENT_BURSTS = 16 // so many times the bound may wait while the client still reads
};

/* The request leaves our hands. */
void http_end_request(struct http_request *request, int status)
{
    struct connection *connection = request->connection;
    struct http *http = connection->http;
    connection->request = NULL;
    http->stats.requests--;
    if (http->options.ended)
        http->options.ended(http->options.owner, request, status,
                            clock_now_ns() - request->arrival_ns);
    leash_free(request->leash);
    mem_free(request);
}

const char *http_method(const struct http_request *request)
{
    return request->method;
}

const char *http_method_of(struct evhttp_request *ev)
{
    switch (evhttp_request_get_command(ev)) {
    case EVHTTP_REQ_GET: return "GET";
    case EVHTTP_REQ_POST: return "POST";
    case EVHTTP_REQ_HEAD: return "HEAD";
    case EVHTTP_REQ_PUT: return "PUT";
    case EVHTTP_REQ_DELETE: return "DELETE";
    case EVHTTP_REQ_OPTIONS: return "OPTIONS";
    case EVHTTP_REQ_PATCH: return "PATCH";
    default: return "";
    }
}

bool http_query_has(const struct http_request *request, const char *part)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request->ev);
    const char *at = uri ? evhttp_uri_get_query(uri) : NULL;
    size_t size = strlen(part);
    while (at) {
        if (strncmp(at, part, size) == 0 && (at[size] == '&' || at[size] == '\0')) return true;
        at = strchr(at, '&');
        if (at) at++;
    }
    return false;
}

enum err http_query_text(const struct http_request *request, const char *name, char *out,
                         size_t out_size)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request->ev);
    const char *at = uri ? evhttp_uri_get_query(uri) : NULL;
    size_t name_size = strlen(name), size = 0;
    *out = '\0';
    while (at && (strncmp(at, name, name_size) != 0 || at[name_size] != '=')) {
        at = strchr(at, '&');
        if (at) at++;
    }
    if (!at) return ERR_OK;
    at += name_size + 1;
    char *raw = mem_text(at, strcspn(at, "&"));
    char *decoded = evhttp_uridecode(raw, 1, &size);
    bool good = decoded && size < out_size && strlen(decoded) == size;
    if (good) memcpy(out, decoded, size + 1);
    free(decoded); // libevent's
    mem_free(raw);
    return good ? ERR_OK
                : err_note(ERR_INVALID, "%s of the query must have at most %zu bytes", name,
                           out_size - 1);
}

const char *http_path(const struct http_request *request)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request->ev);
    const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
    return path ? path : "";
}

const char *http_header(const struct http_request *request, const char *name)
{
    return evhttp_find_header(evhttp_request_get_input_headers(request->ev), name);
}

size_t http_header_count(const struct http_request *request, const char *name)
{
    size_t count = 0;
    const struct evkeyvalq *headers = evhttp_request_get_input_headers(request->ev);
    for (const struct evkeyval *header = headers->tqh_first; header; header = header->next.tqe_next)
        count += strcasecmp(header->key, name) == 0;
    return count;
}

const char *http_body(const struct http_request *request, size_t *size)
{
    struct evbuffer *body = evhttp_request_get_input_buffer(request->ev);
    *size = evbuffer_get_length(body);
    return *size ? (const char *)evbuffer_pullup(body, -1) : "";
}

const char *http_id(const struct http_request *request)
{
    return request->id;
}

uint64_t http_arrival_ns(const struct http_request *request)
{
    return request->arrival_ns;
}

void http_set_pattern(struct http_request *request, const char *path)
{
    request->pattern = path;
}

const char *http_pattern(const struct http_request *request)
{
    return request->pattern;
}

void http_set_asker(struct http_request *request, const char *key_id)
{
    request->asker = key_id;
}

const char *http_asker(const struct http_request *request)
{
    return request->asker;
}

void http_set_subject(struct http_request *request, const char *subject)
{
    snprintf(request->subject, sizeof request->subject, "%s", subject);
}

const char *http_subject(const struct http_request *request)
{
    return request->subject;
}

void http_set_route(struct http_request *request, const char *route)
{
    request->route = route;
}

const char *http_route(const struct http_request *request)
{
    return request->route;
}

void http_set_gone(struct http_request *request, http_gone_fn *gone, void *argument)
{
    request->gone = gone;
    request->gone_argument = argument;
}

void http_add_pass(struct http_request *request, struct gate *gate, const struct gate_pass *pass)
{
    must(!request->streaming);
    leash_put(request, gate, pass);
}

void http_set_header(struct http_request *request, const char *name, const char *value)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request->ev);
    evhttp_remove_header(headers, name);
    evhttp_add_header(headers, name, value);
}

static void set_common_headers(struct http_request *request, const char *type)
{
    http_set_header(request, "x-request-id", request->id);
    if (type) http_set_header(request, "Content-Type", type);
    if (request->connection->http->draining) http_set_header(request, "Connection", "close");
}

void http_reply(struct http_request *request, int status, const char *type, const void *body,
                size_t size)
{
    struct connection *connection = request->connection;
    struct http *http = connection->http;
    must(!request->streaming);
    set_common_headers(request, type);
    struct evhttp_request *ev = request->ev;
    /* evhttp would send these two a body, without its length: it would be read as the next answer. */
    bool bare = ev->type == EVHTTP_REQ_HEAD || ev->type == EVHTTP_REQ_CONNECT;
    if (bare) {
        char length[24];
        snprintf(length, sizeof length, "%zu", size);
        http_set_header(request, "Content-Length", length);
    }
    struct evbuffer *bytes = evbuffer_new();
    must(bytes && evbuffer_add(bytes, body, bare ? 0 : size) == 0);
    if (request->leash && status == 200) {
        leash_reply(request, bytes);
        return;
    }
    http_end_request(request, status);
    http->writing = true;
    evhttp_send_reply(ev, status, status == 429 ? "Too Many Requests" : NULL, bytes);
    http->writing = false;
    evbuffer_free(bytes);
    push_now(connection->bev);
}

void http_reply_json(struct http_request *request, int status, const void *body, size_t size)
{
    http_reply(request, status, "application/json", body, size);
}

static void begin_chunks(struct http_request *request, const char *type)
{
    struct http *http = request->connection->http;
    must(!request->streaming);
    request->streaming = true;
    set_common_headers(request, type);
    http_set_header(request, "Cache-Control", "no-cache");
    http_set_header(request, "X-Accel-Buffering", "no");
    /* HTTP/1.0 has no chunks: only the closing connection says that the stream has ended. */
    if (request->ev->major == 1 && request->ev->minor == 0)
        evhttp_remove_header(evhttp_request_get_input_headers(request->ev), "Connection");
    http->writing = true;
    evhttp_send_reply_start(request->ev, 200, NULL);
    http->writing = false;
    if (request->leash) leash_take(request, false);
}

void http_stream_begin(struct http_request *request)
{
    begin_chunks(request, "text/event-stream; charset=utf-8");
}

/* Unsent bytes alone do not make a reader slow: after a turn of the loop that came late many events are
 * queued at once, and none had its chance to leave. Its socket says whether the client reads. */
static bool is_slow(const struct connection *connection, size_t unsent)
{
    size_t bound = connection->http->options.unsent_bytes;
    struct pollfd room = {.fd = connection->fd, .events = POLLOUT};
    if (unsent <= bound) return false;
    return unsent / UNSENT_BURSTS > bound || poll(&room, 1, 0) != 1;
}

static void add_chunk(struct http_request *request, struct evbuffer *bytes)
{
    struct http *http = request->connection->http;
    http->writing = true;
    evhttp_send_reply_chunk(request->ev, bytes);
    http->writing = false;
    evbuffer_free(bytes);
}

void http_make_event(struct http_request *request, const char *id, const void *data, size_t size)
{
    struct evbuffer *bytes = evbuffer_new();
    must(bytes && (!id || evbuffer_add_printf(bytes, "id: %s\n", id) > 0));
    must(evbuffer_add(bytes, "data: ", 6) == 0 && evbuffer_add(bytes, data, size) == 0 &&
         evbuffer_add(bytes, "\n\n", 2) == 0);
    add_chunk(request, bytes);
}

void http_make_comment(struct http_request *request, const char *text)
{
    struct evbuffer *bytes = evbuffer_new();
    must(bytes && evbuffer_add_printf(bytes, ": %s\n\n", text) > 0);
    add_chunk(request, bytes);
}

static size_t unsent_bytes(const struct http_request *request)
{
    if (request->leash) return leash_unsent(request->leash);
    return evbuffer_get_length(bufferevent_get_output(request->connection->bev));
}

void http_stream_event(struct http_request *request, const char *id, const void *data, size_t size)
{
    struct connection *connection = request->connection;
    must(request->streaming);
    if (request->slow || (request->leash && leash_is_cut(request->leash))) return;
    if (is_slow(connection, unsent_bytes(request) + size)) {
        request->slow = true;
        event_active(connection->later, EV_TIMEOUT, 0);
        return;
    }
    http_make_event(request, id, data, size);
    if (request->leash) leash_take(request, true);
}

void http_finish_stream(struct http_request *request)
{
    struct connection *connection = request->connection;
    struct http *http = connection->http;
    struct evhttp_request *ev = request->ev;
    bool chunked = ev->chunked; // else its end closes the connection, perhaps at once
    http_end_request(request, 200);
    http->writing = true;
    evhttp_send_reply_end(ev);
    http->writing = false;
    if (chunked) push_now(connection->bev);
}

void http_stream_end(struct http_request *request)
{
    must(request->streaming);
    if (request->slow) { // it is dropped by then, and nobody waits for `gone`
        request->gone = NULL;
        return;
    }
    if (request->leash)
        leash_stream_end(request);
    else
        http_finish_stream(request);
}

void http_file_begin(struct http_request *request, const char *type)
{
    begin_chunks(request, type);
}

static void on_sent(struct evhttp_connection *evcon, void *argument)
{
    struct http_request *request = argument;
    (void)evcon;
    request->sent(request->sent_argument);
}

void http_file_add(struct http_request *request, const void *data, size_t size, http_sent_fn *sent,
                   void *argument)
{
    struct http *http = request->connection->http;
    struct evbuffer *bytes = evbuffer_new();
    must(request->streaming && size > 0 && bytes && evbuffer_add(bytes, data, size) == 0);
    request->sent = sent;
    request->sent_argument = argument;
    http->writing = true;
    evhttp_send_reply_chunk_with_cb(request->ev, bytes, on_sent, request);
    http->writing = false;
    evbuffer_free(bytes);
}

void http_file_end(struct http_request *request)
{
    http_stream_end(request);
}

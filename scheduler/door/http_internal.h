/* scheduler/door/http_internal.h -- what the parts of http.h share; nobody else includes it.
 *
 *      http.c             the listener and the connections: who is let in, who is dropped, when a drain is over
 *          |
 *      http_request.c     one request: what it says, and its one answer or stream
 *          |
 *      leash.c            what of a gated answer may leave
 *
 * http.c makes a request and calls what is below; a request that must end its connection says so by `slow` and
 * `connection->later`, never by a call.
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_DOOR_HTTP_INTERNAL_H
#define SCHEDULER_DOOR_HTTP_INTERNAL_H

#include "scheduler/door/http.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bufferevent;
struct event;
struct evhttp;
struct evhttp_bound_socket;
struct evhttp_connection;
struct evhttp_request;
struct leash;
struct lingers;

/* A client's connection. Born in make_bufferevent() when evhttp accepts, tied to evhttp's own
 * object in attach(), which runs before the first byte is read; ends in on_close(). */
struct connection {
    struct http *http;
    struct bufferevent *bev; // we hold a reference
    struct evhttp_connection *evcon;
    struct event *later; // what cannot be done in the middle of evhttp's work
    struct http_request *request;
    struct connection *next, *previous;
    uint64_t idle_since_ns;
    int fd;
    bool begun;   // bytes of a request have come that is not whole yet
    bool busy;    // from a request's arrival until its answer has left
    bool foreign; // evhttp has queued bytes of its own
    bool refused; // it was told so by a page: it may still be sending
};

struct http {
    struct http_options options;
    struct evhttp *evhttp;
    struct evhttp_bound_socket *listener;
    struct event *sweep, *drain;
    struct connection *connections;
    struct connection **by_fd; // [fd_count]
    size_t fd_count;
    struct lingers *lingers;
    struct http_stats stats;
    uint16_t port;
    bool writing; // the bytes that are being queued are ours, not evhttp's
    bool draining;
    unsigned drain_looks;
    uint64_t drain_ns; // since when
};

struct http_request {
    struct connection *connection;
    struct evhttp_request *ev;
    const char *method; // a literal, for whoever asks when `ev` is gone
    const char *route, *pattern, *asker;
    char subject[HTTP_SUBJECT_MAX + 1];
    http_gone_fn *gone;
    void *gone_argument;
    http_sent_fn *sent; // of a file's part
    void *sent_argument;
    uint64_t arrival_ns;
    bool streaming, slow;
    struct leash *leash; // NULL: it is not gated
    char id[HTTP_ID_MAX + 1];
};

/* "GET", "POST", …; "" for one that we do not know. */
const char *http_method_of(struct evhttp_request *ev);
/* The request leaves our hands: it is freed, and its end told. What evhttp holds of it is left alone. */
void http_end_request(struct http_request *request, int status);
/* Put into the connection's output: a stream's event, a comment, which clients do not see; the stream's end, with which the request
 * leaves our hands. */
void http_make_event(struct http_request *request, const char *id, const void *data, size_t size);
void http_make_comment(struct http_request *request, const char *text);
void http_finish_stream(struct http_request *request);

#endif

#include "scheduler/door/http.h"

#include "scheduler/door/framing.h"
#include "scheduler/door/http_internal.h"
#include "scheduler/door/leash.h"
#include "scheduler/door/linger.h"
#include "scheduler/door/listen.h"
#include "scheduler/door/page.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/rand.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>

#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum {
    INPUT_SLACK = 64 << 10, // of a connection's input beyond the body's limit
    DRAIN_MS = 10,          // between two looks of a drain
    DRAIN_LOOKS_MAX = 50    // at a queue of the kernel's that never gets empty
};

static struct timeval client_timeout(const struct http *http)
{
    return (struct timeval){.tv_sec = http->options.timeout_seconds};
}

static void on_output(struct evbuffer *output, const struct evbuffer_cb_info *info, void *argument)
{
    struct connection *connection = argument;
    (void)output;
    if (info->n_added == 0 || connection->http->writing || connection->foreign) return;
    connection->foreign = true;
    event_active(connection->later, EV_TIMEOUT, 0);
}

static void on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *argument)
{
    struct connection *connection = argument;
    (void)input;
    if (info->n_added > 0) connection->begun = true;
}

static void free_connection(struct connection *connection)
{
    struct http *http = connection->http;
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        http->connections = connection->next;
    if (connection->next) connection->next->previous = connection->previous;
    if (connection->fd >= 0) http->by_fd[connection->fd] = NULL;
    http->stats.connections--;
    evbuffer_remove_cb(bufferevent_get_output(connection->bev), on_output, connection);
    evbuffer_remove_cb(bufferevent_get_input(connection->bev), on_input, connection);
    event_free(connection->later);
    bufferevent_decref(connection->bev);
    mem_free(connection);
}

static void on_close(struct evhttp_connection *evcon, void *argument)
{
    struct connection *connection = argument;
    struct http_request *request = connection->request;
    (void)evcon;
    if (request) {
        /* When the client went away, evhttp leaves the request to us; when we close, it frees it.
         * */
        if (!evhttp_request_get_connection(request->ev)) evhttp_request_free(request->ev);
        request->ev = NULL;
        if (request->gone) request->gone(request->gone_argument);
        http_end_request(request, 499);
    }
    if (connection->refused) lingers_take(connection->http->lingers, connection->bev);
    free_connection(connection);
}

static void refuse_connection(struct connection *connection)
{
    struct buf answer = {0};
    page_refusal(&answer);
    /* A fresh socket has room for it; when it has not, the client sees the connection close. */
    ssize_t sent = send(connection->fd, answer.data, answer.size, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)sent;
    buf_fini(&answer);
    connection->http->stats.refused++;
    evhttp_connection_free(connection->evcon);
}

/* evhttp made its object right after it took our bufferevent, and is that bufferevent's argument.
 * */
static void attach(struct connection *connection)
{
    struct http *http = connection->http;
    void *evcon = NULL;
    bufferevent_getcb(connection->bev, NULL, NULL, NULL, &evcon);
    if (!evcon) { // evhttp gave up on it
        free_connection(connection);
        return;
    }
    must(evhttp_connection_get_bufferevent(evcon) == connection->bev);
    connection->evcon = evcon;
    connection->fd = bufferevent_getfd(connection->bev);
    must(connection->fd >= 0);
    if ((size_t)connection->fd >= http->fd_count) {
        size_t count = (size_t)connection->fd + 64;
        http->by_fd = mem_resize(http->by_fd, count, sizeof *http->by_fd);
        memset(http->by_fd + http->fd_count, 0, (count - http->fd_count) * sizeof *http->by_fd);
        http->fd_count = count;
    }
    http->by_fd[connection->fd] = connection;
    evhttp_connection_set_closecb(connection->evcon, on_close, connection);
    int one = 1;
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    bufferevent_setwatermark(connection->bev, EV_READ, 0, http->options.body_bytes + INPUT_SLACK);
    if (http->stats.connections > http->options.connections) refuse_connection(connection);
}

static void on_later(evutil_socket_t fd, short what, void *argument)
{
    struct connection *connection = argument;
    struct http *http = connection->http;
    (void)fd;
    (void)what;
    if (!connection->evcon) {
        attach(connection);
        return;
    }
    if (connection->request && connection->request->slow) {
        http->stats.slow++;
        evhttp_connection_free(connection->evcon);
        return;
    }
    if (connection->foreign) {
        struct page_limits limits = {HTTP_HEADERS_MAX, http->options.body_bytes};
        http->writing = true;
        if (page_repair(bufferevent_get_output(connection->bev), &limits))
            connection->refused = true;
        http->writing = false;
        connection->foreign = false;
    }
}

static struct bufferevent *make_bufferevent(struct event_base *base, void *argument)
{
    struct http *http = argument;
    struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    if (!bev) return NULL; // evhttp then fails too
    struct connection *connection = mem_new(1, sizeof *connection);
    connection->http = http;
    connection->bev = bev;
    connection->fd = -1;
    connection->idle_since_ns = clock_now_ns();
    connection->later = event_new(base, -1, 0, on_later, connection);
    must(connection->later != NULL);
    connection->next = http->connections;
    if (connection->next) connection->next->previous = connection;
    http->connections = connection;
    http->stats.connections++;
    bufferevent_incref(bev);
    must(evbuffer_add_cb(bufferevent_get_output(bev), on_output, connection) != NULL &&
         evbuffer_add_cb(bufferevent_get_input(bev), on_input, connection) != NULL);
    event_active(connection->later, EV_TIMEOUT, 0);
    return bev;
}

/* A client that has sent no whole request for twice the timeout is dropped, however it drips. */
static void on_sweep(evutil_socket_t fd, short what, void *argument)
{
    struct http *http = argument;
    uint64_t now_ns = clock_now_ns();
    uint64_t limit_ns = 2 * http->options.timeout_seconds * CLOCK_SECOND;
    (void)fd;
    (void)what;
    for (struct connection *connection = http->connections, *next; connection; connection = next) {
        next = connection->next;
        bool over = now_ns - connection->idle_since_ns > limit_ns;
        if (connection->evcon && !connection->busy && over)
            evhttp_connection_free(connection->evcon);
    }
}

static bool is_somebody_waiting(struct http *http)
{
    struct pollfd queue = {.fd = evhttp_bound_socket_get_fd(http->listener), .events = POLLIN};
    return poll(&queue, 1, 0) == 1;
}

static void close_idle(struct http *http, uint64_t now_ns)
{
    uint32_t idle_ms = http->options.drain_idle_ms;
    uint64_t idle_ns = (idle_ms ? idle_ms : HTTP_DRAIN_IDLE_MS) * CLOCK_MS;
    for (struct connection *connection = http->connections, *next; connection; connection = next) {
        next = connection->next;
        uint64_t since_ns =
            connection->idle_since_ns > http->drain_ns ? connection->idle_since_ns : http->drain_ns;
        bool over = now_ns - since_ns > idle_ns;
        if (connection->evcon && !connection->busy && !connection->begun && over)
            evhttp_connection_free(connection->evcon);
    }
}

/* The first look comes a turn of the loop after http_drain(): evhttp has then accepted all that stood in the
 * queue when the turn began. */
static void on_drain(evutil_socket_t fd, short what, void *argument)
{
    struct http *http = argument;
    struct timeval period = {.tv_usec = DRAIN_MS * 1000};
    (void)fd;
    (void)what;
    if (http->listener && (!is_somebody_waiting(http) || ++http->drain_looks > DRAIN_LOOKS_MAX)) {
        evhttp_del_accept_socket(http->evhttp, http->listener);
        http->listener = NULL;
    }
    if (!http->listener) close_idle(http, clock_now_ns());
    event_add(http->drain, &period);
}

static bool is_good_id(const char *text)
{
    size_t size = strlen(text);
    if (size == 0 || size > HTTP_ID_MAX) return false;
    return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
           size;
}

static void on_complete(struct evhttp_request *ev, void *argument)
{
    struct connection *connection = argument;
    struct timeval timeout = client_timeout(connection->http);
    (void)ev;
    connection->busy = false;
    connection->begun = evbuffer_get_length(bufferevent_get_input(connection->bev)) > 0;
    connection->idle_since_ns = clock_now_ns();
    bufferevent_set_timeouts(connection->bev, &timeout, &timeout);
}

/* evhttp reads nothing while a request is worked on; we do, to learn that the client has gone.
 * What it sends meanwhile (a pipelined request) stays in the input, up to its watermark, until
 * evhttp asks. */
static void watch_close(struct connection *connection)
{
    bufferevent_event_cb on_event;
    bufferevent_data_cb on_write;
    void *argument;
    struct timeval timeout = client_timeout(connection->http);
    bufferevent_getcb(connection->bev, NULL, &on_write, &on_event, &argument);
    bufferevent_setcb(connection->bev, NULL, on_write, on_event, argument);
    bufferevent_set_timeouts(connection->bev, NULL, &timeout);
    bufferevent_enable(connection->bev, EV_READ);
}

/* Who is not understood about where the body ends is not read any further. */
static bool refuse_framing(struct http_request *request)
{
    const char *wrong = framing_wrong(evhttp_request_get_input_headers(request->ev));
    if (!wrong) return false;
    http_set_header(request, "Connection", "close");
    http_reply_error(request, &(struct http_error){.err = ERR_INVALID, .message = wrong});
    return true;
}

static void on_request(struct evhttp_request *ev, void *argument)
{
    struct http *http = argument;
    struct evhttp_connection *evcon = evhttp_request_get_connection(ev);
    int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(evcon));
    must(fd >= 0 && (size_t)fd < http->fd_count && http->by_fd[fd]);
    struct connection *connection = http->by_fd[fd];
    must(connection->evcon == evcon && !connection->request);

    struct http_request *request = mem_new(1, sizeof *request);
    request->connection = connection;
    request->ev = ev;
    request->method = http_method_of(ev);
    request->route = "other";
    request->asker = request->pattern = "";
    request->arrival_ns = clock_now_ns();
    connection->request = request;
    connection->busy = true;
    http->stats.requests++;
    const char *id = http_header(request, "x-request-id");
    if (id && is_good_id(id))
        snprintf(request->id, sizeof request->id, "%s", id);
    else
        snprintf(request->id, sizeof request->id, "req-%016" PRIx64, rand_entropy());
    evhttp_request_set_on_complete_cb(ev, on_complete, connection);
    watch_close(connection);
    if (refuse_framing(request)) return;
    http->options.handler(http->options.owner, request);
}

enum err http_new(struct http **out, const struct http_options *options)
{
    struct http *http = mem_new(1, sizeof *http);
    http->options = *options;
    http->evhttp = evhttp_new(options->base);
    must(http->evhttp != NULL);
    evhttp_set_bevcb(http->evhttp, make_bufferevent, http);
    evhttp_set_gencb(http->evhttp, on_request, http);
    evhttp_set_allowed_methods(http->evhttp, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD |
                                                 EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE |
                                                 EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE |
                                                 EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
    evhttp_set_max_headers_size(http->evhttp, HTTP_HEADERS_MAX);
    evhttp_set_max_body_size(http->evhttp, (ev_ssize_t)options->body_bytes);
    evhttp_set_timeout(http->evhttp, (int)options->timeout_seconds);
    struct evconnlistener *listener;
    enum err err = listen_open(&listener, options->base, options->host, options->port);
    if (err) {
        evhttp_free(http->evhttp);
        mem_free(http);
        return err;
    }
    http->port = listen_port(listener);
    http->listener = evhttp_bind_listener(http->evhttp, listener);
    must(http->listener != NULL);
    struct timeval second = {.tv_sec = 1};
    http->lingers = lingers_new(options->base);
    http->sweep = event_new(options->base, -1, EV_PERSIST, on_sweep, http);
    http->drain = event_new(options->base, -1, 0, on_drain, http);
    must(http->sweep && http->drain && event_add(http->sweep, &second) == 0);
    *out = http;
    return ERR_OK;
}

void http_free(struct http *http)
{
    if (!http) return;
    event_free(http->sweep);
    event_free(http->drain);
    while (http->connections && http->connections->evcon)
        evhttp_connection_free(http->connections->evcon);
    evhttp_free(http->evhttp);
    while (http->connections) // accepted in this very turn of the loop, and never tied to evhttp's
        free_connection(http->connections);
    lingers_free(http->lingers);
    mem_free(http->by_fd);
    mem_free(http);
}

void http_look(struct http *http)
{
    for (struct connection *connection = http->connections; connection;
         connection = connection->next)
        if (connection->request && connection->request->leash)
            leash_look(connection->request->leash);
}

uint16_t http_port(const struct http *http)
{
    return http->port;
}

void http_drain(struct http *http)
{
    struct timeval now = {0};
    if (http->draining) return;
    http->draining = true;
    http->drain_ns = clock_now_ns();
    event_add(http->drain, &now);
}

bool http_is_closed(const struct http *http)
{
    return !http->listener;
}

const struct http_stats *http_stats(const struct http *http)
{
    return &http->stats;
}

#include "client/load/stream.h"

#include "client/load/reading.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

struct stream {
    const struct stream_rules *rules;
    void *argument;
    size_t target;
    struct bufferevent *connection; // NULL: none
    struct event *deadline;
    struct event *again; // the next sending; while connecting, the end of that
    bool busy;
    bool connecting;
    bool connected;
    bool kept;        // an answer came on this connection before
    uint64_t retries; // of this request
    char idempotency_key[STREAM_KEY_SIZE];
    struct buf json; // the request's body, for sending it again
    struct reading reading;
};

enum err target_resolve(struct target *out, const char *url)
{
    struct target target = {0};
    TRY(address_parse(&target.address, url));
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    int code = getaddrinfo(target.address.host, target.address.port, &hints, &found);
    if (code)
        return err_note(ERR_UNAVAILABLE, "%s: the name cannot be resolved: %s", target.address.host,
                        gai_strerror(code));
    memcpy(&target.where, found->ai_addr, found->ai_addrlen);
    target.where_size = found->ai_addrlen;
    freeaddrinfo(found);
    *out = target;
    return ERR_OK;
}

static void set_timer(struct event *timer, uint64_t wait_ns)
{
    struct timeval wait = {.tv_sec = (time_t)(wait_ns / CLOCK_SECOND),
                           .tv_usec = (suseconds_t)(wait_ns % CLOCK_SECOND / 1000)};
    event_add(timer, &wait);
}

// ---- how a request ends, or is sent again ------------------------------------------------------

static void disconnect(struct stream *stream)
{
    if (stream->connection) bufferevent_free(stream->connection);
    stream->connection = NULL;
    stream->connecting = false;
    stream->connected = false;
    stream->kept = false;
}

/* The last thing that a callback does: done() may have started the next request. */
static void finish(struct stream *stream, const char *kind, bool keep)
{
    struct outcome outcome = stream->reading.outcome;
    outcome.end_ns = clock_now_ns();
    // An error that the server told about is worth more than how its connection ended.
    if (!outcome.kind[0]) snprintf(outcome.kind, sizeof outcome.kind, "%s", kind);
    event_del(stream->deadline);
    event_del(stream->again);
    if (!keep) disconnect(stream);
    stream->kept = keep;
    stream->busy = false;
    stream->rules->done(stream->argument, &outcome);
}

/* How long to wait before the next sending: not at all while there are schedulers that were not asked yet. */
static uint64_t pause_ns(const struct stream *stream)
{
    uint64_t round = stream->retries / stream->rules->target_count;
    if (stream->retries % stream->rules->target_count != 0) return 0;
    uint64_t pause_ms = round <= 5 ? (uint64_t)STREAM_PAUSE_MS << (round - 1) : STREAM_PAUSE_MS_MAX;
    return (pause_ms < STREAM_PAUSE_MS_MAX ? pause_ms : STREAM_PAUSE_MS_MAX) * CLOCK_MS;
}

/* Ask the next scheduler, `least_ns` from now at the soonest, if it may be asked. */
static bool send_again(struct stream *stream, uint64_t *counter, uint64_t least_ns)
{
    if (stream->retries >= stream->rules->retries) return false;
    stream->retries++;
    ++*counter;
    disconnect(stream);
    stream->target = (stream->target + 1) % stream->rules->target_count;
    uint64_t wait_ns = pause_ns(stream);
    set_timer(stream->again, wait_ns > least_ns ? wait_ns : least_ns);
    return true;
}

/* The connection ended before the answer did. */
static void lose(struct stream *stream, const char *kind)
{
    struct tally *tally = stream->rules->tally;
    uint64_t *counter = reading_is_blank(&stream->reading) ? &tally->retries : &tally->resumes;
    if (reading_can_go_on(&stream->reading) && send_again(stream, counter, 0)) return;
    finish(stream, kind, false);
}

/* The answer is whole. A conflict can only be with an earlier sending of this very request, whose end the
 * cluster has not noticed yet. */
static void conclude(struct stream *stream, bool keep)
{
    const struct response *response = &stream->reading.response;
    bool conflicts = response->status == 409 && response->retry_after && stream->retries > 0;
    if (conflicts &&
        send_again(stream, &stream->rules->tally->retries, response->retry_after * CLOCK_SECOND))
        return;
    bool refused = (response->status == 429 || response->status == 503) && response->retry_after;
    if (refused && stream->rules->retry_refused &&
        send_again(stream, &stream->rules->tally->refusals, response->retry_after * CLOCK_SECOND))
        return;
    finish(stream, reading_judge(&stream->reading), keep);
}

// ---- the connection ----------------------------------------------------------------------------

static void on_read(struct bufferevent *connection, void *argument)
{
    struct stream *stream = argument;
    struct reading *reading = &stream->reading;
    struct evbuffer *input = bufferevent_get_input(connection);
    uint64_t now_ns = clock_now_ns();
    if (!stream->busy) { // bytes that nobody asked for
        disconnect(stream);
        return;
    }
    char bytes[16 << 10];
    int got;
    while ((got = evbuffer_remove(input, bytes, sizeof bytes)) > 0) {
        size_t used = 0;
        if (reading_push(reading, bytes, (size_t)got, now_ns, &used)) {
            finish(stream, "bad answer", false);
            return;
        }
        if (reading->response.state != RESPONSE_END) continue;
        conclude(stream, reading->response.keep_alive && used == (size_t)got &&
                             evbuffer_get_length(input) == 0);
        return;
    }
}

static void connect_and_send(struct stream *stream);

static void on_change(struct bufferevent *connection, short what, void *argument)
{
    struct stream *stream = argument;
    struct reading *reading = &stream->reading;
    if (what & BEV_EVENT_CONNECTED) {
        int on = 1;
        setsockopt(bufferevent_getfd(connection), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        event_del(stream->again);
        stream->connecting = false;
        stream->connected = true;
        return;
    }
    if (!stream->busy) {
        disconnect(stream);
    } else if (!stream->connected) {
        lose(stream, "connect");
    } else if (stream->kept && reading_is_blank(reading)) {
        disconnect(stream);
        stream->rules->tally->reconnects++;
        connect_and_send(stream);
    } else if (reading->ended ||
               (what & BEV_EVENT_EOF && response_close(&reading->response) == ERR_OK)) {
        conclude(stream, false);
    } else {
        lose(stream, "broken");
    }
}

static void on_deadline(evutil_socket_t socket, short what, void *argument)
{
    (void)socket, (void)what;
    finish(argument, "timeout", false);
}

static void on_again(evutil_socket_t socket, short what, void *argument)
{
    (void)socket, (void)what;
    struct stream *stream = argument;
    if (stream->connecting)
        lose(stream, "connect");
    else
        connect_and_send(stream);
}

static bool connect_to(struct stream *stream, const struct target *target)
{
    stream->connection = bufferevent_socket_new(stream->rules->base, -1, BEV_OPT_CLOSE_ON_FREE);
    must(stream->connection);
    bufferevent_setcb(stream->connection, on_read, NULL, on_change, stream);
    bufferevent_enable(stream->connection, EV_READ | EV_WRITE);
    struct sockaddr_storage where = target->where; // libevent's parameter is not const
    return bufferevent_socket_connect(stream->connection, (struct sockaddr *)&where,
                                      (int)target->where_size) == 0;
}

static void connect_and_send(struct stream *stream)
{
    const struct stream_rules *rules = stream->rules;
    const struct target *target = &rules->targets[stream->target];
    reading_begin(&stream->reading);
    if (!stream->connection) {
        bool begun = connect_to(stream, target);
        stream->connecting = true;
        set_timer(stream->again, begun ? rules->connect_ns : 0);
        if (!begun) return; // the timer tells it from the loop
    }
    struct buf head = {0};
    buf_addf(&head, "POST /v1/chat/completions HTTP/1.1\r\nHost: %s:%s\r\n", target->address.host,
             target->address.port);
    if (rules->key) buf_addf(&head, "Authorization: Bearer %s\r\n", rules->key);
    if (rules->retries) buf_addf(&head, "Idempotency-Key: %s\r\n", stream->idempotency_key);
    if (stream->reading.last_id[0])
        buf_addf(&head, "Last-Event-ID: %s\r\n", stream->reading.last_id);
    buf_addf(&head, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
             stream->json.size);
    bufferevent_write(stream->connection, head.data, head.size);
    bufferevent_write(stream->connection, stream->json.data, stream->json.size);
    buf_fini(&head);
}

void stream_start(struct stream *stream, const struct stream_order *order)
{
    must(!stream->busy && order->target < stream->rules->target_count);
    if (stream->target != order->target) disconnect(stream);
    stream->target = order->target;
    stream->busy = true;
    stream->retries = 0;
    memcpy(stream->idempotency_key, order->idempotency_key, sizeof stream->idempotency_key);
    buf_clear(&stream->json);
    buf_add(&stream->json, order->json->data, order->json->size);
    reading_start(&stream->reading, order->intended_ns, clock_now_ns());
    set_timer(stream->deadline, stream->rules->timeout_ns);
    connect_and_send(stream);
}

size_t stream_target(const struct stream *stream)
{
    return stream->target;
}

struct stream *stream_new(const struct stream_rules *rules, void *argument)
{
    struct stream *stream = mem_new(1, sizeof *stream);
    stream->rules = rules;
    stream->argument = argument;
    stream->reading.stream = rules->stream;
    stream->reading.digested = rules->digested;
    stream->reading.tally = rules->tally;
    stream->deadline = evtimer_new(rules->base, on_deadline, stream);
    stream->again = evtimer_new(rules->base, on_again, stream);
    must(stream->deadline && stream->again);
    return stream;
}

void stream_free(struct stream *stream)
{
    if (!stream) return;
    disconnect(stream);
    event_free(stream->deadline);
    event_free(stream->again);
    reading_fini(&stream->reading);
    buf_fini(&stream->json);
    mem_free(stream);
}

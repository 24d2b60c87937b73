#include "client/load/stream.h"

#include "client/response.h"
#include "client/sse.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <jansson.h>

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

struct stream {
    const struct stream_rules *rules;
    void *argument;
    const struct target *target;
    struct bufferevent *connection; // NULL: none
    struct event *deadline;
    bool busy;
    bool connected;
    bool kept;   // an answer came on this connection before
    bool failed; // the connection could not even be begun; the deadline, now at once, tells it
    struct buf request; // kept until the answer begins, for sending it again
    struct response response;
    struct sse sse;
    struct buf body;
    bool ended;           // "[DONE]" came
    enum err failure;     // of a body callback
    uint64_t now_ns;      // when the bytes at hand came
    uint64_t previous_ns; // the content event before
    struct outcome outcome;
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

// ---- how a request ends ------------------------------------------------------------------------

static void disconnect(struct stream *stream)
{
    if (stream->connection) bufferevent_free(stream->connection);
    stream->connection = NULL;
    stream->connected = false;
    stream->kept = false;
}

/* The last thing that a callback does: done() may have started the next request. */
static void finish(struct stream *stream, const char *kind, bool keep)
{
    struct outcome outcome = stream->outcome;
    outcome.end_ns = clock_now_ns();
    // An error that the server told about is worth more than how its connection ended.
    if (!outcome.kind[0]) snprintf(outcome.kind, sizeof outcome.kind, "%s", kind);
    event_del(stream->deadline);
    if (!keep) disconnect(stream);
    stream->kept = keep;
    stream->busy = false;
    stream->rules->done(stream->argument, &outcome);
}

/* "http 503 overloaded": the code is the server's text, so only what a name is made of is taken. */
static void note_error(struct outcome *outcome, const char *prefix, const char *json, size_t size)
{
    char code[40] = "";
    json_t *root = json_loadb(json, size, 0, NULL);
    const char *text = json_string_value(json_object_get(json_object_get(root, "error"), "code"));
    if (text) snprintf(code, sizeof code, " %.38s", text);
    size_t whole = 1 + strspn(code + (*code != 0), "abcdefghijklmnopqrstuvwxyz"
                                                   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.");
    code[*code ? whole : 0] = '\0';
    snprintf(outcome->kind, sizeof outcome->kind, "%s%s", prefix, code);
    json_decref(root);
}

static void read_usage(struct outcome *outcome, const json_t *usage)
{
    if (!json_is_object(usage)) return;
    const json_t *details = json_object_get(usage, "prompt_tokens_details");
    json_int_t counts[] = {json_integer_value(json_object_get(usage, "prompt_tokens")),
                           json_integer_value(json_object_get(details, "cached_tokens")),
                           json_integer_value(json_object_get(usage, "completion_tokens"))};
    for (size_t i = 0; i < 3; i++)
        if (counts[i] < 0 || counts[i] > UINT32_MAX) return;
    outcome->has_usage = true;
    outcome->prompt_tokens = (uint64_t)counts[0];
    outcome->cached_tokens = (uint64_t)counts[1];
    outcome->completion_tokens = (uint64_t)counts[2];
}

/* The response is whole: what kind of answer was it? */
static const char *judge(struct stream *stream)
{
    struct outcome *outcome = &stream->outcome;
    const char *body = buf_text(&stream->body);
    if (stream->response.status / 100 != 2) {
        char prefix[16];
        snprintf(prefix, sizeof prefix, "http %d", stream->response.status);
        note_error(outcome, prefix, body, stream->body.size);
        return "";
    }
    if (stream->rules->stream) {
        if (!stream->response.event_stream) return "bad answer";
        return stream->ended ? "" : "broken";
    }
    json_t *root = json_loadb(body, stream->body.size, JSON_ALLOW_NUL, NULL); // a model may say it
    bool good = json_array_size(json_object_get(root, "choices")) > 0;
    read_usage(outcome, json_object_get(root, "usage"));
    json_decref(root);
    return good ? "" : "bad answer";
}

// ---- the answer's bytes ------------------------------------------------------------------------

static void note_content(struct stream *stream)
{
    struct tally *tally = stream->rules->tally;
    tally->content_events++;
    if (stream->outcome.first_ns == 0)
        stream->outcome.first_ns = stream->now_ns;
    else
        histogram_add(&tally->gap, stream->now_ns - stream->previous_ns);
    stream->previous_ns = stream->now_ns;
}

static void on_event(void *argument, const char *data, size_t size)
{
    struct stream *stream = argument;
    if (strcmp(data, "[DONE]") == 0) {
        stream->ended = true;
        return;
    }
    json_t *root = json_loadb(data, size, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(root)) stream->failure = err_note(ERR_FORMAT, "an event is not JSON");
    if (json_object_get(root, "error")) note_error(&stream->outcome, "stream", data, size);
    const json_t *choice = json_array_get(json_object_get(root, "choices"), 0);
    const json_t *content = json_object_get(json_object_get(choice, "delta"), "content");
    if (json_string_length(content) > 0) note_content(stream);
    read_usage(&stream->outcome, json_object_get(root, "usage"));
    json_decref(root);
}

static void on_body(void *argument, const char *bytes, size_t size)
{
    struct stream *stream = argument;
    if (stream->failure) return;
    bool events = stream->rules->stream && stream->response.event_stream &&
                  stream->response.status / 100 == 2;
    if (events)
        stream->failure = sse_push(&stream->sse, bytes, size);
    else
        buf_add(&stream->body, bytes, size);
    if (stream->body.overflow) stream->failure = err_note(ERR_TOO_LARGE, "a large answer");
}

static void on_read(struct bufferevent *connection, void *argument)
{
    struct stream *stream = argument;
    struct evbuffer *input = bufferevent_get_input(connection);
    stream->now_ns = clock_now_ns();
    if (!stream->busy) { // bytes that nobody asked for
        disconnect(stream);
        return;
    }
    char bytes[16 << 10];
    int got;
    while ((got = evbuffer_remove(input, bytes, sizeof bytes)) > 0) {
        size_t used = 0;
        if (response_push(&stream->response, bytes, (size_t)got, &used) || stream->failure) {
            finish(stream, "bad answer", false);
            return;
        }
        if (stream->response.state != RESPONSE_END) continue;
        bool keep =
            stream->response.keep_alive && used == (size_t)got && evbuffer_get_length(input) == 0;
        finish(stream, judge(stream), keep);
        return;
    }
}

// ---- the connection ----------------------------------------------------------------------------

static void begin_answer(struct stream *stream)
{
    response_fini(&stream->response);
    sse_fini(&stream->sse);
    buf_clear(&stream->body);
    response_init(&stream->response, on_body, stream);
    sse_init(&stream->sse, on_event, stream);
    stream->ended = false;
    stream->failure = ERR_OK;
}

static void connect_and_send(struct stream *stream);

static void on_change(struct bufferevent *connection, short what, void *argument)
{
    struct stream *stream = argument;
    if (what & BEV_EVENT_CONNECTED) {
        int on = 1;
        setsockopt(bufferevent_getfd(connection), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        stream->connected = true;
        return;
    }
    bool nothing_came = stream->response.state == RESPONSE_STATUS && stream->response.status == 0 &&
                        stream->response.line.size == 0;
    if (!stream->busy) {
        disconnect(stream);
    } else if (!stream->connected) {
        finish(stream, "connect", false);
    } else if (stream->kept && nothing_came) {
        disconnect(stream);
        stream->rules->tally->reconnects++;
        connect_and_send(stream);
    } else if (what & BEV_EVENT_EOF && response_close(&stream->response) == ERR_OK) {
        finish(stream, judge(stream), false);
    } else {
        finish(stream, "broken", false);
    }
}

/* The deadline of the request, or at once after a connection that could not be begun. */
static void on_deadline(evutil_socket_t socket, short what, void *argument)
{
    (void)socket, (void)what;
    struct stream *stream = argument;
    finish(stream, stream->failed ? "connect" : "timeout", false);
}

static void set_deadline(struct stream *stream, uint64_t wait_ns)
{
    struct timeval wait = {.tv_sec = (time_t)(wait_ns / CLOCK_SECOND),
                           .tv_usec = (suseconds_t)(wait_ns % CLOCK_SECOND / 1000)};
    event_add(stream->deadline, &wait);
}

static void connect_and_send(struct stream *stream)
{
    if (!stream->connection) {
        const struct target *target = stream->target;
        stream->connection = bufferevent_socket_new(stream->rules->base, -1, BEV_OPT_CLOSE_ON_FREE);
        must(stream->connection);
        bufferevent_setcb(stream->connection, on_read, NULL, on_change, stream);
        bufferevent_enable(stream->connection, EV_READ | EV_WRITE);
        struct sockaddr_storage where = target->where; // libevent's parameter is not const
        if (bufferevent_socket_connect(stream->connection, (struct sockaddr *)&where,
                                       (int)target->where_size) != 0) {
            stream->failed = true;
            set_deadline(stream, 0);
            return;
        }
    }
    bufferevent_write(stream->connection, stream->request.data, stream->request.size);
}

void stream_start(struct stream *stream, const struct target *target, const struct buf *json,
                  uint64_t intended_ns)
{
    must(!stream->busy);
    if (stream->target != target) disconnect(stream);
    stream->target = target;
    stream->busy = true;
    stream->failed = false;
    stream->outcome = (struct outcome){.intended_ns = intended_ns, .sent_ns = clock_now_ns()};
    begin_answer(stream);
    buf_clear(&stream->request);
    buf_addf(&stream->request, "POST /v1/chat/completions HTTP/1.1\r\nHost: %s:%s\r\n",
             target->address.host, target->address.port);
    if (stream->rules->key)
        buf_addf(&stream->request, "Authorization: Bearer %s\r\n", stream->rules->key);
    buf_addf(&stream->request, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
             json->size);
    buf_add(&stream->request, json->data, json->size);
    set_deadline(stream, stream->rules->timeout_ns);
    connect_and_send(stream);
}

struct stream *stream_new(const struct stream_rules *rules, void *argument)
{
    struct stream *stream = mem_new(1, sizeof *stream);
    stream->rules = rules;
    stream->argument = argument;
    stream->body.limit = STREAM_BODY_MAX;
    stream->deadline = evtimer_new(rules->base, on_deadline, stream);
    must(stream->deadline);
    return stream;
}

void stream_free(struct stream *stream)
{
    if (!stream) return;
    disconnect(stream);
    event_free(stream->deadline);
    response_fini(&stream->response);
    sse_fini(&stream->sse);
    buf_fini(&stream->body);
    buf_fini(&stream->request);
    mem_free(stream);
}

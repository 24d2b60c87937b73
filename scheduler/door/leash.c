#include "scheduler/door/leash.h"

#include "scheduler/door/http_internal.h"
#include "scheduler/door/push.h"
#include "scheduler/policy/gate.h"
#include "scheduler/policy/reason.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/must.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <sodium.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

/* Bytes that leave together, or have begun to. */
struct frame {
    struct frame *next;
    size_t size, sent;
    bool content; // else it may leave without a lease: headers, comments, errors
    unsigned char bytes[];
};

enum leash_state {
    LEASH_OPEN,   // the handler goes on
    LEASH_PARKED, // a body waits; nothing of the answer has been made
    LEASH_BODY,   // its bytes are in frames
    LEASH_ENDING  // a stream's frames, and then its end
};

struct leash {
    struct http_request *request;
    struct gate *gate;
    struct gate_pass passes[LEASH_PASSES_MAX];
    size_t pass_count;
    enum leash_state state;
    struct frame *frames, **end;
    size_t unsent;
    struct evbuffer *body; // PARKED
    struct event *room;    // the socket takes bytes again
    struct event *look;
    uint64_t held_ns, comment_ns; // since when; when a comment was sent last; 0: it is not held
    enum reason cut;              // REASON_NONE: it is not
};

static struct connection *connection_of(const struct leash *leash)
{
    return leash->request->connection;
}

/* What the worst of its passes says. */
static enum gate_stand stand(struct leash *leash, enum reason *reason)
{
    enum gate_stand worst = GATE_STANDS;
    *reason = REASON_NONE;
    for (size_t i = 0; i < leash->pass_count; i++) {
        enum reason why;
        enum gate_stand stands =
            gate_stands(leash->gate, &leash->passes[i], clock_now_ns(), clock_wall_ms(), &why);
        if (stands <= worst) continue;
        worst = stands;
        *reason = why;
    }
    return worst;
}

static uint64_t hold_ns(const struct leash *leash)
{
    uint32_t least = UINT32_MAX;
    for (size_t i = 0; i < leash->pass_count; i++)
        if (leash->passes[i].hold_ms < least) least = leash->passes[i].hold_ms;
    return least * CLOCK_MS;
}

// ---- frames ------------------------------------------------------------------------------------

/* What was somebody's answer does not stay in freed memory. */
static void free_frame(struct frame *frame)
{
    sodium_memzero(frame->bytes, frame->size);
    mem_free(frame);
}

static void drop_frame(struct leash *leash, struct frame **at)
{
    struct frame *frame = *at;
    *at = frame->next;
    if (!*at) leash->end = at;
    leash->unsent -= frame->size - frame->sent;
    free_frame(frame);
}

static struct frame *take_output(struct leash *leash, bool content)
{
    struct bufferevent *bev = connection_of(leash)->bev;
    struct evbuffer *output = bufferevent_get_output(bev);
    size_t size = evbuffer_get_length(output);
    struct frame *frame = mem_new(1, sizeof *frame + size);
    frame->size = size;
    frame->content = content;
    evbuffer_unfreeze(output, 1); // a bufferevent lets nobody else take from it
    must(evbuffer_remove(output, frame->bytes, size) == (int)size);
    evbuffer_freeze(output, 1);
    bufferevent_disable(bev, EV_WRITE); // else it would tell evhttp that all has left
    leash->unsent += size;
    return frame;
}

static void add_frame(struct leash *leash, struct frame *frame)
{
    if (frame->size == 0) { // the answer of a HEAD
        free_frame(frame);
        return;
    }
    *leash->end = frame;
    leash->end = &frame->next;
}

// ---- ends --------------------------------------------------------------------------------------

/* The connection cannot be saved: something of a frame has left, or the client does not read. */
static void abandon(struct leash *leash)
{
    leash->request->slow = true;
    event_active(connection_of(leash)->later, EV_TIMEOUT, 0);
}

/* All of it has left. The leash dies with its request. */
static void complete(struct leash *leash)
{
    struct http_request *request = leash->request;
    struct connection *connection = request->connection;
    if (leash->state == LEASH_ENDING) {
        http_finish_stream(request);
        return;
    }
    http_end_request(request, 200);
    bufferevent_disable(connection->bev, EV_WRITE);
    bufferevent_trigger(connection->bev, EV_WRITE, BEV_TRIG_DEFER_CALLBACKS); // evhttp's end
}

static void look_in(struct leash *leash, unsigned ms)
{
    struct timeval soon = {.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000};
    event_add(leash->look, &soon);
}

static void cut(struct leash *leash, enum reason reason)
{
    if (leash->cut) return;
    leash->cut = reason;
    event_active(leash->look, EV_TIMEOUT,
                 0); // the handler is not called from inside of its own call
}

/* May the first frame go on? */
static bool may_leave(struct leash *leash, const struct frame *frame)
{
    enum reason reason;
    if (!frame->content) return true;
    switch (stand(leash, &reason)) {
    case GATE_STANDS: leash->held_ns = 0; return true;
    case GATE_CUT: cut(leash, reason); return false;
    default: break;
    }
    if (!leash->held_ns) {
        leash->held_ns = leash->comment_ns = clock_now_ns();
        connection_of(leash)->http->stats.held++;
    }
    look_in(leash, LEASH_LOOK_MS);
    return false;
}

/* What the socket takes now of the first frame; false: nothing. */
static bool write_frame(struct leash *leash)
{
    struct connection *connection = connection_of(leash);
    struct frame *frame = leash->frames;
    size_t size = frame->size - frame->sent;
    if (size > LEASH_WRITE_BYTES) size = LEASH_WRITE_BYTES;
    ssize_t sent =
        send(connection->fd, frame->bytes + frame->sent, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
        frame->sent += (size_t)sent;
        leash->unsent -= (size_t)sent;
        return true;
    }
    if (sent < 0 && errno == EINTR) return true;
    struct timeval timeout = {.tv_sec = connection->http->options.timeout_seconds};
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        event_add(leash->room, &timeout);
    else
        abandon(leash);
    return false;
}

static void flush(struct leash *leash)
{
    while (leash->frames && !leash->cut && !leash->request->slow) {
        if (!may_leave(leash, leash->frames) || !write_frame(leash)) return;
        if (leash->frames->sent == leash->frames->size) drop_frame(leash, &leash->frames);
    }
    if (!leash->frames && leash->state >= LEASH_BODY && !leash->cut) complete(leash);
}

static void on_room(evutil_socket_t fd, short what, void *argument)
{
    struct leash *leash = argument;
    (void)fd;
    if (what & EV_WRITE)
        flush(leash);
    else
        abandon(leash);
}

// ---- what is held, and what is cut -------------------------------------------------------------

/* A body that nothing has left of becomes the frames of an answer. */
static void send_body(struct leash *leash)
{
    struct http_request *request = leash->request;
    struct http *http = request->connection->http;
    leash->state = LEASH_BODY;
    http->writing = true;
    evhttp_send_reply(request->ev, 200, NULL, leash->body);
    http->writing = false;
    add_frame(leash, take_output(leash, true));
    flush(leash);
}

static void comment(struct leash *leash)
{
    struct http_request *request = leash->request;
    uint64_t now_ns = clock_now_ns();
    bool at_border = !leash->frames || leash->frames->sent == 0;
    if (!request->streaming || !at_border) return;
    if (now_ns - leash->comment_ns < LEASH_COMMENT_MS * CLOCK_MS) return;
    leash->comment_ns = now_ns;
    http_make_comment(request, "held");
    struct frame *frame = take_output(leash, false);
    frame->next = leash->frames;
    if (!leash->frames) leash->end = &frame->next;
    leash->frames = frame;
    flush(leash);
}

/* Say why, after what has left. The handler was told already. */
static void end_stream(struct leash *leash, const struct http_error *error)
{
    struct buf line = {0};
    if (leash->frames && leash->frames->sent > 0 && leash->frames->content) {
        abandon(leash);
        return;
    }
    for (struct frame **at = &leash->frames; *at;) {
        if ((*at)->content)
            drop_frame(leash, at);
        else
            at = &(*at)->next;
    }
    http_write_error(&line, error);
    leash->cut = REASON_NONE; // this one is said
    http_make_event(leash->request, NULL, line.data, line.size);
    add_frame(leash, take_output(leash, false));
    buf_fini(&line);
    leash->state = LEASH_ENDING;
    flush(leash);
}

static void end_cut(struct leash *leash)
{
    struct http_request *request = leash->request;
    enum reason reason = leash->cut;
    const struct http_error error = {
        .err = reason_err(reason), .message = reason_text(reason), .code = reason_code(reason)};
    http_gone_fn *gone = request->gone;
    if (leash->state == LEASH_OPEN &&
        !gone) { // its handler is not waiting yet: it will look itself
        leash->cut = REASON_NONE;
        return;
    }
    connection_of(leash)->http->stats.cut++;
    log_info("gate_cut", "id=%s route=%s reason=%s", request->id, request->route,
             reason_code(reason));
    request->gone = NULL;
    if (gone) gone(request->gone_argument);
    if (request->streaming) {
        end_stream(leash, &error);
    } else if (leash->state == LEASH_BODY) {
        abandon(leash);
    } else {
        request->leash = NULL; // an error is no content
        http_reply_error(request, &error);
        leash_free(leash);
    }
}

static void on_look(evutil_socket_t fd, short what, void *argument)
{
    struct leash *leash = argument;
    enum reason reason;
    (void)fd, (void)what;
    if (leash->request->slow) return; // it is being dropped
    enum gate_stand stands = stand(leash, &reason);
    bool waits = leash->frames || leash->state == LEASH_PARKED;
    bool over = leash->held_ns && clock_now_ns() - leash->held_ns >= hold_ns(leash);
    if (!leash->cut && stands == GATE_CUT) leash->cut = reason;
    if (!leash->cut && stands == GATE_HELD && waits && over) leash->cut = REASON_GATE_UNREACHABLE;
    if (leash->cut) {
        end_cut(leash);
        return;
    }
    if (stands == GATE_HELD && waits) {
        if (!leash->held_ns) leash->held_ns = leash->comment_ns = clock_now_ns();
        look_in(leash, LEASH_LOOK_MS);
        comment(leash);
        return;
    }
    leash->held_ns = 0;
    if (leash->state == LEASH_PARKED)
        send_body(leash);
    else if (waits)
        flush(leash);
}

// ---- what http.c and its like call -------------------------------------------------------------

void leash_put(struct http_request *request, struct gate *gate, const struct gate_pass *pass)
{
    struct connection *connection = request->connection;
    struct leash *leash = request->leash;
    int bytes = LEASH_KERNEL_BYTES;
    if (!leash) {
        leash = request->leash = mem_new(1, sizeof *leash);
        leash->request = request;
        leash->end = &leash->frames;
        leash->room =
            event_new(connection->http->options.base, connection->fd, EV_WRITE, on_room, leash);
        leash->look = evtimer_new(connection->http->options.base, on_look, leash);
        must(leash->room && leash->look);
        setsockopt(connection->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof bytes);
    }
    size_t at = 0;
    while (at < leash->pass_count && strcmp(leash->passes[at].name, pass->name) != 0)
        at++;
    must(at < LEASH_PASSES_MAX);
    leash->gate = gate;
    leash->passes[at] = *pass;
    if (at == leash->pass_count) leash->pass_count++;
}

void leash_free(struct leash *leash)
{
    if (!leash) return;
    event_free(leash->room);
    event_free(leash->look);
    while (leash->frames)
        drop_frame(leash, &leash->frames);
    if (leash->body) evbuffer_free(leash->body);
    mem_free(leash);
}

void leash_reply(struct http_request *request, struct evbuffer *body)
{
    struct leash *leash = request->leash;
    request->gone = NULL;
    leash->body = body;
    leash->state = LEASH_PARKED;
    leash->held_ns = 0;
    on_look(-1, 0, leash);
}

void leash_stream_end(struct http_request *request)
{
    struct leash *leash = request->leash;
    request->gone = NULL;
    leash->state = LEASH_ENDING;
    flush(leash);
}

void leash_take(struct http_request *request, bool content)
{
    struct leash *leash = request->leash;
    add_frame(leash, take_output(leash, content));
    flush(leash);
}

size_t leash_unsent(const struct leash *leash)
{
    return leash->unsent;
}

bool leash_is_cut(const struct leash *leash)
{
    return leash->cut != REASON_NONE;
}

void leash_look(struct leash *leash)
{
    event_active(leash->look, EV_TIMEOUT, 0);
}

#include "wire/link_stream.h"

#include "wire/link.h"

#include "base/clock.h"
#include "base/mailbox.h"
#include "base/mem.h"
#include "base/must.h"

#include <stdio.h>
#include <string.h>

enum {
    SENDING_KEEP = 64 << 10 // bytes of send buffer that an idle link keeps
};

static void read_more(struct link *link);

static bool put_event(struct link *link, struct link_event *event)
{
    event->link = link->id;
    event->dialer = link->dialer;
    return mailbox_put(link->hub->inbox, event);
}

static bool put_new(struct link *link, enum link_event_kind kind)
{
    struct link_event *event = mem_new(1, sizeof *event);
    event->kind = kind;
    snprintf(event->reason, sizeof event->reason, "%s", link->reason);
    bool put = put_event(link, event);
    if (!put) link_event_free(event);
    return put;
}

/* Hand over what this link has, in order: UP, the held frame, DOWN when it is over. True when
 * nothing is left to hand over. Call with the lock. */
static bool tell(struct link *link)
{
    if (!link->told_up && !(link->told_up = put_new(link, LINK_UP))) return false;
    if (link->held) {
        if (!put_event(link, link->held)) return false;
        link->held = NULL;
    }
    bool over = link->stage == LINK_STAGE_CLOSING && !link->reading && !link->sending;
    if (over) {
        if (!put_new(link, LINK_DOWN)) return false;
        link->stage = LINK_STAGE_DOWN;
    }
    return true;
}

/* Tell, and say to the hub when that was the last word. Call without the lock. */
static void settle(struct link *link)
{
    struct link_hub *hub = link->hub;
    pthread_mutex_lock(&hub->lock);
    bool was_down = link->stage == LINK_STAGE_DOWN;
    // links_resume() has work when not all could be told.
    if (!hub->closing && !tell(link)) hub->held = true;
    bool now_down = link->stage == LINK_STAGE_DOWN && !was_down;
    size_t dialer = link->dialer;
    bool heard = link->heard;
    pthread_mutex_unlock(&hub->lock);
    if (now_down) hub->is_down(hub, dialer, heard);
}

/* Start a read or a write; false when the stream is closed, and then no callback follows. */
static bool start(struct link *link, void (*operation)(nng_stream *, nng_aio *), nng_aio *aio)
{
    pthread_mutex_lock(&link->stream_lock);
    bool open = !link->shut;
    if (open) operation(link->stream, aio);
    pthread_mutex_unlock(&link->stream_lock);
    return open;
}

/* Close the stream: a read or a write that is out completes with an error. */
static void shut(struct link *link)
{
    pthread_mutex_lock(&link->stream_lock);
    link->shut = true;
    pthread_mutex_unlock(&link->stream_lock);
    nng_stream_close(link->stream);
}

void link_fail(struct link *link, const char *reason)
{
    pthread_mutex_lock(&link->hub->lock);
    bool first = link->stage == LINK_STAGE_OPEN;
    if (first) {
        link->stage = LINK_STAGE_CLOSING;
        snprintf(link->reason, sizeof link->reason, "%s", reason);
        lanes_fini(&link->lanes);
    }
    pthread_mutex_unlock(&link->hub->lock);
    if (!first) return;
    shut(link);
    settle(link);
}

static const char *why(int result)
{
    if (result == NNG_ECONNSHUT || result == NNG_ECLOSED || result == NNG_ECONNRESET)
        return "the peer closed the connection";
    return nng_strerror(result);
}

/* No write is out any more. */
static void stop_sending(struct link *link)
{
    pthread_mutex_lock(&link->hub->lock);
    link->sending = false;
    link->sent = 0;
    buf_clear(&link->outgoing);
    if (link->outgoing.capacity > SENDING_KEEP) buf_fini(&link->outgoing);
    pthread_mutex_unlock(&link->hub->lock);
    settle(link);
}

static void write_rest(struct link *link)
{
    nng_iov iov = {.iov_buf = link->outgoing.data + link->sent,
                   .iov_len = link->outgoing.size - link->sent};
    must(nng_aio_set_iov(link->send_aio, 1, &iov) == 0);
    if (!start(link, nng_stream_send, link->send_aio)) stop_sending(link);
}

void link_pump(struct link *link)
{
    pthread_mutex_lock(&link->hub->lock);
    bool go = link->stage == LINK_STAGE_OPEN && !link->sending && link->lanes.bytes > 0;
    if (go) {
        link->sending = true;
        lanes_take(&link->lanes, &link->outgoing);
    }
    pthread_mutex_unlock(&link->hub->lock);
    if (go) write_rest(link);
}

static void written(void *argument)
{
    struct link *link = argument;
    int result = nng_aio_result(link->send_aio);
    bool whole = false;
    if (result == 0) {
        pthread_mutex_lock(&link->hub->lock);
        link->sent += nng_aio_count(link->send_aio);
        whole = link->sent == link->outgoing.size;
        pthread_mutex_unlock(&link->hub->lock);
    }
    if (result == 0 && !whole) {
        write_rest(link);
        return;
    }
    if (result != 0) link_fail(link, why(result));
    stop_sending(link);
    link_pump(link);
}

static void stop_reading(struct link *link)
{
    pthread_mutex_lock(&link->hub->lock);
    link->reading = false;
    pthread_mutex_unlock(&link->hub->lock);
    settle(link);
}

/* Hand one frame over. False when reading cannot go on: parked, or the link is closing. */
static bool deliver(struct link *link, struct link_event *event)
{
    pthread_mutex_lock(&link->hub->lock);
    bool open = link->stage == LINK_STAGE_OPEN;
    link->heard = true;
    if (open) {
        must(!link->held);
        event->heard_ns = link->heard_ns;
        link->held = event;
        link->parked = !tell(link);
        if (link->parked) link->hub->held = true;
    }
    bool parked = link->parked;
    if (parked) link->reading = false;
    pthread_mutex_unlock(&link->hub->lock);
    if (!open) link_event_free(event);
    if (!open) stop_reading(link);
    return open && !parked;
}

/* Cut what has come into frames, then ask for more. */
static void read_on(struct link *link)
{
    for (;;) {
        struct link_event *event;
        if (reader_next(&link->reader, &event) != ERR_OK) {
            link_fail(link, err_text());
            stop_reading(link);
            return;
        }
        if (!event) break;
        if (!deliver(link, event)) return;
    }
    read_more(link);
}

static void read_more(struct link *link)
{
    nng_iov iov;
    iov.iov_buf = reader_room(&link->reader, &iov.iov_len);
    must(nng_aio_set_iov(link->read_aio, 1, &iov) == 0);
    if (!start(link, nng_stream_recv, link->read_aio)) stop_reading(link);
}

static void has_read(void *argument)
{
    struct link *link = argument;
    int result = nng_aio_result(link->read_aio);
    size_t count = nng_aio_count(link->read_aio);
    if (result != 0 || count == 0) {
        link_fail(link, result ? why(result) : why(NNG_ECONNSHUT));
        stop_reading(link);
        return;
    }
    pthread_mutex_lock(&link->hub->lock);
    link->heard_ns = clock_now_ns();
    pthread_mutex_unlock(&link->hub->lock);
    reader_took(&link->reader, count);
    read_on(link);
}

struct link *link_new(struct link_hub *hub, nng_stream *stream, size_t dialer)
{
    struct link *link = mem_new(1, sizeof *link);
    *link = (struct link){.hub = hub,
                          .dialer = dialer,
                          .stream = stream,
                          .starting = true,
                          .reading = true,
                          .heard_ns = clock_now_ns()};
    lanes_init(&link->lanes, LINK_QUEUE_BYTES_MAX);
    must(pthread_mutex_init(&link->stream_lock, NULL) == 0);
    must(nng_aio_alloc(&link->read_aio, has_read, link) == 0);
    must(nng_aio_alloc(&link->send_aio, written, link) == 0);
    (void)nng_stream_set_bool(stream, NNG_OPT_TCP_NODELAY, true); // ipc has no such option
    return link;
}

void link_begin(struct link *link)
{
    settle(link);
    read_more(link);
    pthread_mutex_lock(&link->hub->lock);
    link->starting = false;
    pthread_mutex_unlock(&link->hub->lock);
}

void link_resume(struct link *link)
{
    settle(link);
    pthread_mutex_lock(&link->hub->lock);
    bool go = link->parked && !link->held;
    bool open = link->stage == LINK_STAGE_OPEN;
    if (go) link->parked = false;
    if (go && open) {
        link->reading = true;
        link->heard_ns = clock_now_ns(); // the silence was ours
    }
    pthread_mutex_unlock(&link->hub->lock);
    if (go && open) read_on(link);
}

void link_free(struct link *link)
{
    shut(link);
    nng_aio_stop(link->read_aio);
    nng_aio_stop(link->send_aio);
    nng_aio_free(link->read_aio);
    nng_aio_free(link->send_aio);
    nng_stream_free(link->stream);
    pthread_mutex_destroy(&link->stream_lock);
    reader_fini(&link->reader);
    lanes_fini(&link->lanes);
    buf_fini(&link->outgoing);
    link_event_free(link->held);
    mem_free(link);
}

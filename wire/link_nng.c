/* Links over NNG's byte streams; why streams and not its sockets, docs/adr/0002 says.
 *
 * One lock guards the set: its table, and of every link the state, the lanes and what is held for the
 * inbox. It is held for moving pointers, never across a call into NNG. The stages of a link:
 *
 *      OPEN --fail()--> CLOSING --both directions idle, DOWN is in the inbox--> DOWN --links_check()--> freed
 *
 * Reading belongs to whoever completes a read: that callback cuts frames, hands them over and starts
 * the next read. When the inbox is full it parks, and links_resume() goes on in its place. Sending
 * belongs to whoever set `sending`: link_send() on an idle link, else the callback of the last write.
 *
 * NNG never completes a read or a write that is started on a closed stream, so starting and closing
 * exclude one another: start() asks first, under the link's own lock.
 *
 * Only the owner's thread frees, and only after nng_aio_stop() of both directions, which waits until
 * their callbacks have returned; so a callback may use its link until its last line. */
#include "wire/frame.h"
#include "wire/lanes.h"
#include "wire/link.h"
#include "wire/reader.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mailbox.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/rand.h"

#include <nng/nng.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum {
    DIAL_TIMEOUT_MS = 1000,
    REDIAL_MIN_MS = 50,
    REDIAL_MAX_MS = 1000,
    ACCEPT_PAUSE_MS = 100,  // after a failed accept (no descriptors): it would fail again at once
    SENDING_KEEP = 64 << 10 // bytes of send buffer that an idle link keeps
};

enum stage {
    STAGE_OPEN,
    STAGE_CLOSING,
    STAGE_DOWN
};

struct link {
    struct links *set;
    uint64_t id;
    size_t dialer;
    nng_stream *stream;
    pthread_mutex_t stream_lock; // of `shut`, and around every call that starts a read or a write
    bool shut;
    enum stage stage;
    bool starting; // its creator is still inside NNG with it
    char reason[128];

    nng_aio *read_aio;
    struct reader reader;
    bool reading; // a read is out, or its callback is at work
    bool parked;  // the inbox was full: links_resume() reads on
    bool heard;   // at least one whole frame came
    uint64_t heard_ns;

    nng_aio *send_aio;
    struct lanes lanes;
    struct buf outgoing;
    size_t sent; // of outgoing
    bool sending;

    bool told_up;
    struct link_event *held; // a frame that the inbox refused
};

struct listener {
    struct links *set;
    nng_stream_listener *listener;
    nng_aio *aio;
    bool pausing; // the aio sleeps before the next accept
};

struct dialer {
    struct links *set;
    size_t index;
    nng_stream_dialer *dialer;
    nng_aio *aio;
    bool pausing; // the aio sleeps before the next dial
    uint32_t pause_ms;
    struct rand rand;
};

struct links {
    struct mailbox *inbox;
    pthread_mutex_t lock;
    bool closing;
    uint64_t serial;
    struct link *slots[LINK_LINKS_MAX]; // a link's id is serial * LINK_LINKS_MAX + slot
    size_t slots_used;                  // none at or above
    size_t held_links;                  // that have something for the inbox
    uint64_t checked_ns;
    struct listener *listeners[LINK_LISTENERS_MAX];
    size_t listener_count;
    struct dialer *dialers[LINK_DIALERS_MAX];
    size_t dialer_count;
};

static void read_more(struct link *link);
static void redial(struct dialer *dialer);

static bool put_event(struct link *link, struct link_event *event)
{
    event->link = link->id;
    event->dialer = link->dialer;
    return mailbox_put(link->set->inbox, event);
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

/* Hand over what this link has, in order: UP, the held frame, DOWN when it is over. True when nothing
 * is left to hand over. Call with the lock. */
static bool tell(struct link *link)
{
    if (!link->told_up && !(link->told_up = put_new(link, LINK_UP))) return false;
    if (link->held) {
        if (!put_event(link, link->held)) return false;
        link->held = NULL;
    }
    bool over = link->stage == STAGE_CLOSING && !link->reading && !link->sending;
    if (over) {
        if (!put_new(link, LINK_DOWN)) return false;
        link->stage = STAGE_DOWN;
    }
    return true;
}

/* Tell, and dial again when that was the last word. Call without the lock. */
static void settle(struct link *link)
{
    struct links *set = link->set;
    pthread_mutex_lock(&set->lock);
    bool was_down = link->stage == STAGE_DOWN;
    if (!set->closing) {
        bool all = tell(link);
        if (!all) set->held_links = 1; // links_resume() has work
    }
    bool now_down = link->stage == STAGE_DOWN && !was_down;
    struct dialer *dialer =
        now_down && link->dialer != SIZE_MAX ? set->dialers[link->dialer] : NULL;
    if (dialer && link->heard) dialer->pause_ms = REDIAL_MIN_MS;
    pthread_mutex_unlock(&set->lock);
    if (dialer) redial(dialer);
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

/* The end of a link begins here, whoever saw it first; later reasons are ignored. */
static void fail(struct link *link, const char *reason)
{
    pthread_mutex_lock(&link->set->lock);
    bool first = link->stage == STAGE_OPEN;
    if (first) {
        link->stage = STAGE_CLOSING;
        snprintf(link->reason, sizeof link->reason, "%s", reason);
        lanes_fini(&link->lanes);
    }
    pthread_mutex_unlock(&link->set->lock);
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
    pthread_mutex_lock(&link->set->lock);
    link->sending = false;
    link->sent = 0;
    buf_clear(&link->outgoing);
    if (link->outgoing.capacity > SENDING_KEEP) buf_fini(&link->outgoing);
    pthread_mutex_unlock(&link->set->lock);
    settle(link);
}

static void write_rest(struct link *link)
{
    nng_iov iov = {.iov_buf = link->outgoing.data + link->sent,
                   .iov_len = link->outgoing.size - link->sent};
    must(nng_aio_set_iov(link->send_aio, 1, &iov) == 0);
    if (!start(link, nng_stream_send, link->send_aio)) stop_sending(link);
}

/* Start writing if frames wait and no write is out. */
static void pump(struct link *link)
{
    pthread_mutex_lock(&link->set->lock);
    bool go = link->stage == STAGE_OPEN && !link->sending && link->lanes.bytes > 0;
    if (go) {
        link->sending = true;
        lanes_take(&link->lanes, &link->outgoing);
    }
    pthread_mutex_unlock(&link->set->lock);
    if (go) write_rest(link);
}

static void written(void *argument)
{
    struct link *link = argument;
    int result = nng_aio_result(link->send_aio);
    bool whole = false;
    if (result == 0) {
        pthread_mutex_lock(&link->set->lock);
        link->sent += nng_aio_count(link->send_aio);
        whole = link->sent == link->outgoing.size;
        pthread_mutex_unlock(&link->set->lock);
    }
    if (result == 0 && !whole) {
        write_rest(link);
        return;
    }
    if (result != 0) fail(link, why(result));
    stop_sending(link);
    pump(link);
}

static void stop_reading(struct link *link)
{
    pthread_mutex_lock(&link->set->lock);
    link->reading = false;
    pthread_mutex_unlock(&link->set->lock);
    settle(link);
}

/* Hand one frame over. False when reading cannot go on: parked, or the link is closing. */
static bool deliver(struct link *link, struct link_event *event)
{
    pthread_mutex_lock(&link->set->lock);
    bool open = link->stage == STAGE_OPEN;
    link->heard = true;
    if (open) {
        must(!link->held);
        link->held = event;
        link->parked = !tell(link);
        if (link->parked) link->set->held_links = 1;
    }
    bool parked = link->parked;
    if (parked) link->reading = false;
    pthread_mutex_unlock(&link->set->lock);
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
            fail(link, err_text());
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
        fail(link, result ? why(result) : why(NNG_ECONNSHUT));
        stop_reading(link);
        return;
    }
    pthread_mutex_lock(&link->set->lock);
    link->heard_ns = clock_now_ns();
    pthread_mutex_unlock(&link->set->lock);
    reader_took(&link->reader, count);
    read_on(link);
}

static void link_free(struct link *link)
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

/* Give it a slot and an id; false when there is none. */
static bool enter(struct links *set, struct link *link)
{
    pthread_mutex_lock(&set->lock);
    size_t slot = 0;
    while (slot < LINK_LINKS_MAX && set->slots[slot])
        slot++;
    bool room = slot < LINK_LINKS_MAX && !set->closing;
    if (room) {
        set->slots[slot] = link;
        if (slot >= set->slots_used) set->slots_used = slot + 1;
        link->id = ++set->serial * LINK_LINKS_MAX + slot;
    }
    pthread_mutex_unlock(&set->lock);
    return room;
}

/* A connection is made: from now on `stream` is the link's. False when the set has no room. */
static bool link_start(struct links *set, nng_stream *stream, size_t dialer)
{
    struct link *link = mem_new(1, sizeof *link);
    *link = (struct link){.set = set,
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
    if (!enter(set, link)) {
        link_free(link);
        return false;
    }
    settle(link);
    read_more(link);
    pthread_mutex_lock(&set->lock);
    link->starting = false;
    pthread_mutex_unlock(&set->lock);
    return true;
}

static void redial(struct dialer *dialer)
{
    struct links *set = dialer->set;
    pthread_mutex_lock(&set->lock);
    // Half of the pause is chance, so that nodes which lost one scheduler do not return as one.
    uint32_t half = dialer->pause_ms / 2;
    nng_duration pause_ms = (nng_duration)(half + rand_below(&dialer->rand, half + 1));
    dialer->pause_ms = dialer->pause_ms * 2 < REDIAL_MAX_MS ? dialer->pause_ms * 2 : REDIAL_MAX_MS;
    dialer->pausing = true;
    bool go = !set->closing;
    pthread_mutex_unlock(&set->lock);
    if (!go) return;
    nng_aio_set_timeout(dialer->aio, NNG_DURATION_INFINITE); // else the sleep would be cut to it
    nng_sleep_aio(pause_ms, dialer->aio);
}

static void dial(struct dialer *dialer)
{
    dialer->pausing = false;
    nng_aio_set_timeout(dialer->aio, DIAL_TIMEOUT_MS);
    nng_stream_dialer_dial(dialer->dialer, dialer->aio);
}

static void has_dialed(void *argument)
{
    struct dialer *dialer = argument;
    struct links *set = dialer->set;
    int result = nng_aio_result(dialer->aio);
    pthread_mutex_lock(&set->lock);
    bool closing = set->closing;
    bool pausing = dialer->pausing;
    pthread_mutex_unlock(&set->lock);
    if (!closing && pausing) {
        dial(dialer);
        return;
    }
    if (result == 0 && !pausing) {
        if (link_start(set, nng_aio_get_output(dialer->aio, 0), dialer->index)) return;
    }
    if (!closing) redial(dialer);
}

static void accept_next(struct listener *listener)
{
    listener->pausing = false;
    nng_stream_listener_accept(listener->listener, listener->aio);
}

static void has_accepted(void *argument)
{
    struct listener *listener = argument;
    struct links *set = listener->set;
    int result = nng_aio_result(listener->aio);
    pthread_mutex_lock(&set->lock);
    bool closing = set->closing;
    pthread_mutex_unlock(&set->lock);
    if (result == 0 && !listener->pausing)
        (void)link_start(set, nng_aio_get_output(listener->aio, 0), SIZE_MAX);
    if (closing) return;
    if (result == 0) {
        accept_next(listener);
        return;
    }
    listener->pausing = true;
    nng_sleep_aio(ACCEPT_PAUSE_MS, listener->aio);
}

enum err links_new(struct links **out, struct mailbox *inbox)
{
    struct links *set = mem_new(1, sizeof *set);
    set->inbox = inbox;
    must(pthread_mutex_init(&set->lock, NULL) == 0);
    *out = set;
    return ERR_OK;
}

void links_free(struct links *set)
{
    if (!set) return;
    pthread_mutex_lock(&set->lock);
    set->closing = true;
    pthread_mutex_unlock(&set->lock);
    // First those who make links: once their callbacks have returned, the table only shrinks.
    for (size_t i = 0; i < set->listener_count; i++) {
        nng_stream_listener_close(set->listeners[i]->listener);
        nng_aio_stop(set->listeners[i]->aio);
    }
    for (size_t i = 0; i < set->dialer_count; i++) {
        nng_stream_dialer_close(set->dialers[i]->dialer);
        nng_aio_stop(set->dialers[i]->aio);
    }
    for (size_t slot = 0; slot < set->slots_used; slot++)
        if (set->slots[slot]) link_free(set->slots[slot]);
    // A link's last callback may have asked its dialer for a pause: dialers go after all links.
    for (size_t i = 0; i < set->listener_count; i++) {
        nng_aio_free(set->listeners[i]->aio);
        nng_stream_listener_free(set->listeners[i]->listener);
        mem_free(set->listeners[i]);
    }
    for (size_t i = 0; i < set->dialer_count; i++) {
        nng_aio_free(set->dialers[i]->aio);
        nng_stream_dialer_free(set->dialers[i]->dialer);
        mem_free(set->dialers[i]);
    }
    pthread_mutex_destroy(&set->lock);
    mem_free(set);
}

/* The URL with the port that the system chose, where the asked one ends in ":0". */
static enum err write_bound(nng_stream_listener *listener, const char *url,
                            char bound[WIRE_URL_MAX])
{
    int port = 0;
    const char *colon = strrchr(url, ':');
    bool chosen = colon && strcmp(colon, ":0") == 0 &&
                  nng_stream_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port) == 0;
    int size = chosen ? snprintf(bound, WIRE_URL_MAX, "%.*s:%d", (int)(colon - url), url, port)
                      : snprintf(bound, WIRE_URL_MAX, "%s", url);
    if (size >= WIRE_URL_MAX)
        return err_note(ERR_INVALID, "the address %s has more than %d bytes", url,
                        WIRE_URL_MAX - 1);
    return ERR_OK;
}

enum err links_listen(struct links *set, const char *url, char bound_url[WIRE_URL_MAX])
{
    if (set->listener_count == LINK_LISTENERS_MAX)
        return err_note(ERR_TOO_LARGE, "more than %d listening addresses", LINK_LISTENERS_MAX);
    struct listener *listener = mem_new(1, sizeof *listener);
    listener->set = set;
    int result = nng_stream_listener_alloc(&listener->listener, url);
    if (result == 0) result = nng_stream_listener_listen(listener->listener);
    if (result == 0) result = nng_aio_alloc(&listener->aio, has_accepted, listener);
    enum err err = ERR_OK;
    char bound[WIRE_URL_MAX];
    if (result != 0)
        err = err_note(ERR_IO, "cannot listen at %s: %s", url, nng_strerror(result));
    else
        err = write_bound(listener->listener, url, bound);
    if (err != ERR_OK) {
        if (listener->aio) nng_aio_free(listener->aio);
        if (listener->listener) nng_stream_listener_free(listener->listener);
        mem_free(listener);
        return err;
    }
    if (bound_url) memcpy(bound_url, bound, sizeof bound);
    set->listeners[set->listener_count++] = listener;
    accept_next(listener);
    return ERR_OK;
}

enum err links_dial(struct links *set, const char *url, size_t *index)
{
    if (set->dialer_count == LINK_DIALERS_MAX)
        return err_note(ERR_TOO_LARGE, "more than %d addresses to dial", LINK_DIALERS_MAX);
    struct dialer *dialer = mem_new(1, sizeof *dialer);
    int result = nng_stream_dialer_alloc(&dialer->dialer, url);
    if (result == 0) result = nng_aio_alloc(&dialer->aio, has_dialed, dialer);
    if (result != 0) {
        if (dialer->dialer) nng_stream_dialer_free(dialer->dialer);
        mem_free(dialer);
        return err_note(ERR_IO, "cannot dial %s: %s", url, nng_strerror(result));
    }
    dialer->set = set;
    dialer->pause_ms = REDIAL_MIN_MS;
    rand_init(&dialer->rand, rand_entropy());
    pthread_mutex_lock(&set->lock);
    dialer->index = set->dialer_count;
    set->dialers[set->dialer_count++] = dialer;
    pthread_mutex_unlock(&set->lock);
    *index = dialer->index;
    dial(dialer);
    return ERR_OK;
}

/* The link of that id, or NULL. Only the owner's thread frees links, so it stays valid for it. */
static struct link *find(struct links *set, uint64_t id)
{
    pthread_mutex_lock(&set->lock);
    struct link *link = set->slots[id % LINK_LINKS_MAX];
    if (link && link->id != id) link = NULL;
    pthread_mutex_unlock(&set->lock);
    return link;
}

static enum lane lane_of(enum wire_type type, bool urgent)
{
    if (urgent) return LANE_URGENT;
    return type == WIRE_PACK_PART ? LANE_BULK : LANE_ORDINARY;
}

enum err link_send(struct links *set, uint64_t id, const struct wire_message *message, bool urgent)
{
    struct link *link = find(set, id);
    if (!link) return err_note(ERR_NOT_FOUND, "link %llu is gone", (unsigned long long)id);
    struct buf frame = {0};
    (void)buf_grow(&frame, FRAME_HEADER_SIZE);
    message_encode(message, &frame);
    size_t size = frame.size - FRAME_HEADER_SIZE;
    if (size > wire_body_max(message->type)) {
        buf_fini(&frame);
        return err_note(ERR_TOO_LARGE, "a %s of %zu bytes; at most %zu fit in a frame",
                        wire_type_name(message->type), size, wire_body_max(message->type));
    }
    frame_write((uint8_t *)frame.data, &(struct frame){message->type, 0, (uint32_t)size, 0});
    pthread_mutex_lock(&set->lock);
    bool open = link->stage == STAGE_OPEN;
    bool room = open && lanes_put(&link->lanes, lane_of(message->type, urgent), &frame);
    pthread_mutex_unlock(&set->lock);
    buf_fini(&frame);
    if (!open) return err_note(ERR_NOT_FOUND, "link %llu is closing", (unsigned long long)id);
    if (!room) {
        fail(link, "the send queue is full: the peer does not read");
        return err_note(ERR_BUSY, "the send queue of link %llu is full", (unsigned long long)id);
    }
    pump(link);
    return ERR_OK;
}

size_t link_backlog(struct links *set, uint64_t id)
{
    struct link *link = find(set, id);
    if (!link) return 0;
    pthread_mutex_lock(&set->lock);
    size_t bytes = link->lanes.bytes + (link->sending ? link->outgoing.size - link->sent : 0);
    pthread_mutex_unlock(&set->lock);
    return bytes;
}

void link_close(struct links *set, uint64_t id, const char *reason)
{
    struct link *link = find(set, id);
    if (link) fail(link, reason);
}

/* Go on with a link whose events did not all fit. */
static void resume(struct link *link)
{
    settle(link);
    pthread_mutex_lock(&link->set->lock);
    bool go = link->parked && !link->held;
    bool open = link->stage == STAGE_OPEN;
    if (go) link->parked = false;
    if (go && open) {
        link->reading = true;
        link->heard_ns = clock_now_ns(); // the silence was ours
    }
    pthread_mutex_unlock(&link->set->lock);
    if (go && open) read_on(link);
}

void links_resume(struct links *set)
{
    pthread_mutex_lock(&set->lock);
    bool work = set->held_links > 0;
    set->held_links = 0; // whoever is refused again says so again
    size_t count = set->slots_used;
    pthread_mutex_unlock(&set->lock);
    for (size_t slot = 0; work && slot < count; slot++) {
        pthread_mutex_lock(&set->lock);
        struct link *link = set->slots[slot];
        pthread_mutex_unlock(&set->lock);
        if (link) resume(link);
    }
}

/* Judge one link: free it when it is down, close it when it has been silent for too long. */
static void check(struct links *set, size_t slot, uint64_t now_ns, bool judge)
{
    pthread_mutex_lock(&set->lock);
    struct link *link = set->slots[slot];
    bool gone = link && link->stage == STAGE_DOWN && !link->starting;
    uint64_t limit_ns = LINK_SILENCE_MS * CLOCK_MS;
    bool silent = link && judge && link->stage == STAGE_OPEN && !link->parked &&
                  now_ns > link->heard_ns && now_ns - link->heard_ns > limit_ns;
    if (gone) set->slots[slot] = NULL;
    pthread_mutex_unlock(&set->lock);
    if (gone) link_free(link);
    if (silent) fail(link, "the peer was silent for too long");
}

void links_check(struct links *set, uint64_t now_ns)
{
    links_resume(set);
    uint64_t since_ns = now_ns - set->checked_ns;
    bool judge = set->checked_ns > 0 && since_ns <= LINK_SILENCE_MS / 2 * CLOCK_MS;
    set->checked_ns = now_ns;
    pthread_mutex_lock(&set->lock);
    size_t count = set->slots_used;
    pthread_mutex_unlock(&set->lock);
    for (size_t slot = 0; slot < count; slot++)
        check(set, slot, now_ns, judge);
}

/* A set of links: its table, the addresses it listens at and those it dials. What happens on one
 * link stands in wire/link_stream.h. */
#include "wire/frame.h"
#include "wire/link.h"
#include "wire/link_stream.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/rand.h"

#include <stdio.h>
#include <string.h>

enum {
    DIAL_TIMEOUT_MS = 1000,
    REDIAL_MIN_MS = 50,
    REDIAL_MAX_MS = 1000,
    ACCEPT_PAUSE_MS = 100 // after a failed accept (no descriptors): it would fail again at once
};

struct listener {
    struct links *set;
    nng_stream_listener *listener;
    nng_aio *aio;
    bool pausing; // the aio sleeps before the next accept
};

struct dialer {
    struct links *set;
    size_t number;
    nng_stream_dialer *dialer;
    nng_aio *aio;
    bool pausing; // the aio sleeps before the next dial
    bool hung_up; // it makes no more links, and is freed when the last of them is
    uint32_t pause_ms;
    struct rand rand;
};

struct links {
    struct link_hub hub; // first: is_down() finds the set by it
    uint64_t serial;
    struct link *slots[LINK_LINKS_MAX]; // a link's id is serial * LINK_LINKS_MAX + slot
    size_t slots_used;                  // none at or above
    uint64_t checked_ns, silence_ns;
    bool holding, has_unsent; // the owner's: see links_hold()
    struct listener *listeners[LINK_LISTENERS_MAX];
    size_t listener_count;
    struct dialer *dialers[LINK_DIALERS_MAX];
    size_t dialer_count;
    size_t dialer_serial; // the number of the next
};

/* Give it a slot and an id; false when there is none. */
static bool enter(struct links *set, struct link *link)
{
    pthread_mutex_lock(&set->hub.lock);
    size_t slot = 0;
    while (slot < LINK_LINKS_MAX && set->slots[slot])
        slot++;
    bool room = slot < LINK_LINKS_MAX && !set->hub.closing;
    if (room) {
        set->slots[slot] = link;
        if (slot >= set->slots_used) set->slots_used = slot + 1;
        link->id = ++set->serial * LINK_LINKS_MAX + slot;
    }
    pthread_mutex_unlock(&set->hub.lock);
    return room;
}

/* A connection is made: from now on `stream` is a link's. False when the set has no room. */
static bool add_link(struct links *set, nng_stream *stream, size_t dialer)
{
    struct link *link = link_new(&set->hub, stream, dialer);
    if (!enter(set, link)) {
        link_free(link);
        return false;
    }
    link_begin(link);
    return true;
}

static void redial(struct dialer *dialer)
{
    struct links *set = dialer->set;
    pthread_mutex_lock(&set->hub.lock);
    // Half of the pause is chance, so that nodes which lost one scheduler do not return as one.
    uint32_t half = dialer->pause_ms / 2;
    nng_duration pause_ms = (nng_duration)(half + rand_below(&dialer->rand, half + 1));
    dialer->pause_ms = dialer->pause_ms * 2 < REDIAL_MAX_MS ? dialer->pause_ms * 2 : REDIAL_MAX_MS;
    dialer->pausing = true;
    bool go = !set->hub.closing && !dialer->hung_up;
    pthread_mutex_unlock(&set->hub.lock);
    if (!go) return;
    nng_aio_set_timeout(dialer->aio, NNG_DURATION_INFINITE); // else the sleep would be cut to it
    nng_sleep_aio(pause_ms, dialer->aio);
}

/* Call with the lock. A link's dialer is there as long as the link. */
static struct dialer *dialer_of(struct links *set, size_t number)
{
    size_t i = 0;
    while (set->dialers[i]->number != number)
        must(++i < set->dialer_count);
    return set->dialers[i];
}

/* A dialed link has told its end: its dialer makes the next. */
static void is_down(struct link_hub *hub, size_t number, bool heard)
{
    struct links *set = (struct links *)hub; // its first member
    if (number == SIZE_MAX) return;
    pthread_mutex_lock(&hub->lock);
    struct dialer *dialer = dialer_of(set, number);
    if (heard) dialer->pause_ms = REDIAL_MIN_MS;
    pthread_mutex_unlock(&hub->lock);
    redial(dialer);
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
    pthread_mutex_lock(&set->hub.lock);
    bool closing = set->hub.closing || dialer->hung_up;
    bool pausing = dialer->pausing;
    pthread_mutex_unlock(&set->hub.lock);
    if (!closing && pausing) {
        dial(dialer);
        return;
    }
    if (result == 0 && !pausing) {
        if (add_link(set, nng_aio_get_output(dialer->aio, 0), dialer->number)) return;
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
    pthread_mutex_lock(&set->hub.lock);
    bool closing = set->hub.closing;
    pthread_mutex_unlock(&set->hub.lock);
    if (result == 0 && !listener->pausing)
        (void)add_link(set, nng_aio_get_output(listener->aio, 0), SIZE_MAX);
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
    set->hub.inbox = inbox;
    set->hub.is_down = is_down;
    set->silence_ns = LINK_SILENCE_MS * CLOCK_MS;
    must(pthread_mutex_init(&set->hub.lock, NULL) == 0);
    *out = set;
    return ERR_OK;
}

void links_set_silence(struct links *set, uint32_t ms)
{
    must(set->checked_ns == 0);
    set->silence_ns = ms * CLOCK_MS;
}

static void dialer_free(struct dialer *dialer)
{
    nng_aio_free(dialer->aio);
    nng_stream_dialer_free(dialer->dialer);
    mem_free(dialer);
}

void links_free(struct links *set)
{
    if (!set) return;
    pthread_mutex_lock(&set->hub.lock);
    set->hub.closing = true;
    pthread_mutex_unlock(&set->hub.lock);
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
    for (size_t i = 0; i < set->dialer_count; i++)
        dialer_free(set->dialers[i]);
    pthread_mutex_destroy(&set->hub.lock);
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

enum err links_dial(struct links *set, const char *url, size_t *number)
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
    pthread_mutex_lock(&set->hub.lock);
    *number = dialer->number = set->dialer_serial++;
    set->dialers[set->dialer_count++] = dialer;
    pthread_mutex_unlock(&set->hub.lock);
    dial(dialer);
    return ERR_OK;
}

void links_hang_up(struct links *set, size_t number)
{
    pthread_mutex_lock(&set->hub.lock);
    struct dialer *dialer = dialer_of(set, number);
    dialer->hung_up = true;
    pthread_mutex_unlock(&set->hub.lock);
    nng_stream_dialer_close(dialer->dialer);
    nng_aio_stop(dialer->aio); // its callback has returned: the links that it made are in the table
    for (size_t slot = 0; slot < LINK_LINKS_MAX; slot++) {
        pthread_mutex_lock(&set->hub.lock);
        struct link *link = set->slots[slot];
        pthread_mutex_unlock(&set->hub.lock);
        if (link && link->dialer == number) link_fail(link, "it was hung up");
    }
}

/* The link of that id, or NULL. Only the owner's thread frees links, so it stays valid for it. */
static struct link *find(struct links *set, uint64_t id)
{
    pthread_mutex_lock(&set->hub.lock);
    struct link *link = set->slots[id % LINK_LINKS_MAX];
    if (link && link->id != id) link = NULL;
    pthread_mutex_unlock(&set->hub.lock);
    return link;
}

static enum lane lane_of(enum wire_type type, bool urgent)
{
    if (urgent) return LANE_URGENT;
    // Parts of one shard and its drop keep their order.
    bool is_bulk = type == WIRE_PACK_PART || type == WIRE_SHARD_PUT || type == WIRE_SHARD_DROP;
    return is_bulk ? LANE_BULK : LANE_ORDINARY;
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
    pthread_mutex_lock(&set->hub.lock);
    bool open = link->stage == LINK_STAGE_OPEN;
    bool room = open && lanes_put(&link->lanes, lane_of(message->type, urgent), &frame);
    pthread_mutex_unlock(&set->hub.lock);
    buf_fini(&frame);
    if (!open) return err_note(ERR_NOT_FOUND, "link %llu is closing", (unsigned long long)id);
    if (!room) {
        link_fail(link, "the send queue is full: the peer does not read");
        return err_note(ERR_BUSY, "the send queue of link %llu is full", (unsigned long long)id);
    }
    if (set->holding)
        set->has_unsent = true;
    else
        link_pump(link);
    return ERR_OK;
}

void links_hold(struct links *set)
{
    must(!set->holding);
    set->holding = true;
    set->has_unsent = false;
}

void links_release(struct links *set)
{
    must(set->holding);
    set->holding = false;
    if (!set->has_unsent) return;
    pthread_mutex_lock(&set->hub.lock);
    size_t count = set->slots_used;
    pthread_mutex_unlock(&set->hub.lock);
    for (size_t slot = 0; slot < count; slot++) {
        pthread_mutex_lock(&set->hub.lock);
        struct link *link = set->slots[slot];
        pthread_mutex_unlock(&set->hub.lock);
        if (link) link_pump(link);
    }
}

size_t link_backlog(struct links *set, uint64_t id)
{
    struct link *link = find(set, id);
    if (!link) return 0;
    pthread_mutex_lock(&set->hub.lock);
    size_t bytes = link->lanes.bytes + (link->sending ? link->outgoing.size - link->sent : 0);
    pthread_mutex_unlock(&set->hub.lock);
    return bytes;
}

void link_close(struct links *set, uint64_t id, const char *reason)
{
    struct link *link = find(set, id);
    if (link) link_fail(link, reason);
}

void links_resume(struct links *set)
{
    pthread_mutex_lock(&set->hub.lock);
    bool work = set->hub.held;
    set->hub.held = false; // whoever is refused again says so again
    size_t count = set->slots_used;
    pthread_mutex_unlock(&set->hub.lock);
    for (size_t slot = 0; work && slot < count; slot++) {
        pthread_mutex_lock(&set->hub.lock);
        struct link *link = set->slots[slot];
        pthread_mutex_unlock(&set->hub.lock);
        if (link) link_resume(link);
    }
}

/* Judge one link: free it when it is down, close it when it has been silent for too long. */
static void check(struct links *set, size_t slot, uint64_t now_ns, bool judge)
{
    pthread_mutex_lock(&set->hub.lock);
    struct link *link = set->slots[slot];
    bool gone = link && link->stage == LINK_STAGE_DOWN && !link->starting;
    bool silent = link && judge && link->stage == LINK_STAGE_OPEN && !link->parked &&
                  now_ns > link->heard_ns && now_ns - link->heard_ns > set->silence_ns;
    if (gone) set->slots[slot] = NULL;
    pthread_mutex_unlock(&set->hub.lock);
    if (gone) link_free(link);
    if (silent) link_fail(link, "the peer was silent for too long");
}

/* Those that were hung up go when no link can ask for them any more. */
static void forget_dialers(struct links *set)
{
    for (size_t i = 0; i < set->dialer_count;) {
        struct dialer *dialer = set->dialers[i];
        bool needed = !dialer->hung_up;
        pthread_mutex_lock(&set->hub.lock);
        for (size_t slot = 0; !needed && slot < set->slots_used; slot++)
            needed = set->slots[slot] && set->slots[slot]->dialer == dialer->number;
        if (!needed) set->dialers[i] = set->dialers[--set->dialer_count];
        pthread_mutex_unlock(&set->hub.lock);
        if (needed)
            i++;
        else
            dialer_free(dialer);
    }
}

void links_check(struct links *set, uint64_t now_ns)
{
    links_resume(set);
    uint64_t since_ns = now_ns - set->checked_ns;
    bool judge = set->checked_ns > 0 && since_ns <= set->silence_ns / 2;
    set->checked_ns = now_ns;
    pthread_mutex_lock(&set->hub.lock);
    size_t count = set->slots_used;
    pthread_mutex_unlock(&set->hub.lock);
    for (size_t slot = 0; slot < count; slot++)
        check(set, slot, now_ns, judge);
    forget_dialers(set);
}

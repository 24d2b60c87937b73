#include "tests/sim/net.h"

#include "tests/sim/world.h"

#include "wire/link.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mailbox.h"
#include "base/mem.h"
#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OWNERS_MAX = 4096,
    DIALERS = 32,
    LATENCY_US = 150
};

/* One end of a pipe. */
struct end {
    struct links *links; // NULL: this end is down
    uint64_t id;
    size_t dialer;
    uint64_t heard_ns;
    uint64_t arrives_ns; // of the latest frame to it
};

struct pipe {
    struct end ends[2]; // 0: who dialed
    bool lost;          // a frame was
    uint32_t travelling;
};

struct links {
    struct mailbox *inbox;
    uint32_t owner;
    uint32_t serial; // so that what is meant for one that is gone does not reach who lies there now
    bool vanished;
    char dials[DIALERS][WIRE_URL_MAX];
    size_t dial_count;
    struct pipe **pipes; // of which it is an end; both ends may be down
    size_t pipe_count;
    size_t pipe_capacity;
    uint64_t checked_ns, silence_ns;
};

struct parting {
    uint32_t a, b;
    uint64_t until_ns;
};

static struct links *listeners[OWNERS_MAX]; // of each owner, the set that listens
static struct links *living[2 * OWNERS_MAX];
static size_t living_count;
static struct parting partings[256];
static size_t parting_count;
static uint32_t last_serial;
static uint32_t next_owner;
static void (*wake_owner)(uint32_t owner, bool at_rest);

void net_set_owner(uint32_t owner)
{
    must(owner < OWNERS_MAX);
    next_owner = owner;
}

void net_set_wake(void (*wake)(uint32_t owner, bool at_rest))
{
    wake_owner = wake;
}

/* The ends by their ids, which count from 1. */
static struct id {
    struct pipe *pipe;
    size_t side;
} * ids;

static struct buf sending; // of the frame that is being sent
static uint64_t last_id, id_capacity;
static struct pipe **all_pipes;
static size_t all_count, all_capacity;

void net_end(void)
{
    must(living_count == 0);
    while (world_step(UINT64_MAX)) {
    } // what is on its way
    for (size_t i = 0; i < all_count; i++)
        mem_free(all_pipes[i]);
    mem_free(all_pipes);
    mem_free(ids);
    all_pipes = NULL;
    ids = NULL;
    buf_fini(&sending);
    all_count = all_capacity = parting_count = 0;
    last_id = id_capacity = 0;
}

static uint64_t new_id(struct pipe *pipe, size_t side)
{
    if (++last_id >= id_capacity) {
        id_capacity = id_capacity ? 2 * id_capacity : 1024;
        ids = mem_resize(ids, id_capacity, sizeof *ids);
    }
    ids[last_id] = (struct id){pipe, side};
    return last_id;
}

static bool lives(const struct links *links, uint32_t serial)
{
    for (size_t i = 0; i < living_count; i++)
        if (living[i] == links) return links->serial == serial;
    return false;
}

static bool is_parted(uint32_t a, uint32_t b)
{
    for (size_t i = 0; i < parting_count; i++) {
        const struct parting *p = &partings[i];
        bool meant = (p->a == a && p->b == b) || (p->a == b && p->b == a);
        if (meant && p->until_ns > world_now_ns()) return true;
    }
    return false;
}

static void tell(struct links *links, struct link_event *event, bool at_rest)
{
    if (links->vanished || !mailbox_put(links->inbox, event)) {
        link_event_free(event);
        return;
    }
    wake_owner(links->owner, at_rest);
}

/* An event, and the way that it takes. Its body lies behind it. */
struct frame {
    struct pipe *pipe;
    size_t side; // that it goes to
    uint64_t id; // which must be the link's still
    struct link_event event;
};

static struct frame *frame_new(enum link_event_kind kind, const struct end *end, const void *body,
                               size_t size)
{
    struct frame *frame = mem_new(1, sizeof *frame + size);
    uint8_t *copy = (uint8_t *)(frame + 1);
    if (size > 0) memcpy(copy, body, size);
    frame->event = (struct link_event){
        .kind = kind, .link = end->id, .dialer = end->dialer, .body = copy, .size = size};
    return frame;
}

static struct link_event *event_new(enum link_event_kind kind, const struct end *end)
{
    return &frame_new(kind, end, NULL, 0)->event;
}

void link_event_free(struct link_event *event)
{
    mem_free((char *)event - offsetof(struct frame, event));
}

static void try_dial(void *argument, uint64_t number);

static void dial_in(struct links *links, uint64_t after_ms, size_t dialer)
{
    world_at(world_now_ns() + after_ms * CLOCK_MS, try_dial, links,
             (uint64_t)links->serial << 8 | dialer);
}

/* This end is no more; who dialed dials again. */
static void close_end(struct end *end, const char *reason)
{
    struct links *links = end->links;
    if (!links) return;
    end->links = NULL;
    if (links->vanished) return;
    struct link_event *event = event_new(LINK_DOWN, end);
    snprintf(event->reason, sizeof event->reason, "%s", reason);
    tell(links, event, false);
    if (end->dialer != SIZE_MAX) dial_in(links, world_between(50, 1000), end->dialer);
}

static void close_later(void *argument, uint64_t side)
{
    struct pipe *pipe = argument;
    pipe->travelling--;
    close_end(&pipe->ends[side], "the peer closed it");
}

/* One side closes; the other is told if it can be. */
static void close_pipe(struct pipe *pipe, size_t side, const char *reason)
{
    if (!pipe->ends[side].links) return;
    uint32_t owner = pipe->ends[side].links->owner;
    struct links *peer = pipe->ends[!side].links;
    close_end(&pipe->ends[side], reason);
    if (!peer || is_parted(owner, peer->owner)) return;
    pipe->travelling++;
    world_at(world_now_ns() + LATENCY_US * 1000, close_later, pipe, !side);
}

void net_part(uint32_t a, uint32_t b, uint64_t until_ns)
{
    size_t kept = 0;
    for (size_t i = 0; i < parting_count; i++)
        if (partings[i].until_ns > world_now_ns()) partings[kept++] = partings[i];
    parting_count = kept;
    if (parting_count < 256) partings[parting_count++] = (struct parting){a, b, until_ns};
}

static void add_pipe(struct links *links, struct pipe *pipe)
{
    size_t kept = 0; // those that are down on both ends are forgotten
    for (size_t i = 0; i < links->pipe_count; i++) {
        struct pipe *old = links->pipes[i];
        bool mine = old->ends[0].links == links || old->ends[1].links == links;
        if (mine) links->pipes[kept++] = old;
    }
    links->pipe_count = kept;
    if (links->pipe_count == links->pipe_capacity) {
        links->pipe_capacity = links->pipe_capacity ? 2 * links->pipe_capacity : 8;
        links->pipes = mem_resize(links->pipes, links->pipe_capacity, sizeof(struct pipe *));
    }
    links->pipes[links->pipe_count++] = pipe;
}

static struct pipe *pipe_new(void)
{
    for (size_t i = 0; i < all_count; i++) {
        struct pipe *old = all_pipes[i];
        if (old->ends[0].links || old->ends[1].links || old->travelling > 0) continue;
        *old = (struct pipe){0};
        return old;
    }
    if (all_count == all_capacity) {
        all_capacity = all_capacity ? 2 * all_capacity : 64;
        all_pipes = mem_resize(all_pipes, all_capacity, sizeof(struct pipe *));
    }
    return all_pipes[all_count++] = mem_new(1, sizeof(struct pipe));
}

static void try_dial(void *argument, uint64_t number)
{
    struct links *links = argument;
    size_t dialer = number & 0xff;
    if (!lives(links, (uint32_t)(number >> 8)) || links->vanished) return;
    if (!links->dials[dialer][0]) return; // it was hung up
    struct links *peer = listeners[strtoul(links->dials[dialer] + 4, NULL, 10) % OWNERS_MAX];
    if (!peer || peer->vanished || is_parted(links->owner, peer->owner)) {
        dial_in(links, world_between(50, 1000), dialer);
        return;
    }
    struct pipe *pipe = pipe_new();
    uint64_t now_ns = world_now_ns();
    pipe->ends[0] = (struct end){links, new_id(pipe, 0), dialer, now_ns, now_ns};
    pipe->ends[1] = (struct end){peer, new_id(pipe, 1), SIZE_MAX, now_ns, now_ns};
    add_pipe(links, pipe);
    add_pipe(peer, pipe);
    tell(links, event_new(LINK_UP, &pipe->ends[0]), true);
    tell(peer, event_new(LINK_UP, &pipe->ends[1]), true);
}

enum err links_new(struct links **out, struct mailbox *inbox)
{
    struct links *links = mem_new(1, sizeof *links);
    links->inbox = inbox;
    links->owner = next_owner;
    links->serial = ++last_serial;
    links->silence_ns = LINK_SILENCE_MS * CLOCK_MS;
    must(living_count < 2 * OWNERS_MAX);
    living[living_count++] = links;
    *out = links;
    return ERR_OK;
}

void links_set_silence(struct links *links, uint32_t ms)
{
    links->silence_ns = ms * CLOCK_MS;
}

void links_free(struct links *links)
{
    if (listeners[links->owner] == links) listeners[links->owner] = NULL;
    for (size_t i = 0; i < links->pipe_count; i++) {
        struct pipe *pipe = links->pipes[i];
        for (size_t side = 0; side < 2; side++) {
            if (pipe->ends[side].links != links) continue;
            if (links->vanished)
                pipe->ends[side].links = NULL;
            else
                close_pipe(pipe, side, "closed");
        }
    }
    size_t at = 0;
    while (living[at] != links)
        at++;
    living[at] = living[--living_count];
    mem_free(links->pipes);
    mem_free(links);
}

void net_vanish(uint32_t owner)
{
    for (size_t i = 0; i < living_count; i++)
        if (living[i]->owner == owner) living[i]->vanished = true;
    if (listeners[owner] && listeners[owner]->vanished) listeners[owner] = NULL;
}

void net_kill(uint32_t owner)
{
    for (size_t i = 0; i < living_count; i++) {
        struct links *links = living[i];
        if (links->owner != owner) continue;
        links->vanished = true;
        for (size_t p = 0; p < links->pipe_count; p++)
            for (size_t side = 0; side < 2; side++)
                if (links->pipes[p]->ends[side].links == links)
                    close_pipe(links->pipes[p], side, "killed");
    }
    net_vanish(owner);
}

enum err links_listen(struct links *links, const char *url, char bound_url[WIRE_URL_MAX])
{
    listeners[links->owner] = links;
    if (bound_url) snprintf(bound_url, WIRE_URL_MAX, "%s", url);
    return ERR_OK;
}

enum err links_dial(struct links *links, const char *url, size_t *dialer)
{
    must(links->dial_count < DIALERS);
    *dialer = links->dial_count++;
    snprintf(links->dials[*dialer], WIRE_URL_MAX, "%s", url);
    dial_in(links, world_between(1, 50), *dialer);
    return ERR_OK;
}

void links_hang_up(struct links *links, size_t dialer)
{
    links->dials[dialer][0] = '\0';
    for (size_t i = 0; i < links->pipe_count; i++)
        if (links->pipes[i]->ends[0].links == links && links->pipes[i]->ends[0].dialer == dialer)
            close_pipe(links->pipes[i], 0, "it was hung up");
}

static struct pipe *find(const struct links *links, uint64_t link, size_t *side)
{
    if (link == 0 || link > last_id) return NULL;
    struct pipe *pipe = ids[link].pipe;
    *side = ids[link].side;
    const struct end *end = &pipe->ends[*side];
    return end->links == links && end->id == link ? pipe : NULL;
}

static void arrive(void *argument, uint64_t number)
{
    struct frame *frame = argument;
    struct pipe *pipe = frame->pipe;
    struct end *end = &pipe->ends[frame->side];
    struct end *from = &pipe->ends[!frame->side];
    (void)number;
    pipe->travelling--;
    bool here = end->links && end->id == frame->id;
    if (here && from->links && is_parted(end->links->owner, from->links->owner)) {
        pipe->lost = true;
        here = false;
    } else if (here && pipe->lost) {
        close_pipe(pipe, frame->side, "a frame is missing");
        here = false;
    }
    if (here) {
        end->heard_ns = world_now_ns();
        tell(end->links, &frame->event, true);
    } else {
        link_event_free(&frame->event);
    }
}

enum err link_send(struct links *links, uint64_t link, const struct wire_message *message,
                   bool urgent)
{
    size_t side;
    struct pipe *pipe = find(links, link, &side);
    if (!pipe) return err_note(ERR_NOT_FOUND, "no such link");
    if (links->vanished) return ERR_OK;
    buf_clear(&sending);
    message_encode(message, &sending);
    struct end *to = &pipe->ends[!side];
    struct frame *frame = frame_new(LINK_FRAME, to, sending.data, sending.size);
    frame->pipe = pipe;
    frame->side = !side;
    frame->id = to->id;
    frame->event.type = message->type;
    uint64_t at_ns = world_now_ns() + (LATENCY_US + world_between(0, LATENCY_US)) * 1000;
    if (!urgent && at_ns <= to->arrives_ns) at_ns = to->arrives_ns + 1;
    if (!urgent) to->arrives_ns = at_ns;
    pipe->travelling++;
    world_at(at_ns, arrive, frame, 0);
    return ERR_OK;
}

/* A frame costs nothing here, so that nothing is gained by sending several as one. */
void links_hold(struct links *links)
{
    (void)links;
}

void links_release(struct links *links)
{
    (void)links;
}

size_t link_backlog(struct links *links, uint64_t link)
{
    (void)links, (void)link;
    return 0;
}

void link_close(struct links *links, uint64_t link, const char *reason)
{
    size_t side;
    struct pipe *pipe = find(links, link, &side);
    if (pipe) close_pipe(pipe, side, reason);
}

void links_resume(struct links *links)
{
    (void)links;
}

void links_check(struct links *links, uint64_t now_ns)
{
    bool late = now_ns - links->checked_ns > links->silence_ns / 2;
    links->checked_ns = now_ns;
    for (size_t i = 0; i < links->pipe_count && !late; i++) {
        struct pipe *pipe = links->pipes[i];
        for (size_t side = 0; side < 2; side++) {
            struct end *end = &pipe->ends[side];
            if (end->links == links && now_ns - end->heard_ns >= links->silence_ns)
                close_pipe(pipe, side, "silent");
        }
    }
}

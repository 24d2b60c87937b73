#include "scheduler/door/linger.h"

#include "base/mem.h"
#include "base/must.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include <stdbool.h>
#include <stddef.h>

struct lingering {
    struct lingers *lingers;
    struct bufferevent *bev;
    struct event *timer; // first the start, then the end
    size_t bytes;
    bool started;
    struct lingering *next, *previous;
};

struct lingers {
    struct event_base *base;
    struct lingering *first;
    size_t count;
};

struct lingers *lingers_new(struct event_base *base)
{
    struct lingers *lingers = mem_new(1, sizeof *lingers);
    lingers->base = base;
    return lingers;
}

static void end(struct lingering *linger)
{
    struct lingers *lingers = linger->lingers;
    if (linger->previous)
        linger->previous->next = linger->next;
    else
        lingers->first = linger->next;
    if (linger->next) linger->next->previous = linger->previous;
    lingers->count--;
    bufferevent_setcb(linger->bev, NULL, NULL, NULL, NULL);
    bufferevent_disable(linger->bev, EV_READ | EV_WRITE);
    bufferevent_decref(linger->bev);
    event_free(linger->timer);
    mem_free(linger);
}

void lingers_free(struct lingers *lingers)
{
    if (!lingers) return;
    while (lingers->first)
        end(lingers->first);
    mem_free(lingers);
}

static void on_read(struct bufferevent *bev, void *argument)
{
    struct lingering *linger = argument;
    struct evbuffer *input = bufferevent_get_input(bev);
    linger->bytes += evbuffer_get_length(input);
    evbuffer_drain(input, evbuffer_get_length(input));
    if (linger->bytes > LINGER_BYTES_MAX) end(linger);
}

static void on_event(struct bufferevent *bev, short what, void *argument)
{
    (void)bev;
    (void)what;
    end(argument);
}

/* By now its owner has let go of it, and of its callbacks. */
static void on_timer(evutil_socket_t fd, short what, void *argument)
{
    struct lingering *linger = argument;
    struct timeval limit = {.tv_sec = LINGER_SECONDS};
    (void)fd;
    (void)what;
    if (linger->started) {
        end(linger);
        return;
    }
    linger->started = true;
    event_add(linger->timer, &limit);
    bufferevent_setwatermark(linger->bev, EV_READ, 0, 0);
    bufferevent_set_timeouts(linger->bev, NULL, NULL);
    bufferevent_setcb(linger->bev, on_read, NULL, on_event, linger);
    struct evbuffer *input = bufferevent_get_input(linger->bev);
    evbuffer_drain(input, evbuffer_get_length(input));
    bufferevent_enable(linger->bev, EV_READ);
}

void lingers_take(struct lingers *lingers, struct bufferevent *bev)
{
    if (lingers->count == LINGERS_MAX) return;
    struct lingering *linger = mem_new(1, sizeof *linger);
    linger->lingers = lingers;
    linger->bev = bev;
    bufferevent_incref(bev);
    linger->timer = event_new(lingers->base, -1, 0, on_timer, linger);
    must(linger->timer != NULL);
    linger->next = lingers->first;
    if (linger->next) linger->next->previous = linger;
    lingers->first = linger;
    lingers->count++;
    event_active(linger->timer, EV_TIMEOUT, 0);
}

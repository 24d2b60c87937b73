#include "scheduler/door/wait.h"

#include "scheduler/core/fleet.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/status.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"

#include <event2/event.h>

#include <stddef.h>
#include <stdint.h>

enum {
    LOOK_MS = 20
};

struct wait {
    struct waits *waits;
    struct http_request *request;
    void (*handle)(struct door *door, struct http_request *request);
    uint64_t until_ns;
    struct wait *next, *previous;
};

struct waits {
    struct door *door;
    struct wait_limits limits;
    struct event *timer; // runs while somebody waits
    struct wait *first;
    size_t count;
    size_t served; // models, when it was looked last
};

static size_t count_served(const struct door *door)
{
    size_t count = 0;
    for (size_t i = 0; i < fleet_model_count(door->fleet); i++)
        count += status_is_served(door, fleet_model_at(door->fleet, i));
    return count;
}

static void leave(struct wait *wait)
{
    struct waits *waits = wait->waits;
    if (wait->previous)
        wait->previous->next = wait->next;
    else
        waits->first = wait->next;
    if (wait->next) wait->next->previous = wait->previous;
    waits->count--;
    mem_free(wait);
}

static void on_gone(void *argument)
{
    leave(argument);
}

static void handle_again(struct wait *wait)
{
    struct http_request *request = wait->request;
    void (*handle)(struct door * door, struct http_request * request) = wait->handle;
    struct door *door = wait->waits->door;
    leave(wait);
    http_set_gone(request, NULL, NULL);
    handle(door, request); // may wait again: at the list's head, which is behind us
}

static void on_timer(evutil_socket_t fd, short what, void *argument)
{
    struct waits *waits = argument;
    struct timeval period = {.tv_usec = LOOK_MS * 1000};
    size_t served = count_served(waits->door);
    bool more = served > waits->served;
    uint64_t now_ns = clock_now_ns();
    (void)fd;
    (void)what;
    waits->served = served;
    for (struct wait *wait = waits->first, *next; wait; wait = next) {
        next = wait->next;
        if (more || now_ns >= wait->until_ns) handle_again(wait);
    }
    if (waits->first) event_add(waits->timer, &period);
}

struct waits *waits_new(struct door *door, const struct wait_limits *limits)
{
    struct waits *waits = mem_new(1, sizeof *waits);
    waits->door = door;
    waits->limits.start_ms = limits->start_ms ? limits->start_ms : WAIT_START_MS;
    waits->limits.node_ms = limits->node_ms ? limits->node_ms : WAIT_NODE_MS;
    waits->timer = event_new(door->base, -1, 0, on_timer, waits);
    must(waits->timer != NULL);
    return waits;
}

void waits_free(struct waits *waits)
{
    if (!waits) return;
    must(!waits->first);
    event_free(waits->timer);
    mem_free(waits);
}

bool waits_take(struct waits *waits, struct http_request *request, enum err err,
                void (*handle)(struct door *door, struct http_request *request))
{
    uint64_t until_ns;
    if (err == ERR_NOT_FOUND)
        until_ns = waits->door->start_ns + waits->limits.start_ms * CLOCK_MS;
    else if (err == ERR_UNAVAILABLE)
        until_ns = http_arrival_ns(request) + waits->limits.node_ms * CLOCK_MS;
    else
        return false;
    if (clock_now_ns() >= until_ns || waits->count == WAIT_REQUESTS_MAX) return false;
    struct wait *wait = mem_new(1, sizeof *wait);
    *wait =
        (struct wait){.waits = waits, .request = request, .handle = handle, .until_ns = until_ns};
    wait->next = waits->first;
    if (wait->next) wait->next->previous = wait;
    waits->first = wait;
    struct timeval period = {.tv_usec = LOOK_MS * 1000};
    if (waits->count++ == 0) {
        waits->served = count_served(waits->door);
        event_add(waits->timer, &period);
    }
    http_set_gone(request, on_gone, wait);
    return true;
}

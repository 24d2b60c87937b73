#include "scheduler/door/folders.h"

#include "scheduler/door/door.h"
#include "scheduler/door/policy_admin.h"
#include "scheduler/door/terms_admin.h"

#include "base/mem.h"
#include "base/must.h"

#include <event2/event.h>

struct folders {
    struct door *door;
    struct event *timer;
};

static void on_timer(evutil_socket_t fd, short what, void *argument)
{
    struct folders *folders = argument;
    (void)fd;
    (void)what;
    policy_look(folders->door);
    terms_look(folders->door);
}

struct folders *folders_new(struct door *door)
{
    struct timeval period = {.tv_sec = FOLDERS_LOOK_MS / 1000,
                             .tv_usec = FOLDERS_LOOK_MS % 1000 * 1000};
    struct folders *folders = mem_new(1, sizeof *folders);
    folders->door = door;
    folders->timer = event_new(door->base, -1, EV_PERSIST, on_timer, folders);
    must(folders->timer && event_add(folders->timer, &period) == 0);
    policy_begin(door);
    return folders;
}

void folders_free(struct folders *folders)
{
    if (!folders) return;
    event_free(folders->timer);
    mem_free(folders);
}

void folders_reload(struct door *door)
{
    if (door->policies) (void)policy_reload(door);
    terms_reload(door);
}

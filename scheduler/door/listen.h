/* scheduler/door/listen.h -- a listening TCP socket on the loop. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_LISTEN_H
#define SCHEDULER_DOOR_LISTEN_H

#include "base/err.h"

#include <stdint.h>

struct evconnlistener;
struct event_base;

/* `port` 0: any. ERR_IO names the address and the cause. */
enum err listen_open(struct evconnlistener **out, struct event_base *base, const char *host,
                     uint16_t port);
/* The port that it has. */
uint16_t listen_port(struct evconnlistener *listener);

#endif

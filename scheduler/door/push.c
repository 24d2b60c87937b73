#include "scheduler/door/push.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

void push_now(struct bufferevent *bev)
{
    struct evbuffer *output = bufferevent_get_output(bev);
    if (evbuffer_get_length(output) == 0) return;
    evbuffer_unfreeze(output, 1); // a bufferevent lets nobody else take from it
    (void)evbuffer_write(output, bufferevent_getfd(bev));
    evbuffer_freeze(output, 1);
    if (evbuffer_get_length(output) > 0) return;
    bufferevent_disable(bev, EV_WRITE);
    bufferevent_trigger(bev, EV_WRITE, BEV_TRIG_DEFER_CALLBACKS);
}

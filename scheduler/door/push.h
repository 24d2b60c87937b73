/* scheduler/door/push.h -- bytes of an answer that leave now, not with the loop's next turn.
 *
 * A bufferevent writes when epoll has told that its socket takes bytes, which is nearly always the case: behind all that
 * is ready in this turn, after three more calls into the kernel. Here the socket is tried first; what it does not take, and
 * errors, stay for the bufferevent.
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_DOOR_PUSH_H
#define SCHEDULER_DOOR_PUSH_H

struct bufferevent;

/* Write what is queued. When all of it has left, the bufferevent's write callback comes in this turn of the loop, never from
 * inside, and writing is disabled until somebody enables it, as evhttp does whenever it queues bytes. */
void push_now(struct bufferevent *bev);

#endif

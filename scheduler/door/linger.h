/* scheduler/door/linger.h -- connections that were answered while their client still sends.
 *
 * Closing a socket with unread bytes in it resets the connection, and the client may lose the answer
 * that says why ("your body is too large"). So what such a client goes on sending is read and
 * thrown away for a while: until it stops, LINGER_SECONDS have passed, or LINGER_BYTES_MAX came.
 * Thread: the loop's. */
#ifndef SCHEDULER_DOOR_LINGER_H
#define SCHEDULER_DOOR_LINGER_H

struct bufferevent;
struct event_base;
struct lingers;

enum {
    LINGERS_MAX = 256, // at once; one more is closed at once
    LINGER_SECONDS = 5,
    LINGER_BYTES_MAX = 512 << 20
};

struct lingers *lingers_new(struct event_base *base);
/* Closes them all. */
void lingers_free(struct lingers *lingers);
/* Take care of a connection that its owner is about to free (and has shut down for writing, or
 * will): a reference is held. */
void lingers_take(struct lingers *lingers, struct bufferevent *bev);

#endif

/* client/load/stream.h -- one connection to a scheduler, one request at a time on it.
 *
 *      IDLE --start--> (connecting) --> request sent --> answer's head --> events ... --> done --> IDLE
 *
 * The connection is kept between requests where the server allows it. A server may close a kept
 * connection at the moment at which a request is sent on it; such a request is sent once more on a
 * new connection (RFC 9112, 9.3.1). */
#ifndef CLIENT_LOAD_STREAM_H
#define CLIENT_LOAD_STREAM_H

#include "client/load/tally.h"
#include "client/socket.h"

#include "base/buf.h"
#include "base/err.h"

#include <sys/socket.h>

struct event_base;
struct stream;

enum {
    STREAM_BODY_MAX = 16 << 20 // of an answer that is not a stream
};

struct target {
    struct address address;
    struct sockaddr_storage where;
    socklen_t where_size;
};

/* ERR_INVALID: no URL; ERR_UNAVAILABLE: the name is unknown. */
enum err target_resolve(struct target *out, const char *url);

/* What all streams of a run share; borrowed, and longer lived than they. */
struct stream_rules {
    struct event_base *base;
    const char *key; // NULL: none; no line ends in it
    uint64_t timeout_ns;
    bool stream;         // an event stream is what was asked for
    struct tally *tally; // gaps, content events and reconnects are counted as they happen
    /* A request ended and the stream is idle again; may start the next one on it. */
    void (*done)(void *argument, const struct outcome *outcome);
};

struct stream *stream_new(const struct stream_rules *rules, void *argument);
/* Also ends what is under way, without done(). */
void stream_free(struct stream *stream);
/* `json` is the request's body, copied. Only on an idle stream. done() is never called from
 * within. */
void stream_start(struct stream *stream, const struct target *target, const struct buf *json,
                  uint64_t intended_ns);

#endif

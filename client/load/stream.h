/* client/load/stream.h -- one request at a time, on a connection to one of several schedulers.
 *
 *      IDLE --start--> (connecting) --> request sent --> answer's head --> events ... --> done --> IDLE
 *                           ^  ^              |                              |
 *                           |  +--- retry ----+ no connection, or no byte    |
 *                           +-- resume ---------------------------------- broken
 *
 * The connection is kept between requests where the server allows it. A server may close a kept connection at
 * the moment at which a request is sent on it; such a request is sent once more on a new connection
 * (RFC 9112, 9.3.1). Where a request has an Idempotency-Key, it is also sent again when there is no connection or
 * it broke; one that takes too long is none: to the next scheduler, at once while there are others, then after a pause that doubles from
 * STREAM_PAUSE_MS to STREAM_PAUSE_MS_MAX; at most `retries` times. An answer of which a part was read is gone on
 * with: Last-Event-ID says behind which event. The deadline and all times count from the first sending. */
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
    STREAM_KEY_SIZE = 64, // of an Idempotency-Key, with its NUL
    STREAM_PAUSE_MS = 100,
    STREAM_PAUSE_MS_MAX = 1600
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
    const struct target *targets;
    size_t target_count;
    const char *key; // NULL: none; no line ends in it
    uint64_t timeout_ns;
    uint64_t connect_ns; // the most that a connection may take
    uint64_t retries;    // of one request; 0: none, and no Idempotency-Key either
    bool retry_refused;  // 429 and 503 with Retry-After count as retries, after that time
    bool stream;         // an event stream is what was asked for
    bool digested;       // outcomes have digests
    struct tally *tally; // gaps, content events and what is sent again are counted as they happen
    /* A request ended and the stream is idle again; may start the next one on it. */
    void (*done)(void *argument, const struct outcome *outcome);
};

struct stream_order {
    size_t target;                         // that is asked first
    const struct buf *json;                // the body, copied
    char idempotency_key[STREAM_KEY_SIZE]; // unused where there are no retries
    uint64_t intended_ns;
};

struct stream *stream_new(const struct stream_rules *rules, void *argument);
/* Also ends what is under way, without done(). */
void stream_free(struct stream *stream);
/* Only on an idle stream. done() is never called from within. */
void stream_start(struct stream *stream, const struct stream_order *order);
/* The target of the latest connection. */
size_t stream_target(const struct stream *stream);

#endif

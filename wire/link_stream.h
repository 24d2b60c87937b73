/* wire/link_stream.h -- one link over one of NNG's byte streams; why streams, docs/adr/0002 says.
 *
 * One lock, the hub's, guards the state of every link, its lanes, and what it holds for the inbox.
 * It is held for moving pointers, never across a call into NNG. The stages of a link:
 *
 *      OPEN --link_fail()--> CLOSING --both directions idle, DOWN is told--> DOWN, may be freed
 *
 * Reading belongs to whoever completes a read: that callback cuts frames, hands them over and
 * starts the next read. When the inbox is full it parks, and link_resume() goes on in its place.
 * Sending belongs to whoever set `sending`: link_pump() on an idle link, else the callback of the
 * last write.
 *
 * NNG never completes a read or a write that is started on a closed stream, so starting and closing
 * exclude one another, under the link's own lock.
 *
 * Only the owner's thread frees, and only through link_free(), which waits until the callbacks of
 * both directions have returned; so a callback may use its link until its last line. */
#ifndef WIRE_LINK_STREAM_H
#define WIRE_LINK_STREAM_H

#include "wire/lanes.h"
#include "wire/reader.h"

#include "base/buf.h"

#include <nng/nng.h>

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mailbox;

/* What the links of one set share. */
struct link_hub {
    struct mailbox *inbox;
    pthread_mutex_t lock;
    bool closing; // nothing is told any more
    bool held;    // a link has something that the inbox refused
    /* A link has told its DOWN; called from any thread, without the lock. `heard`: it had a frame.
     * */
    void (*is_down)(struct link_hub *hub, size_t dialer, bool heard);
};

enum link_stage {
    LINK_STAGE_OPEN,
    LINK_STAGE_CLOSING,
    LINK_STAGE_DOWN
};

struct link {
    struct link_hub *hub;
    uint64_t id;
    size_t dialer;
    nng_stream *stream;
    pthread_mutex_t stream_lock; // of `shut`, and around every call that starts a read or a write
    bool shut;
    enum link_stage stage;
    bool starting; // its creator is still inside NNG with it
    char reason[128];

    nng_aio *read_aio;
    struct reader reader;
    bool reading; // a read is out, or its callback is at work
    bool parked;  // the inbox was full: links_resume() reads on
    bool heard;   // at least one whole frame came
    uint64_t heard_ns;

    nng_aio *send_aio;
    struct lanes lanes;
    struct buf outgoing;
    size_t sent; // of outgoing
    bool sending;

    bool told_up;
    struct link_event *held; // a frame that the inbox refused
};

/* Takes the stream. The link is silent until link_begin(), which tells UP and starts to read. */
struct link *link_new(struct link_hub *hub, nng_stream *stream, size_t dialer);
void link_begin(struct link *link);
/* Waits for callbacks: never call it from one of this link's, nor with a lock. */
void link_free(struct link *link);

/* The end of a link begins here, whoever saw it first; later reasons are ignored. */
void link_fail(struct link *link, const char *reason);
/* Start writing if frames wait in the lanes and no write is out. */
void link_pump(struct link *link);
/* Tell what did not fit into the inbox before, and read on. */
void link_resume(struct link *link);

#endif

/* wire/link.h -- the connection between one node and one scheduler.
 *
 * The node's side dials and keeps dialing (with jitter, 50 ms to 1 s); the scheduler's side
 * listens. Both get the same events, as heap messages in a mailbox: NNG's threads move bytes and do
 * nothing else (docs/adr/0002-links-are-nng-streams.md). A link comes up, delivers whole frames in
 * order, and goes down; it never drops a frame silently: a gap in the sequence numbers, a malformed
 * or too large frame, a full send queue, or silence of the peer closes it, and the reason is in the
 * DOWN event.
 *
 * What is queued leaves in three lanes, each in its own order:
 *
 *      urgent    heartbeats: they overtake everything that is queued
 *      ordinary  every other message, so a CANCEL stays behind its SUBMIT
 *      bulk      PACK_PART, SHARD_PUT, SHARD_DROP: only while nothing else waits
 *
 * At most one frame that has begun is ahead of an urgent one.
 *
 * Thread: link_* and links_* are called from the one thread that owns the set, which is also the
 * inbox's reader; events come through the mailbox. */
#ifndef WIRE_LINK_H
#define WIRE_LINK_H

#include "wire/message.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mailbox;

enum {
    LINK_HEARTBEAT_MS = 100,
    LINK_SILENCE_MS = 800,          // a peer this silent is out (within 1 s, promised)
    LINK_QUEUE_BYTES_MAX = 8 << 20, // unsent bytes of one link
    LINK_FRAME_MAX = WIRE_BODY_MAX, // body of the largest frame
    LINK_LINKS_MAX = 4096,          // of one set
    LINK_DIALERS_MAX = 256,
    LINK_LISTENERS_MAX = 8
};

enum link_event_kind {
    LINK_UP, // connected; nothing was said yet
    LINK_FRAME,
    LINK_DOWN // the last event of this link's id
};

/* One thing that happened; the taker frees it with link_event_free(). */
struct link_event {
    enum link_event_kind kind;
    uint64_t link;       // id, never used twice in this process
    size_t dialer;       // which link_dial() it came from; SIZE_MAX for an accepted one
    uint64_t heard_ns;   // of a FRAME: when its last bytes were read (clock_now_ns())
    enum wire_type type; // of a FRAME
    const uint8_t *body; // of a FRAME; lives as long as the event
    size_t size;
    char reason[128]; // of a DOWN
};

struct links; // a set of links with one mailbox

/* Events go to `inbox`, which outlives the set. An event is never lost: when the inbox is full, the
 * link keeps it and stops reading (backpressure, down to the peer's queue) until links_resume(). */
enum err links_new(struct links **out, struct mailbox *inbox);
/* How long a peer may be silent, where LINK_SILENCE_MS is not what is wanted: on a machine so busy that a peer which lives may be
 * late. Before the first links_check(). */
void links_set_silence(struct links *links, uint32_t ms);
/* Closes every link, waits for NNG to let go; no event is put after it returns. */
void links_free(struct links *links);

/* Accept links at `url` ("tcp://0.0.0.0:7400", "ipc:///path"); ERR_IO names the address and the
 * cause. `bound_url` (may be NULL) gets the address with the real port when 0 was asked. */
enum err links_listen(struct links *links, const char *url, char bound_url[WIRE_URL_MAX]);
/* Keep a link to `url` up until links_hang_up(); *dialer gets its number, which is never used twice. ERR_TOO_LARGE: there are
 * LINK_DIALERS_MAX of them; one that was hung up counts until its link is down and links_check() was called. */
enum err links_dial(struct links *links, const char *url, size_t *dialer);
/* Dial it no more; its link, should one be up or on its way, is closed. */
void links_hang_up(struct links *links, size_t dialer);

/* Queue a message; it is encoded before this returns. ERR_BUSY: the queue is full, and the link is
 * being closed; ERR_NOT_FOUND: no such link (any more); ERR_TOO_LARGE: above LINK_FRAME_MAX.
 * `urgent` is for heartbeats; a cancel is not urgent, since it must not overtake its submit. */
enum err link_send(struct links *links, uint64_t link, const struct wire_message *message,
                   bool urgent);
/* Between the two link_send() only queues, on every link: what one turn of the owner says leaves as one write, and wakes
 * its peer once. A write that is out takes what has been queued when it ends, as ever. */
void links_hold(struct links *links);
void links_release(struct links *links);
/* Unsent bytes: a sender of many fragments waits while this is high. */
size_t link_backlog(struct links *links, uint64_t link);
/* Close it; the DOWN event carries `reason`. Nothing happens when it is down already. */
void link_close(struct links *links, uint64_t link, const char *reason);

/* Hand over what a full inbox refused and read on. Call it whenever the inbox was emptied; it costs
 * nothing when nothing is held. */
void links_resume(struct links *links);
/* Close links that have been silent for LINK_SILENCE_MS (or as links_set_silence() said), and free those that are down; call it
 * every ~100 ms with now (clock_now_ns()), the inbox drained. A call that comes more than
 * half of it after the one before judges nobody: the silence may have been our own. Calls
 * links_resume(). */
void links_check(struct links *links, uint64_t now_ns);

void link_event_free(struct link_event *event);

#endif

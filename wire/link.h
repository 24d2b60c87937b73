/* wire/link.h -- the connection between one node and one scheduler.
 *
 * The node's side dials and keeps dialing (with jitter, 50 ms to 1 s); the scheduler's side listens. Both get the
 * same events, as heap messages in a mailbox: NNG's threads do nothing else (docs/adr). A link is
 * up, delivers whole frames in order, and goes down; it never drops a frame silently: a gap in the
 * sequence numbers, a frame that is too large or malformed, a full send queue, or silence for longer than
 * `silence_ms` closes it, and the reason is in the DOWN event.
 *
 * Heartbeats (100 ms) are sent by the link's owner through link_send() as urgent frames: they overtake
 * queued fragments of a text pack, and are never queued behind more than one of them.
 *
 * Thread: link_* functions may be called from one owning thread per set; events come through the mailbox. */
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
    LINK_FRAME_MAX =
        (4 << 20) + (1 << 16), // body of the largest frame: a submit of WIRE_IDS_MAX ids
    LINK_LINKS_MAX = 4096      // of one set
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
    enum wire_type type; // of a FRAME
    const uint8_t *body; // of a FRAME; lives as long as the event
    size_t size;
    char reason[128]; // of a DOWN
};

struct links; // a set of links with one mailbox

/* Events go to `inbox`, which outlives the set. `handed over` is never refused: when the inbox is full,
 * the reading of that link pauses (backpressure) until link_resume() is called after taking. */
enum err links_new(struct links **out, struct mailbox *inbox);
/* Closes every link, waits for NNG to let go; no event is put after it returns. */
void links_free(struct links *links);

/* Accept links at `url` ("tcp://0.0.0.0:7400", "ipc:///path"); ERR_IO names the address and the cause.
 * `bound_url` (may be NULL) gets the address with the real port when 0 was asked. */
enum err links_listen(struct links *links, const char *url, char bound_url[WIRE_URL_MAX]);
/* Keep a link to `url` up, for ever; *dialer gets its number. */
enum err links_dial(struct links *links, const char *url, size_t *dialer);

/* Queue a message. ERR_BUSY: the queue is full, and the link is being closed; ERR_NOT_FOUND: no such link (any more).
 * `urgent` overtakes what is queued (heartbeats, cancels). */
enum err link_send(struct links *links, uint64_t link, const struct wire_message *message,
                   bool urgent);
/* Unsent bytes: a sender of many fragments waits while this is high. */
size_t link_backlog(struct links *links, uint64_t link);
void link_close(struct links *links, uint64_t link, const char *reason);
/* Close links that have been silent for LINK_SILENCE_MS; call it every ~100 ms with now. A caller whose own
 * loop stalled for longer than LINK_SILENCE_MS / 2 must drain its inbox before it calls this. */
void links_check(struct links *links, uint64_t now_ns);

void link_event_free(struct link_event *event);

#endif

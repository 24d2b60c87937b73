/* tests/unit/node/service/caller.h -- the scheduler that a node's test plays: a link on which it listens, what has come over it, and
 * its heartbeats.
 *
 *      caller_open --> (a node dials) --> caller_await --> caller_tell, caller_message … --> caller_close
 *
 * Waits have a limit after which they fail; nothing depends on how long a thing takes. */
#ifndef TESTS_UNIT_NODE_SERVICE_CALLER_H
#define TESTS_UNIT_NODE_SERVICE_CALLER_H

#include "wire/message.h"

#include "base/arena.h"

#include <stdint.h>

struct link_event;
struct links;
struct mailbox;

struct caller {
    struct mailbox *inbox;
    struct links *links;
    uint64_t link;            // to the node; 0: it has not dialed yet
    uint64_t heard_ns;        // when our last heartbeat went
    struct link_event *event; // of the message that was read last
    struct arena arena;
};

/* Listen; where is written into `url`. */
void caller_open(struct caller *caller, char url[WIRE_URL_MAX]);
/* After the node has gone. */
void caller_close(struct caller *caller);

/* A node dials: its HELLO. */
struct wire_message caller_await(struct caller *caller);
/* The next event; it lives until the one after it is asked for. */
struct link_event *caller_event(struct caller *caller);
/* The next message, which is of this type, as what it borrows is until the next one. Heartbeats, loads, deltas of the cache and states
 * of shards are read over, unless one of those is what is waited for. */
struct wire_message caller_message(struct caller *caller, enum wire_type type);
void caller_tell(struct caller *caller, const struct wire_message *message);
void caller_submit(struct caller *caller, const struct wire_submit *submit);

#endif

/* scheduler/state/idem.h -- what Redis remembers of an answer that its client may ask for again: out of what it is made,
 * who makes it now, and what was charged for it.
 *
 *      nothing --claim--> RUNNING --release--> FREE --claim--> RUNNING …     until the record's time is over
 *                            |
 *                            +--claim: the attempt is told to let go, and does ----------------------> RUNNING
 *                            +--claim: its scheduler gives no sign of life, or its time is up -------> RUNNING
 *
 * A record belongs to (tenant, user, key); Redis sees of the three, and of the request's body, keyed hashes alone. It is
 * made by the first claim, and says the same to every later one, on any scheduler. One attempt runs at a time, and the newest
 * request has it: a client asks again because the connection that it had is no good any more, whether its scheduler has seen that
 * or not. So a claim that meets a running attempt tells it to let go (`taken`), at this scheduler or, by the way of its pulse
 * (pulse.h), at another, and looks again until the record is free; a scheduler that was killed is out after PULSE_ALIVE_MS.
 * The claim is refused (ERR_CONFLICT) when the attempt does not let go in time, or was asked for later than this one. Who was
 * asked when is told by Redis' clock, at the first look. An attempt that was thought dead and lives on finds its ticket
 * taken: it changes nothing any more.
 *
 * Thread: the loop's. Answers come once, later, unless the ticket is dropped. */
#ifndef SCHEDULER_STATE_IDEM_H
#define SCHEDULER_STATE_IDEM_H

#include "scheduler/state/facts.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct store;
struct idems;
struct idem_ticket;

enum {
    IDEM_SECRET_SIZE = 32,
    IDEM_TRIES_MAX = 64, // claims of one record
    IDEM_LOOK_MS = 100,  // between two looks at a running attempt
    IDEM_LOOKS_MAX = 24  // before a claim gives up
};

struct idem_options {
    struct event_base *base;
    struct store *store;
    const unsigned char *secret; // [IDEM_SECRET_SIZE], the same for all schedulers; copied
    uint32_t ttl_seconds;        // of a record, from the last claim or release
    uint64_t run_ms;             // the most that one attempt may take
};

struct idems *idems_new(const struct idem_options *options);
/* After the store: every command has been answered by then. */
void idems_free(struct idems *idems);

/* What attempts learn on their way. */
struct idem_mark {
    uint64_t paid;       // tokens that attempts were charged, or have reserved
    uint32_t max_tokens; // that a choice may have; 0: not known yet
    bool has_base;       // of a session:
    uint64_t version;    // that it had before the first attempt
    char ground
        [DIGEST_TEXT_SIZE]; // of what the prompt is grounded on; "": nothing, or not known yet
};

struct idem_record {
    struct facts facts;
    bool again; // there was an attempt before
    struct idem_mark mark;
};

struct idem_asked {
    const char *tenant, *user, *key;
    const char *path; // of the request: another one is another request
    const char *body;
    size_t body_size;
    const char *rules; // by which it is answered: others make it another request; NULL: none
    bool known;        // there must be a record
};

/* `record` is NULL with any error, and the ticket dead. ERR_CONFLICT: another attempt runs, and does not let go; ERR_MISMATCH: the key stands
 * for another request; ERR_NOT_FOUND: `known`, and there is no record; ERR_LIMITED: claimed IDEM_TRIES_MAX times;
 * ERR_STORE_AWAY. */
typedef void idem_claimed_fn(void *argument, enum err err, const struct idem_record *record);
/* A newer request wants the attempt that runs: idem_release() the ticket, now or as soon as can be. Called again until then. */
typedef void idem_taken_fn(void *argument);
/* `facts`: those of the record, should there be none. Copied, as all texts. */
struct idem_ticket *idem_claim(struct idems *idems, const struct idem_asked *asked,
                               const struct facts *facts, idem_claimed_fn *done,
                               idem_taken_fn *taken, void *argument);
/* Nobody waits for the claim any more; if it succeeds it is released unchanged. */
void idem_drop(struct idem_ticket *ticket);

/* What the record shall hold should this scheduler die: to be said before it is done. */
void idem_set(struct idem_ticket *ticket, const struct idem_mark *mark);

/* The attempt has ended, all are charged `paid` tokens. The ticket is dead. */
void idem_release(struct idem_ticket *ticket, uint64_t paid);

#endif

/* scheduler/state/store_link.h -- one connection to one Redis or Sentinel: greeting, commands in order, deadlines.
 *
 *              aim, or the pause is over       PONG, and ROLE says "master" where that is asked for
 *      AWAY ----------------------------> GREETING ----------------------------------------------> UP
 *        ^                                   |                                                     |
 *        +------------- refused, broken, a reply that is late, store_link_break() -----------------+
 *
 * A link that has an address tries for ever, with a pause that grows from 100 ms to 1 s and begins anew with each
 * success and each new address. Redis answers in order: when the oldest command is late, the connection is of no use
 * any more.
 *
 * Thread: the loop's. The seams are called from the loop, `down` from store_link_break() and store_link_aim() too. */
#ifndef SCHEDULER_STATE_STORE_LINK_H
#define SCHEDULER_STATE_STORE_LINK_H

#include "scheduler/state/store.h"

#include <stdbool.h>
#include <stdint.h>

struct command;
struct event_base;
struct redisReply;
struct store_link;

struct store_link_seams {
    void (*up)(void *owner, struct store_link *link);
    /* A connection that was up, or an attempt, has ended. */
    void (*down)(void *owner, struct store_link *link);
    /* The command is the owner's again. `reply` NULL: the connection broke, and command->failure says what that is to
     * the asker (ERR_STORE_AWAY or ERR_TIMEOUT). Borrowed until the function returns. */
    void (*answered)(void *owner, struct store_link *link, struct command *command,
                     const struct redisReply *reply);
};

struct store_link_options {
    struct event_base *base;
    const char *password;                 // NULL or "": none; borrowed
    uint32_t timeout_ms;                  // of a greeting, and of a reply
    const char *what;                     // "redis", "sentinel": for the log
    bool quiet;                           // log refusals only
    bool master;                          // only a master will do
    const struct store_link_seams *seams; // borrowed
    void *owner;
};

enum store_link_state {
    STORE_LINK_AWAY,
    STORE_LINK_GREETING,
    STORE_LINK_UP
};

/* Without an address: nothing happens before store_link_aim(). */
struct store_link *store_link_new(const struct store_link_options *options);
/* What is pending is answered with no reply. Not from inside of a seam. */
void store_link_free(struct store_link *link);
/* Connect there, now; another connection is given up. NULL: nowhere any more. */
void store_link_aim(struct store_link *link, const struct store_address *address);
/* Whether it is aimed there. */
bool store_link_aims_at(const struct store_link *link, const struct store_address *address);
const struct store_address *store_link_address(const struct store_link *link);
enum store_link_state store_link_state(const struct store_link *link);
/* Give the connection up and connect again: what answers there is not what we want. */
void store_link_break(struct store_link *link, const char *reason);
/* To be called every 50 ms or so: deadlines and attempts. */
void store_link_tick(struct store_link *link, uint64_t now_ns);
/* Put into the socket what it still takes. */
void store_link_flush(struct store_link *link);

/* Send it, `asking`: after ASKING. False, and it stays the caller's, when the link is not up. Never answers from
 * inside. */
bool store_link_send(struct store_link *link, struct command *command, bool asking);
/* Commands that wait for their reply. */
size_t store_link_pending(const struct store_link *link);
/* SCRIPT LOAD, when it is up; the reply fills in the SHA-1. */
void store_link_load(struct store_link *link, struct store_script *script);

/* What a WAIT can say about this link (store_command()): whether it has answered a command well since the last
 * store_link_settle(), and whether the connection that did is gone. */
bool store_link_is_unsettled(const struct store_link *link);
bool store_link_has_lost(const struct store_link *link);
void store_link_settle(struct store_link *link);

#endif

/* scheduler/state/store_sentinel.h -- who is the master, asked of all Sentinels that are named.
 *
 * There is a connection to each Sentinel, and over it the question of the published client protocol, SENTINEL
 * get-master-addr-by-name: each 200 ms, and each 100 ms while the master is not well. (Asking is chosen over the
 * subscription to +switch-master: it notices a dead connection by its deadline and needs no second one.)
 *
 *      the master is well       another address is believed when a Sentinel changes its answer to it, as that is
 *                               news; or when more of them have named it than the present one for 2.5 s
 *      an attempt is under way  nothing
 *      it has failed            any other address that is named is tried; that master's ROLE has the last word
 *
 * So a Sentinel that knows less than the others, or learns later, moves nobody, and one that knows of the failover
 * first is heard. Answers count for 3 s.
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_STATE_STORE_SENTINEL_H
#define SCHEDULER_STATE_STORE_SENTINEL_H

#include "scheduler/state/store.h"
#include "scheduler/state/store_link.h"

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct store_sentinel;

struct store_sentinel_options {
    struct event_base *base;
    const struct store_address *addresses; // of the Sentinels; copied
    size_t count;                          // 1 to STORE_ADDRESSES_MAX
    const char *master;                    // its name there; borrowed
    const char *password;                  // as in store_link_options; borrowed
    uint32_t timeout_ms;
    /* The master is there now; from the loop. */
    void (*moved)(void *owner, const struct store_address *address);
    void *owner;
};

struct store_sentinel *store_sentinel_new(const struct store_sentinel_options *options);
/* Not from inside of `moved`. */
void store_sentinel_free(struct store_sentinel *sentinel);
/* To be called every 50 ms or so. `master`: how the link to the address that was told fares. */
void store_sentinel_tick(struct store_sentinel *sentinel, uint64_t now_ns,
                         enum store_link_state master);

/* What the choice is made of, for its test. */
struct store_sentinel_vote {
    struct store_address address;
    bool counts; // it was answered lately
};

/* The address that is better than `present` (NULL at the start); NULL: none is. `trouble`: any other is. */
const struct store_address *store_sentinel_choose(const struct store_sentinel_vote *votes,
                                                  size_t count, const struct store_address *present,
                                                  bool trouble);

#endif

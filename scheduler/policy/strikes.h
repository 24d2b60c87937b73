/* scheduler/policy/strikes.h -- users who were blocked too often are let in again later.
 *
 * A blocked text is a strike for its user, or for the key where no user is named. As many as the rules say within their time suspend who
 * has them, on every scheduler. Redis names nobody (state/owner.h), and keeps both keys no longer than their time:
 *
 *      qiao:{u:OWNER}:strikes     string   how many there are; goes after strike_seconds from the first
 *      qiao:{u:OWNER}:suspended   string   "1"; goes after suspend_seconds
 *
 * Every call answers once, from the loop, unless its ticket was dropped. Thread: the loop's. */
#ifndef SCHEDULER_POLICY_STRIKES_H
#define SCHEDULER_POLICY_STRIKES_H

#include "scheduler/policy/rules.h"
#include "scheduler/state/owner.h"

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct store;
struct strikes;
struct strikes_ticket;

struct strikes *strikes_new(struct store *store, const unsigned char root[OWNER_ROOT_SIZE]);
void strikes_free(struct strikes *strikes);

/* Who: a user of a tenant, or with user "" the key of this id. */
struct strikes_who {
    const char *tenant, *user, *key;
};

/* `left_ms`: how long the suspension still lasts; 0: there is none. ERR_STORE_AWAY: nobody knows. */
typedef void strikes_fn(void *argument, enum err err, uint64_t left_ms);
struct strikes_ticket *strikes_ask(struct strikes *strikes, const struct strikes_who *who,
                                   strikes_fn *done, void *argument);
/* One more, by these rules; `left_ms` as above, if this one suspends. Nothing happens where the rules count none: then `done` hears 0. */
struct strikes_ticket *strikes_add(struct strikes *strikes, const struct strikes_who *who,
                                   const struct rules_filter *rules, strikes_fn *done,
                                   void *argument);
/* Let in again, and with no strikes; `left_ms` is 0 where there was nothing to forgive. */
struct strikes_ticket *strikes_forgive(struct strikes *strikes, const struct strikes_who *who,
                                       strikes_fn *done, void *argument);

/* What is kept of them, for the user to see: how many strikes, and how long a suspension lasts. NULL with an error. */
struct strikes_kept {
    uint64_t count, left_ms;
};

typedef void strikes_kept_fn(void *argument, enum err err, const struct strikes_kept *kept);
struct strikes_ticket *strikes_read(struct strikes *strikes, const struct strikes_who *who,
                                    strikes_kept_fn *done, void *argument);
/* Nobody asks any more; a strike is added all the same. */
void strikes_drop(struct strikes_ticket *ticket);

#endif

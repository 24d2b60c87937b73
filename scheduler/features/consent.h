/* scheduler/features/consent.h -- what a user has agreed to, purpose by purpose; nothing until they do.
 *
 *      history           events are kept
 *      recommendations   the history may be used there, as for the next two
 *      search
 *      assistant
 *      partner:SOURCE    a second party's events are taken from its feeds
 *
 * and one switch beside them, personalization: on until it is turned off; off beats every purpose, and deletes nothing. A
 * consent that is withdrawn deletes: `history` the user's events, `partner:SOURCE` that source's. It is one hash in Redis in
 * the user's slot, and cached nowhere: what is withdrawn holds for the next question. A script that reads or writes a history
 * looks into the same hash first (events.h, history.h), so nothing comes between.
 *
 * What a partner calls the user is kept as a keyed hash of it alone, which differs from source to source:
 *
 *      qiao:{u:OWNER}:consent   hash     purpose -> ms since 1970 when it was given; personalization -> 0; link:SOURCE -> LINK
 *      qiao:{p:LINK}            string   OWNER
 *
 * Every call answers once, from the loop, unless its ticket was dropped; a write still happens. Thread: the loop's. */
#ifndef SCHEDULER_FEATURES_CONSENT_H
#define SCHEDULER_FEATURES_CONSENT_H

#include "scheduler/state/owner.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct consents;
struct consent_ticket;
struct store;

enum consent_purpose {
    CONSENT_HISTORY,
    CONSENT_RECOMMENDATIONS,
    CONSENT_SEARCH,
    CONSENT_ASSISTANT,
    CONSENT_PURPOSES
};

enum {
    CONSENT_PARTNERS_MAX = 16, // of one user
    CONSENT_SOURCE_MAX = 32,   // bytes: lower-case letters, digits, '-', '_'
    CONSENT_PSEUDONYM_MAX = 128,
    CONSENT_LINK_SIZE = 33, // of a LINK: 32 hexadecimal digits and a NUL
    CONSENT_KEY_SIZE = 96   // of any key of a user's here
};

struct consent_partner {
    char source[CONSENT_SOURCE_MAX + 1];
    int64_t since_ms;
};

struct consent_state {
    bool personalization;
    int64_t since_ms[CONSENT_PURPOSES]; // 0: not given
    struct consent_partner partners[CONSENT_PARTNERS_MAX];
    size_t partner_count;
};

/* Whether it holds now: given, and personalization is on. */
bool consent_holds(const struct consent_state *state, enum consent_purpose purpose);
/* "history", …; and back: false for none of them. */
const char *consent_name(enum consent_purpose purpose);
bool consent_find(const char *name, enum consent_purpose *out);
/* A partner's name is well formed. */
bool consent_is_source(const char *name);

struct consents *consents_new(struct store *store, const unsigned char root[OWNER_ROOT_SIZE]);
void consents_free(struct consents *consents);
const struct owner_key *consents_owner_key(const struct consents *consents);

typedef void consent_fn(void *argument, enum err err, const struct consent_state *state);
struct consent_ticket *consent_read(struct consents *consents, const char *tenant, const char *user,
                                    consent_fn *done, void *argument);

enum consent_wish {
    CONSENT_KEEP, // as it is
    CONSENT_GIVE,
    CONSENT_WITHDRAW
};

struct consent_change {
    enum consent_wish personalization; // give: on, withdraw: off
    enum consent_wish purposes[CONSENT_PURPOSES];

    struct {
        const char *source;
        enum consent_wish wish;
        const char *pseudonym; // of a partner that is given: what it calls the user
    } partners[CONSENT_PARTNERS_MAX];

    size_t partner_count;
};

/* Answers with the state after it. ERR_TOO_LARGE when a user would have more partners than there may be. */
struct consent_ticket *consent_change(struct consents *consents, const char *tenant,
                                      const char *user, const struct consent_change *change,
                                      consent_fn *done, void *argument);
void consent_drop(struct consent_ticket *ticket);

/* The key that leads from a partner's pseudonym to its user. */
void consent_link_key(const struct consents *consents, const char *tenant, const char *source,
                      const char *pseudonym, char out[CONSENT_KEY_SIZE]);
/* A link leads nowhere any more, where it led to OWNER; `done` is a store_reply_fn, or NULL. */
struct redisReply;
void consent_unlink(const struct consents *consents, const char *owner, const char *link,
                    void (*done)(void *argument, enum err err, const struct redisReply *reply),
                    void *argument);

#endif

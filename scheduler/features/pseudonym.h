/* scheduler/features/pseudonym.h -- whom a partner means: its names to OWNERs, and tokens that count once.
 *
 *      qiao:{p:LINK}   string OWNER    (consent.h)
 *      qiao:{j:HASH}   string OWNER    who has used a token, until it is over; HASH is made of tenant, source and its id
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_FEATURES_PSEUDONYM_H
#define SCHEDULER_FEATURES_PSEUDONYM_H

#include "scheduler/state/owner.h"

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct consents;
struct pseudonyms;
struct store;

struct pseudonyms *pseudonyms_new(struct store *store, const struct consents *consents);
void pseudonyms_free(struct pseudonyms *pseudonyms);

/* Answers once, from the loop: owners[i] is whom names[i] means, "" nobody. Names are borrowed until the return. */
typedef void pseudonyms_fn(void *argument, enum err err, char (*owners)[OWNER_TEXT_SIZE]);
void pseudonyms_find(struct pseudonyms *pseudonyms, const char *tenant, const char *source,
                     const char *const *names, size_t count, pseudonyms_fn *done, void *argument);

/* Use a token up, for OWNER: ERR_OK when it was not used, or by OWNER itself; ERR_CONFLICT when somebody else has. */
typedef void pseudonyms_used_fn(void *argument, enum err err);
void pseudonyms_use(struct pseudonyms *pseudonyms, const char *tenant, const char *source,
                    const char *id, const char *owner, uint32_t ttl_seconds,
                    pseudonyms_used_fn *done, void *argument);

#endif

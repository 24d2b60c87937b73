/* scheduler/features/follower.h -- a collection's copy in this scheduler's memory, and how old it is.
 *
 *      START --version, token, settings--> SCAN --HSCAN to its end--> FOLLOW --each 50 ms: what has changed since?--+
 *        ^                                   |                           |  ^                                      |
 *        |                                   |                           |  +--------------------------------------+
 *        +------- Redis went away -----------+                           |
 *        +------- a gap, or another history (a failover) ----------------+
 *
 * A change is read with its documents as they are by then: what is told is never older than the version, and may be newer.
 * A version is known by its number and its token: a Redis that lost writes and made others under the same numbers is
 * noticed. While Redis is away the copy stays as it is, and grows older. Thread: the loop's. */
#ifndef SCHEDULER_FEATURES_FOLLOWER_H
#define SCHEDULER_FEATURES_FOLLOWER_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct collections;
struct follower;
struct follower_wait;

enum {
    FOLLOWER_POLL_MS = 50
};

/* Who keeps the copy. All texts are borrowed until the function returns; none of them may free the follower. */
struct follower_sink {
    /* Nothing of what was told holds any more; all of it comes again. */
    void (*reset)(void *owner);
    /* After each reset, before the first document, and at each change. NULL: there are none. May be absent. */
    void (*settings)(void *owner, const char *text, size_t size);
    void (*put)(void *owner, const char *id, size_t id_size, const char *record, size_t size);
    void (*drop)(void *owner, const char *id, size_t id_size);
    /* The copy is whole and at this version, which is 0 where there is no collection. */
    void (*caught_up)(void *owner, uint64_t version);
    /* False: only settings and versions are wanted, no documents. Asked behind each settings(). May be absent: true. */
    bool (*wants)(void *owner);
    /* True: tell no more until it is false (asked each FOLLOWER_POLL_MS). May be absent: never. */
    bool (*is_full)(void *owner);
};

/* `sink` is borrowed for its life. The first reset() comes from the loop. */
struct follower *follower_new(struct collections *collections, const char *name,
                              const struct follower_sink *sink, void *owner);
/* Those who wait are told ERR_CANCELED. Before the store is freed. */
void follower_free(struct follower *follower);

/* Whether the copy is whole, and the version it is at; false after a reset() until caught_up(). */
bool follower_is_whole(const struct follower *follower);
uint64_t follower_version(const struct follower *follower);
/* Of the change that made this version; borrowed. */
const char *follower_token(const struct follower *follower);
/* Begin anew, with a reset(). */
void follower_restart(struct follower *follower);
/* The copy is at this version, of this token, and goes on from there with documents; where that cannot be, it begins anew. */
void follower_resume(struct follower *follower, uint64_t version, const char *token);
/* Since Redis said last that there is nothing newer. */
uint64_t follower_age_ms(const struct follower *follower);
/* There may be news: ask now. */
void follower_kick(struct follower *follower);

/* Tell when the copy is whole and at `version` or a later one, which it is not yet; or ERR_TIMEOUT. From the loop. */
typedef void follower_reached_fn(void *argument, enum err err);
struct follower_wait *follower_await(struct follower *follower, uint64_t version,
                                     uint32_t timeout_ms, follower_reached_fn *done,
                                     void *argument);
/* It waits no more, and is not told. */
void follower_leave(struct follower_wait *wait);

#endif

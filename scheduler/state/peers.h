/* scheduler/state/peers.h -- the other schedulers of the cluster, known through Redis.
 *
 * Each scheduler writes its link URL into one sorted set ("qiao:{schedulers}", docs/redis.md),
 * scored with the time, by Redis' clock, at which the entry is over; it renews it each second and
 * reads the others at the same time. Nodes learn the list with WELCOME. For discovery only: who
 * lives is decided by the links. While Redis is away the list stays as it was last seen.
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_STATE_PEERS_H
#define SCHEDULER_STATE_PEERS_H

#include <stddef.h>
#include <stdint.h>

struct event_base;
struct peers;
struct store;

enum {
    PEERS_MAX = 64,      // others that are told
    PEERS_URL_MAX = 256, // bytes of a URL, the NUL included
    PEERS_RENEW_MS = 1000,
    PEERS_TTL_MS = 5000
};

/* `url`: how nodes reach this scheduler. */
struct peers *peers_new(struct event_base *base, struct store *store, const char *url);
/* This scheduler is going away: take the entry back at once, if Redis is there (else it is over soon), and
 * renew it no more. */
void peers_leave(struct peers *peers);
/* Leaves, too. */
void peers_free(struct peers *peers);
/* How nodes reach this scheduler. */
const char *peers_own(const struct peers *peers);
/* Fill `out` with the others' URLs; how many. Borrowed until the loop turns. */
size_t peers_list(const struct peers *peers, const char *out[PEERS_MAX]);
/* How many times one that was not listed before has come: who has told the list on tells it again when this grows. */
uint64_t peers_news(const struct peers *peers);

#endif

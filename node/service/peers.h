/* node/service/peers.h -- the links that are up, and what goes out on them by the clock.
 *
 *      HEARTBEAT   every LINK_HEARTBEAT_MS
 *      LOAD        after it changed, PEERS_LOAD_MS after the last one at the soonest
 *      CACHE_DELTA with the same rests, while there is something to tell and the link's backlog is low
 *      SHARD_STATE after what the shelf holds has changed, with the same rests; and each PEERS_SHARDS_MS while it holds anything
 *      PACK_PART   while a scheduler wants the text pack and the link's backlog is low
 *
 * Thread: the service's. Time is an argument. */
#ifndef NODE_SERVICE_PEERS_H
#define NODE_SERVICE_PEERS_H

#include "node/service/cached.h"

#include "base/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct links;
struct shelf;
struct wire_load;

enum {
    PEERS_MAX = 128,
    PEERS_LOAD_MS = 50,
    PEERS_PACK_MS = 2, // between two looks at a full link
    PEERS_SHARDS_MS = 1000,
    PEERS_BACKLOG = 1 << 20 // unsent bytes of a link above which the pack waits
};

struct peer {
    uint64_t link;
    uint32_t held; // submits that have not ended
    uint64_t beats;
    bool load_is_old;
    uint64_t load_sent_ns;
    struct cached_place cached; // how far it has been told of the cache
    uint64_t cached_sent_ns;
    uint64_t shards_told; // shelf_changes() of the latest SHARD_STATE, plus 1; 0: none yet
    uint64_t shards_sent_ns;
    bool wants_pack;
    uint64_t pack_offset;
};

struct peers {
    struct links *links;
    struct digest pack_digest;
    const uint8_t *pack; // the owner's
    size_t pack_size;
    struct shelf *shelf; // the owner's; NULL: none
    uint64_t beat_ns;    // when the next heartbeat is due
    struct peer list[PEERS_MAX];
    size_t count;
};

/* NULL: the list is full. */
struct peer *peers_add(struct peers *peers, uint64_t link);
/* NULL: it is not up. Valid until the next add or remove. */
struct peer *peers_find(struct peers *peers, uint64_t link);
void peers_remove(struct peers *peers, struct peer *peer);

void peers_load_changed(struct peers *peers);
/* False: it is not time yet. */
bool peers_beat(struct peers *peers, uint64_t now_ns, uint32_t step_age_ms, bool draining);
void peers_send_load(struct peers *peers, uint64_t now_ns, const struct wire_load *load);
void peers_send_cached(struct peers *peers, uint64_t now_ns, struct cached *cached);
void peers_send_shards(struct peers *peers, uint64_t now_ns);
void peers_send_pack(struct peers *peers);
/* When one of the five has something to do again. */
uint64_t peers_wake_ns(const struct peers *peers, uint64_t now_ns, const struct cached *cached);
/* Unsent bytes, over all links. */
size_t peers_backlog(const struct peers *peers);

#endif

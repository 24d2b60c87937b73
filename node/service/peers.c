#include "node/service/peers.h"

#include "node/shelf/shelf.h"

#include "wire/link.h"

#include "base/clock.h"

struct peer *peers_add(struct peers *peers, uint64_t link)
{
    if (peers->count == PEERS_MAX) return NULL;
    struct peer *peer = &peers->list[peers->count++];
    *peer = (struct peer){.link = link, .load_is_old = true};
    return peer;
}

struct peer *peers_find(struct peers *peers, uint64_t link)
{
    for (size_t i = 0; i < peers->count; i++) {
        if (peers->list[i].link == link) return &peers->list[i];
    }
    return NULL;
}

void peers_remove(struct peers *peers, struct peer *peer)
{
    *peer = peers->list[--peers->count];
}

void peers_load_changed(struct peers *peers)
{
    for (size_t i = 0; i < peers->count; i++)
        peers->list[i].load_is_old = true;
}

bool peers_beat(struct peers *peers, uint64_t now_ns, uint32_t step_age_ms, bool draining)
{
    if (now_ns < peers->beat_ns) return false;
    peers->beat_ns = now_ns + LINK_HEARTBEAT_MS * CLOCK_MS;
    for (size_t i = 0; i < peers->count; i++) {
        struct peer *peer = &peers->list[i];
        struct wire_message message = {.type = WIRE_HEARTBEAT,
                                       .heartbeat = {.count = peer->beats++,
                                                     .step_age_ms = step_age_ms,
                                                     .draining = draining}};
        (void)link_send(peers->links, peer->link, &message, true);
    }
    return true;
}

void peers_send_load(struct peers *peers, uint64_t now_ns, const struct wire_load *load)
{
    struct wire_message message = {.type = WIRE_LOAD, .load = *load};
    for (size_t i = 0; i < peers->count; i++) {
        struct peer *peer = &peers->list[i];
        if (!peer->load_is_old || now_ns < peer->load_sent_ns + PEERS_LOAD_MS * CLOCK_MS) continue;
        peer->load_is_old = false;
        peer->load_sent_ns = now_ns;
        (void)link_send(peers->links, peer->link, &message, false);
    }
}

/* All that there is to tell now, in parts. */
static void send_cached(struct peers *peers, struct peer *peer, struct cached *cached)
{
    struct wire_message message = {.type = WIRE_CACHE_DELTA};
    while (link_backlog(peers->links, peer->link) < PEERS_BACKLOG &&
           cached_next(cached, &peer->cached, &message.cache_delta))
        (void)link_send(peers->links, peer->link, &message, false);
}

void peers_send_cached(struct peers *peers, uint64_t now_ns, struct cached *cached)
{
    for (size_t i = 0; i < peers->count; i++) {
        struct peer *peer = &peers->list[i];
        if (now_ns < peer->cached_sent_ns + PEERS_LOAD_MS * CLOCK_MS) continue;
        if (cached_is_told(cached, &peer->cached)) continue;
        peer->cached_sent_ns = now_ns;
        send_cached(peers, peer, cached);
    }
}

/* When the next SHARD_STATE is due. */
static uint64_t shards_due_ns(const struct peers *peers, const struct peer *peer)
{
    if (!peers->shelf) return UINT64_MAX;
    uint64_t changes = shelf_changes(peers->shelf);
    if (peer->shards_told != changes + 1) return peer->shards_sent_ns + PEERS_LOAD_MS * CLOCK_MS;
    if (shelf_is_empty(peers->shelf)) return UINT64_MAX;
    return peer->shards_sent_ns + PEERS_SHARDS_MS * CLOCK_MS;
}

void peers_send_shards(struct peers *peers, uint64_t now_ns)
{
    for (size_t i = 0; i < peers->count; i++) {
        struct peer *peer = &peers->list[i];
        if (now_ns < shards_due_ns(peers, peer)) continue;
        struct wire_message message = {.type = WIRE_SHARD_STATE,
                                       .shard_state = shelf_state(peers->shelf)};
        peer->shards_told = shelf_changes(peers->shelf) + 1;
        peer->shards_sent_ns = now_ns;
        (void)link_send(peers->links, peer->link, &message, false);
    }
}

static void send_pack(struct peers *peers, struct peer *peer)
{
    while (peer->pack_offset < peers->pack_size &&
           link_backlog(peers->links, peer->link) < PEERS_BACKLOG) {
        size_t left = peers->pack_size - peer->pack_offset;
        struct wire_message message = {
            .type = WIRE_PACK_PART,
            .pack_part = {.pack = peers->pack_digest,
                          .total = peers->pack_size,
                          .offset = peer->pack_offset,
                          .bytes = peers->pack + peer->pack_offset,
                          .size = left < WIRE_PART_MAX ? left : WIRE_PART_MAX},
        };
        (void)link_send(peers->links, peer->link, &message, false);
        peer->pack_offset += message.pack_part.size;
    }
    peer->wants_pack = peer->pack_offset < peers->pack_size;
}

void peers_send_pack(struct peers *peers)
{
    for (size_t i = 0; i < peers->count; i++) {
        if (peers->list[i].wants_pack) send_pack(peers, &peers->list[i]);
    }
}

uint64_t peers_wake_ns(const struct peers *peers, uint64_t now_ns, const struct cached *cached)
{
    uint64_t wake_ns = peers->beat_ns;
    for (size_t i = 0; i < peers->count; i++) {
        const struct peer *peer = &peers->list[i];
        uint64_t load_ns = peer->load_sent_ns + PEERS_LOAD_MS * CLOCK_MS;
        uint64_t cached_ns = peer->cached_sent_ns + PEERS_LOAD_MS * CLOCK_MS;
        uint64_t pack_ns = now_ns + PEERS_PACK_MS * CLOCK_MS;
        uint64_t shards_ns = shards_due_ns(peers, peer);
        if (peer->load_is_old && load_ns < wake_ns) wake_ns = load_ns;
        if (!cached_is_told(cached, &peer->cached) && cached_ns < wake_ns) wake_ns = cached_ns;
        if (shards_ns < wake_ns) wake_ns = shards_ns;
        if (peer->wants_pack && pack_ns < wake_ns) wake_ns = pack_ns;
    }
    return wake_ns;
}

size_t peers_backlog(const struct peers *peers)
{
    size_t unsent = 0;
    for (size_t i = 0; i < peers->count; i++)
        unsent += link_backlog(peers->links, peers->list[i].link);
    return unsent;
}

#include "scheduler/features/search/filler.h"

#include "scheduler/core/fleet.h"
#include "scheduler/core/shards.h"
#include "scheduler/features/follower.h"
#include "scheduler/features/search/numbers.h"
#include "scheduler/features/search/vector.h"

#include "wire/message.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/must.h"

#include <inttypes.h>

enum {
    SHARDS_MAX = VECTOR_NUMBERS_MAX / SHARD_NUMBERS,
    PAUSE_MS =
        2000, // before a shard is sent again that a node does not say it has; doubled each time
    PAUSE_DOUBLINGS = 5
};

/* A shard: its name, and where it is or is to be. */
struct shard {
    uint64_t id;
    struct cargo *cargos;
};

/* The nodes that may hold shards, as they are at this tick. */
struct nodes {
    uint64_t links[FLEET_NODES_MAX], hashes[FLEET_NODES_MAX];
    size_t count;
};

struct filler {
    struct filler_options options;
    struct shard shards[SHARDS_MAX];
    uint32_t shard_count;    // with a name
    struct follower *stream; // of those that are FILLING
    bool stream_over;
    uint64_t version; // of the latest mark
    struct nodes nodes;
    struct filler_stats stats;
};

// ---- cargos ------------------------------------------------------------------------------------

static struct shard *shard_at(struct filler *filler, uint32_t index)
{
    must(index < SHARDS_MAX);
    while (filler->shard_count <= index) {
        filler->shards[filler->shard_count].id =
            shard_id(filler->options.collection, filler->options.epoch, filler->shard_count);
        filler->shard_count++;
    }
    return &filler->shards[index];
}

static struct cargo *find_cargo(const struct shard *shard, uint64_t link)
{
    struct cargo *cargo = shard->cargos;
    while (cargo && cargo->link != link)
        cargo = cargo->next;
    return cargo;
}

static void add_cargo(struct filler *filler, struct shard *shard, uint64_t link)
{
    struct cargo *cargo = mem_new(1, sizeof *cargo);
    *cargo = (struct cargo){.next = shard->cargos,
                            .road = filler->options.road,
                            .link = link,
                            .shard = shard->id,
                            .index = (uint32_t)(shard - filler->shards),
                            .size = filler->options.size,
                            .wanted = true};
    shard->cargos = cargo;
}

static void send_drop(const struct filler *filler, uint64_t link, uint64_t shard)
{
    struct wire_message message = {.type = WIRE_SHARD_DROP, .shard_drop = {.shard = shard}};
    (void)filler->options.road.send(filler->options.road.owner, link, &message, false);
}

static void remove_cargo(struct filler *filler, struct cargo **at, bool drops)
{
    struct cargo *cargo = *at;
    *at = cargo->next;
    if (drops) send_drop(filler, cargo->link, cargo->shard);
    cargo_free(cargo);
}

static bool is_held(const struct filler *filler, const struct cargo *cargo)
{
    const struct fleet_shard *held =
        fleet_find_shard(filler->options.fleet, cargo->link, cargo->shard);
    return held && held->version > 0;
}

void filler_put(struct filler *filler, const struct vector *vector)
{
    struct shard *shard = shard_at(filler, vector->number / SHARD_NUMBERS);
    for (struct cargo *cargo = shard->cargos; cargo; cargo = cargo->next)
        cargo_put(cargo, vector);
}

void filler_drop(struct filler *filler, uint32_t number)
{
    struct shard *shard = shard_at(filler, number / SHARD_NUMBERS);
    for (struct cargo *cargo = shard->cargos; cargo; cargo = cargo->next)
        cargo_drop(cargo, number);
}

void filler_mark(struct filler *filler, uint64_t version)
{
    filler->version = version;
    for (uint32_t i = 0; i < filler->shard_count; i++)
        for (struct cargo *cargo = filler->shards[i].cargos; cargo; cargo = cargo->next)
            if (cargo->state == CARGO_SETTLED) cargo_complete(cargo, version);
}

void filler_reset(struct filler *filler)
{
    filler->version = 0;
    for (uint32_t i = 0; i < filler->shard_count; i++)
        for (struct cargo *cargo = filler->shards[i].cargos; cargo; cargo = cargo->next)
            if (cargo->state == CARGO_SETTLED) cargo_stop(cargo);
}

bool filler_is_full(const struct filler *filler)
{
    for (size_t i = 0; i < filler->nodes.count; i++)
        if (filler->options.backlog(filler->options.road.owner, filler->nodes.links[i]) >
            FILLER_BACKLOG_MAX)
            return true;
    return false;
}

// ---- the reading of everything -----------------------------------------------------------------

/* A shard of a later version is of a history that Redis has lost: nothing of it counts. */
static void begin(struct filler *filler, struct cargo *cargo)
{
    const struct fleet_shard *held =
        fleet_find_shard(filler->options.fleet, cargo->link, cargo->shard);
    uint64_t version = filler->version > 0 ? filler->version : 1;
    bool keeps = held && held->version > 0 && held->version <= version;
    cargo_begin(cargo, !keeps, version);
}

static void on_reset(void *owner)
{
    struct filler *filler = owner;
    for (uint32_t i = 0; i < filler->shard_count; i++)
        for (struct cargo *cargo = filler->shards[i].cargos; cargo; cargo = cargo->next)
            if (cargo->state == CARGO_FILLING) begin(filler, cargo);
}

static void on_put(void *owner, const char *id, size_t id_size, const char *record, size_t size)
{
    struct filler *filler = owner;
    struct vector vector;
    (void)id, (void)id_size;
    if (filler->stream_over || !vector_read(&vector, record, size)) return;
    struct shard *shard = shard_at(filler, vector.number / SHARD_NUMBERS);
    for (struct cargo *cargo = shard->cargos; cargo; cargo = cargo->next)
        if (cargo->state == CARGO_FILLING) cargo_put(cargo, &vector);
}

/* What is deleted is told by filler_drop(). */
static void on_drop(void *owner, const char *id, size_t id_size)
{
    (void)owner, (void)id, (void)id_size;
}

static void on_caught_up(void *owner, uint64_t version)
{
    struct filler *filler = owner;
    uint64_t now_ns = clock_now_ns();
    if (filler->stream_over) return;
    filler->stream_over = true;
    // Deletions are known as of the other follower.
    if (filler->version < version) version = filler->version;
    for (uint32_t i = 0; i < filler->shard_count; i++) {
        for (struct cargo *cargo = filler->shards[i].cargos; cargo; cargo = cargo->next) {
            if (cargo->state != CARGO_FILLING) continue;
            cargo_complete(cargo, version);
            cargo->settled_ns = now_ns;
            filler->stats.fills++;
        }
    }
}

static bool is_full(void *owner)
{
    return filler_is_full(owner);
}

static const struct follower_sink sink = {.reset = on_reset,
                                          .put = on_put,
                                          .drop = on_drop,
                                          .caught_up = on_caught_up,
                                          .is_full = is_full};

/* Those that wait get all of it, one reading for all. */
static void start_stream(struct filler *filler, uint64_t now_ns)
{
    bool any = false;
    filler->stats.waiting = 0;
    if (filler->stream_over) {
        follower_free(filler->stream);
        filler->stream = NULL;
        filler->stream_over = false;
    }
    for (uint32_t i = 0; i < filler->shard_count; i++) {
        for (struct cargo *cargo = filler->shards[i].cargos; cargo; cargo = cargo->next) {
            filler->stats.waiting += cargo->state != CARGO_SETTLED;
            if (filler->stream || cargo->state != CARGO_WAITING || now_ns < cargo->wait_ns)
                continue;
            begin(filler, cargo);
            any = true;
        }
    }
    if (any)
        filler->stream =
            follower_new(filler->options.collections, filler->options.collection, &sink, filler);
}

// ---- who is to hold what -----------------------------------------------------------------------

static void look_at_nodes(struct filler *filler)
{
    struct nodes *nodes = &filler->nodes;
    nodes->count = 0;
    for (size_t i = 0; i < fleet_node_count(filler->options.fleet); i++) {
        const struct fleet_node *node = fleet_node_at(filler->options.fleet, i);
        if (node->state != FLEET_READY) continue;
        nodes->links[nodes->count] = node->link;
        nodes->hashes[nodes->count++] = node->name_hash;
    }
}

static bool is_linked(const struct filler *filler, uint64_t link)
{
    for (size_t i = 0; i < filler->nodes.count; i++)
        if (filler->nodes.links[i] == link) return true;
    return false;
}

/* It was sent long ago, and the node does not have it: no memory, or it has lost it. */
static void look_after(struct filler *filler, struct cargo *cargo, uint64_t now_ns)
{
    if (cargo->state != CARGO_SETTLED) return;
    if (is_held(filler, cargo)) {
        cargo->failures = 0;
        return;
    }
    if (filler->options.backlog(cargo->road.owner, cargo->link) > 0) cargo->settled_ns = now_ns;
    if (now_ns - cargo->settled_ns < FILLER_CONFIRM_MS * CLOCK_MS) return;
    const struct fleet_node *node = fleet_find_node(filler->options.fleet, cargo->link);
    log_warn("shard_not_held", "node=%s shard=%016" PRIx64 " collection=%s",
             node ? node->name : "?", cargo->shard, filler->options.collection);
    filler->stats.unheard++;
    cargo_stop(cargo);
    cargo->wait_ns = now_ns + (PAUSE_MS * CLOCK_MS << cargo->failures);
    if (cargo->failures < PAUSE_DOUBLINGS) cargo->failures++;
}

/* Mark who is wanted, and add who is missing; whether all of them hold it. */
static bool want(struct filler *filler, struct shard *shard)
{
    size_t chosen[SHARD_COPIES];
    size_t count = 0;
    bool all_hold = true;
    uint32_t index = (uint32_t)(shard - filler->shards);
    if (numbers_in_shard(filler->options.numbers, index) > 0)
        count = shard_place(shard->id, filler->nodes.hashes, filler->nodes.count, chosen);
    for (struct cargo *cargo = shard->cargos; cargo; cargo = cargo->next)
        cargo->wanted = false;
    for (size_t i = 0; i < count; i++) {
        uint64_t link = filler->nodes.links[chosen[i]];
        struct cargo *cargo = find_cargo(shard, link);
        if (cargo)
            cargo->wanted = true;
        else
            add_cargo(filler, shard, link);
        cargo = find_cargo(shard, link);
        all_hold &= cargo->state == CARGO_SETTLED && is_held(filler, cargo);
    }
    return all_hold;
}

/* Nodes that hold it and are not to: of an earlier filler, or of a time when there were fewer nodes. */
static void drop_strays(struct filler *filler, const struct shard *shard)
{
    for (size_t i = 0; i < filler->nodes.count; i++) {
        uint64_t link = filler->nodes.links[i];
        if (!find_cargo(shard, link) && fleet_find_shard(filler->options.fleet, link, shard->id))
            send_drop(filler, link, shard->id);
    }
}

static void tend(struct filler *filler, struct shard *shard, uint64_t now_ns)
{
    bool all_hold = want(filler, shard);
    struct cargo **at = &shard->cargos;
    while (*at) {
        struct cargo *cargo = *at;
        bool gone = cargo->broken || !is_linked(filler, cargo->link);
        if (!gone) look_after(filler, cargo, now_ns);
        if (gone || (!cargo->wanted && all_hold)) {
            filler->stats.bytes += cargo->bytes;
            remove_cargo(filler, at, !gone);
        } else {
            at = &cargo->next;
        }
    }
    if (all_hold) drop_strays(filler, shard);
}

void filler_tick(struct filler *filler, uint64_t now_ns)
{
    uint32_t count = numbers_shards(filler->options.numbers);
    look_at_nodes(filler);
    if (count > 0) (void)shard_at(filler, count - 1);
    for (uint32_t i = 0; i < filler->shard_count; i++)
        tend(filler, &filler->shards[i], now_ns);
    start_stream(filler, now_ns);
}

// ---- life --------------------------------------------------------------------------------------

struct filler *filler_new(const struct filler_options *options)
{
    struct filler *filler = mem_new(1, sizeof *filler);
    filler->options = *options;
    return filler;
}

void filler_free(struct filler *filler, bool drops)
{
    if (!filler) return;
    follower_free(filler->stream);
    for (uint32_t i = 0; i < filler->shard_count; i++) {
        while (filler->shards[i].cargos)
            remove_cargo(filler, &filler->shards[i].cargos, false);
        // What other schedulers' nodes hold of it is there for them as well.
        for (size_t n = 0; drops && n < fleet_node_count(filler->options.fleet); n++) {
            uint64_t link = fleet_node_at(filler->options.fleet, n)->link;
            if (fleet_find_shard(filler->options.fleet, link, filler->shards[i].id))
                send_drop(filler, link, filler->shards[i].id);
        }
    }
    mem_free(filler);
}

const struct filler_stats *filler_stats(const struct filler *filler)
{
    return &filler->stats;
}

/* scheduler/core/fleet.h -- the nodes that this scheduler knows, and which of them takes a request.
 *
 *      LINKED --hello--> READY <--drain/undrain--> DRAINING        any --down or silence--> gone
 *
 * A node is known by its link. What it said in HELLO is fixed for the life of the link; load and
 * heartbeats are soft state, as is what it has cached (index.h). Models are sets of digests under a name
 * (sets.h).
 *
 * Choice: among READY nodes that serve the model's current digests, have credit left and are not
 * excluded, the one that the policy takes (route.h).
 *
 * Pure: time and chance are arguments; no I/O. Thread: the loop's. */
#ifndef SCHEDULER_CORE_FLEET_H
#define SCHEDULER_CORE_FLEET_H

#include "scheduler/core/index.h"
#include "scheduler/core/route.h"
#include "scheduler/core/sets.h"

#include "wire/message.h"

#include "base/digest.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FLEET_NODES_MAX = 1024,
    FLEET_INDEX_BLOCKS = 1 << 18 // cached blocks of all nodes that are known, when it is not said
};

enum fleet_state {
    FLEET_READY,
    FLEET_DRAINING
};

struct fleet_node {
    uint64_t link;
    char name[WIRE_NAME_MAX + 1];
    char region[WIRE_NAME_MAX + 1];
    uint64_t instance;
    enum fleet_state state;
    struct wire_load load;
    uint32_t step_age_ms;
    uint32_t credits;       // what HELLO gave
    uint32_t in_air;        // our requests there, not ended
    uint64_t in_air_tokens; // prompt tokens of those that have not given an id yet
    uint32_t threads;
    uint64_t since_ns;    // of the HELLO
    uint64_t heard_ns;    // of the last message
    uint64_t draining_ns; // since when it is DRAINING
    uint64_t replaces;    // the instance that it will stand in for, by fleet_take_over(); 0: none
    uint32_t model_count;
    uint64_t name_hash;  // as shard_place() wants it
    uint64_t region_tag; // digest_tag()
};

struct fleet;

struct fleet_options {
    uint64_t seed;
    enum route_policy policy;
    size_t index_blocks; // of 32 bytes; 0: FLEET_INDEX_BLOCKS
};

struct fleet *fleet_new(const struct fleet_options *options);
void fleet_free(struct fleet *fleet);

/* A node introduced itself. ERR_INVALID: another protocol, or nothing to serve; ERR_CONFLICT: a
 * live node has this name; ERR_NO_MEMORY: FLEET_NODES_MAX. The caller then closes the link with the
 * note. */
enum err fleet_hello(struct fleet *fleet, uint64_t link, const struct wire_hello *hello,
                     uint64_t now_ns);
void fleet_load(struct fleet *fleet, uint64_t link, const struct wire_load *load, uint64_t now_ns);
void fleet_heartbeat(struct fleet *fleet, uint64_t link, const struct wire_heartbeat *beat,
                     uint64_t now_ns);
/* Forget the node. */
void fleet_down(struct fleet *fleet, uint64_t link, uint64_t now_ns);
/* Take it out of (or back into) the choice; ERR_NOT_FOUND names it. The caller sends WIRE_DRAIN. */
enum err fleet_drain(struct fleet *fleet, const char *node, bool on, uint64_t now_ns,
                     uint64_t *link);
enum err fleet_promote(struct fleet *fleet, const char *model, const struct digest *digest);

/* The current set under a name; NULL when no such model was seen. Borrowed until the next
 * change. */
const struct fleet_model *fleet_find_model(const struct fleet *fleet, const char *name,
                                           size_t size);
size_t fleet_model_count(const struct fleet *fleet);
const struct fleet_model *fleet_model_at(const struct fleet *fleet, size_t index);
size_t fleet_node_count(const struct fleet *fleet);
const struct fleet_node *fleet_node_at(const struct fleet *fleet, size_t index);
const struct fleet_node *fleet_find_node(const struct fleet *fleet, uint64_t link);

/* What the node at `index` serves, [face.model_count]; borrowed until the next change. */
const struct served *fleet_node_models(const struct fleet *fleet, size_t index);
/* The node stands in for the one that its HELLO said it replaces, from now on: that one is not chosen any more, and its models are
 * current as soon as half of the nodes have them. Until then it is a node beside the other, under the same name. */
void fleet_take_over(struct fleet *fleet, uint64_t link, uint64_t now_ns);

/* A shard of vectors that a node holds (shards.h). */
struct fleet_shard {
    uint64_t shard;
    uint64_t version; // of the vectors; 0: it is not whole
    uint32_t rows;
};

/* All shards that the node holds now, as it said. */
void fleet_shards(struct fleet *fleet, uint64_t link, const struct fleet_shard *shards,
                  size_t count);

/* And what they take there: bytes, of how many at most; parts that did not fit, or contradicted, since it began. */
struct fleet_shelf {
    uint64_t used, memory, refused;
};

void fleet_shelf(struct fleet *fleet, uint64_t link, const struct fleet_shelf *shelf);

/* Of all nodes together; a shard that lies on two counts twice. */
struct fleet_shelves {
    uint64_t shards, rows;
    struct fleet_shelf sum;
};

void fleet_shelves(const struct fleet *fleet, struct fleet_shelves *out);
/* Borrowed until the loop turns, here and below: by their ids; NULL: it holds none, or is no node. */
const struct fleet_shard *fleet_shards_of(const struct fleet *fleet, uint64_t link, size_t *count);
const struct fleet_shard *fleet_find_shard(const struct fleet *fleet, uint64_t link,
                                           uint64_t shard);

/* What a request needs of a node: a model, or shards. */
struct fleet_need {
    struct digest model, adapter, numerics;
    const uint64_t *shards; // the node holds all of them, and any model
    size_t shard_count;
    const uint64_t *regions; // digest_tag() of those where the node may be
    size_t region_count;     // 0: anywhere
    uint32_t tokens;         // of the prompt, and of what was emitted before
    const uint64_t *hashes;  // of its blocks, as far as they may be shared
    size_t hash_count;
    const uint64_t *excluded; // links that were tried
    size_t excluded_count;
    uint64_t now_ns;
};

struct fleet_choice {
    uint64_t link;
    uint32_t uncached; // tokens that it will have to compute
    uint64_t wait_ns;  // predicted, to the first id
};

/* Choose a node. ERR_UNAVAILABLE: no live node serves it, or none holds all of the shards; ERR_BUSY: those that do are out of
 * credit. */
enum err fleet_pick(struct fleet *fleet, const struct fleet_need *need,
                    struct fleet_choice *choice);
/* Whether the node is in one of these regions; of no regions it is. */
bool fleet_is_within(const struct fleet_node *node, const uint64_t *regions, size_t count);
/* Charged at dispatch, given back when the first id comes (tokens) and when the attempt ends (the
 * place). */
void fleet_charge(struct fleet *fleet, uint64_t link, uint32_t tokens);
void fleet_first_id(struct fleet *fleet, uint64_t link, uint32_t tokens);
void fleet_release(struct fleet *fleet, uint64_t link, uint32_t tokens, bool had_id,
                   uint64_t now_ns);

/* What the node has cached. ERR_FORMAT: deltas are missing, so that nothing that it said holds: close the link. */
enum err fleet_cache_delta(struct fleet *fleet, uint64_t link, const struct wire_cache_delta *delta,
                           uint64_t now_ns);
/* A request that was sent there will leave these blocks. */
void fleet_expect(struct fleet *fleet, uint64_t link, const uint64_t *hashes, size_t count,
                  uint64_t now_ns);
/* Every 100 ms or so. */
void fleet_tick(struct fleet *fleet, uint64_t now_ns);
struct index_stats fleet_index_stats(const struct fleet *fleet);

#endif

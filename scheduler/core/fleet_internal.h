/* scheduler/core/fleet_internal.h -- what the parts of fleet.h share; nobody else includes it.
 *
 *      fleet_place.c      what a request has to do with nodes: which one takes it, what it holds there
 *          |
 *      fleet_shards.c     the shards of vectors that they hold
 *          |
 *      fleet.c            the nodes, as they tell of themselves and as they are asked to drain
 *
 * Pure. Thread: the loop's. */
#ifndef SCHEDULER_CORE_FLEET_INTERNAL_H
#define SCHEDULER_CORE_FLEET_INTERNAL_H

#include "scheduler/core/fleet.h"
#include "scheduler/core/index.h"
#include "scheduler/core/route.h"
#include "scheduler/core/sets.h"

#include "base/rand.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    // Slots of the table that finds a node by its link: a power of two, never more than half full.
    FLEET_LINK_SLOTS = 2 * FLEET_NODES_MAX
};

struct node {
    struct fleet_node face;
    struct served *models;      // [face.model_count]
    uint16_t slot;              // its number in the index of blocks
    bool tells_blocks;          // its blocks are named as ours
    uint64_t deltas;            // that it has sent
    uint64_t ended_ns;          // when a request of ours ended there last
    double gap_ns;              // between two such ends, smoothed; 0: not known
    uint64_t unreported;        // tokens that we have sent since its latest LOAD
    bool drain_asked;           // by fleet_drain()
    bool drain_said;            // by its heartbeats
    struct fleet_shard *shards; // [shard_count] by their ids
    size_t shard_count;
    struct fleet_shelf shelf;
};

struct fleet {
    struct rand rand;
    struct node *nodes[FLEET_NODES_MAX];
    size_t node_count;
    uint16_t by_link[FLEET_LINK_SLOTS]; // 1 + position in nodes; 0: empty
    bool taken[FLEET_NODES_MAX];        // slots of the index of blocks
    struct sets sets;
    struct block_index *index;
    enum route_policy policy;
    uint64_t turn;                    // requests that were placed
    uint32_t depths[INDEX_NODES_MAX]; // of the request that is being placed
};

/* NULL when no node has the link. */
struct node *fleet_node_of(const struct fleet *fleet, uint64_t link);
/* Whether it holds all of the shards, whole. */
bool fleet_node_scans(const struct node *node, const uint64_t *shards, size_t count);

#endif

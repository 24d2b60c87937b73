#include "scheduler/core/fleet_internal.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static int by_id(const void *a, const void *b)
{
    uint64_t left = ((const struct fleet_shard *)a)->shard;
    uint64_t right = ((const struct fleet_shard *)b)->shard;
    return (left > right) - (left < right);
}

void fleet_shards(struct fleet *fleet, uint64_t link, const struct fleet_shard *shards,
                  size_t count)
{
    struct node *node = fleet_node_of(fleet, link);
    if (!node) return;
    mem_free(node->shards);
    node->shards = mem_new(count ? count : 1, sizeof *node->shards);
    if (count > 0) memcpy(node->shards, shards, count * sizeof *shards);
    qsort(node->shards, count, sizeof *node->shards, by_id);
    node->shard_count = count;
}

void fleet_shelf(struct fleet *fleet, uint64_t link, const struct fleet_shelf *shelf)
{
    struct node *node = fleet_node_of(fleet, link);
    if (node) node->shelf = *shelf;
}

void fleet_shelves(const struct fleet *fleet, struct fleet_shelves *out)
{
    *out = (struct fleet_shelves){0};
    for (size_t i = 0; i < fleet->node_count; i++) {
        const struct node *node = fleet->nodes[i];
        out->shards += node->shard_count;
        for (size_t j = 0; j < node->shard_count; j++)
            out->rows += node->shards[j].rows;
        out->sum.used += node->shelf.used;
        out->sum.memory += node->shelf.memory;
        out->sum.refused += node->shelf.refused;
    }
}

const struct fleet_shard *fleet_shards_of(const struct fleet *fleet, uint64_t link, size_t *count)
{
    const struct node *node = fleet_node_of(fleet, link);
    *count = node ? node->shard_count : 0;
    return node ? node->shards : NULL;
}

static const struct fleet_shard *find(const struct node *node, uint64_t shard)
{
    struct fleet_shard key = {.shard = shard};
    if (node->shard_count == 0) return NULL;
    return bsearch(&key, node->shards, node->shard_count, sizeof key, by_id);
}

const struct fleet_shard *fleet_find_shard(const struct fleet *fleet, uint64_t link, uint64_t shard)
{
    const struct node *node = fleet_node_of(fleet, link);
    return node ? find(node, shard) : NULL;
}

bool fleet_node_scans(const struct node *node, const uint64_t *shards, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct fleet_shard *shard = find(node, shards[i]);
        if (!shard || shard->version == 0) return false;
    }
    return true;
}

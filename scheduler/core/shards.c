#include "scheduler/core/shards.h"

#include "base/digest.h"
#include "base/must.h"
#include "base/rand.h"

#include <string.h>

static uint64_t first_bytes(const struct digest *digest)
{
    uint64_t value = 0;
    for (size_t i = 0; i < 8; i++)
        value |= (uint64_t)digest->bytes[i] << 8 * i;
    return value;
}

uint64_t shard_id(const char *name, uint64_t epoch, uint32_t index)
{
    uint8_t numbers[12];
    struct digester *digester = digester_new();
    for (size_t i = 0; i < sizeof numbers; i++)
        numbers[i] = (uint8_t)(i < 8 ? epoch >> 8 * i : index >> 8 * (i - 8));
    digester_add(digester, name, strlen(name));
    digester_add(digester, numbers, sizeof numbers);
    struct digest digest = digester_end(digester);
    uint64_t id = first_bytes(&digest);
    return id ? id : 1;
}

uint64_t shard_node_hash(const char *name)
{
    struct digest digest = digest_of(name, strlen(name));
    return first_bytes(&digest);
}

size_t shard_place(uint64_t shard, const uint64_t *hashes, size_t node_count,
                   size_t chosen[SHARD_COPIES])
{
    uint64_t weights[SHARD_COPIES];
    size_t count = 0;
    for (size_t node = 0; node < node_count; node++) {
        uint64_t weight = rand_at(hashes[node], 0, shard);
        size_t at = count;
        while (at > 0 && weights[at - 1] < weight)
            at--;
        if (at == SHARD_COPIES) continue;
        if (count < SHARD_COPIES) count++;
        for (size_t i = count - 1; i > at; i--) {
            weights[i] = weights[i - 1];
            chosen[i] = chosen[i - 1];
        }
        weights[at] = weight;
        chosen[at] = node;
    }
    return count;
}

/* How many shards that nobody takes yet a node has. */
static size_t worth(const bool *held, size_t shard_count, const uint16_t *takers)
{
    size_t count = 0;
    for (size_t shard = 0; shard < shard_count; shard++)
        count += held[shard] && takers[shard] == SHARD_NOBODY;
    return count;
}

size_t shard_cover(const bool *held, size_t node_count, size_t shard_count, uint64_t turn,
                   uint16_t *takers)
{
    size_t left = shard_count;
    must(node_count < SHARD_NOBODY);
    for (size_t shard = 0; shard < shard_count; shard++)
        takers[shard] = SHARD_NOBODY;
    while (left > 0 && node_count > 0) {
        size_t best = 0, most = 0;
        for (size_t i = 0; i < node_count; i++) {
            size_t node = (i + turn) % node_count;
            size_t count = worth(held + node * shard_count, shard_count, takers);
            if (count <= most) continue;
            most = count;
            best = node;
        }
        if (most == 0) break;
        for (size_t shard = 0; shard < shard_count; shard++)
            if (held[best * shard_count + shard] && takers[shard] == SHARD_NOBODY)
                takers[shard] = (uint16_t)best;
        left -= most;
    }
    return left;
}

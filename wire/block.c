#include "wire/block.h"

#include "base/rand.h"

#include <string.h>

uint64_t block_root(const struct digest *model, const struct digest *adapter)
{
    uint64_t root, other;
    memcpy(&root, model->bytes, sizeof root);
    memcpy(&other, adapter->bytes, sizeof other);
    return rand_at(root, 0, other);
}

uint64_t block_hash(uint64_t parent, uint64_t salt, const int32_t *ids)
{
    uint64_t hash = rand_at(parent, 0, salt);
    for (uint32_t i = 0; i < WIRE_BLOCK_TOKENS; i += 2)
        hash = rand_at(hash, (uint32_t)ids[i], (uint32_t)ids[i + 1]);
    return hash;
}

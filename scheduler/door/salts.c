#include "scheduler/door/salts.h"

#include "scheduler/core/order.h"
#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/keys.h"
#include "scheduler/policy/rules.h"

#include "wire/block.h"

#include "base/rand.h"

enum {
    SECOND_MS = 1000,
    AT_ITS_END_MS = 1
};

static uint32_t to_ms(uint32_t seconds)
{
    return seconds < UINT32_MAX / SECOND_MS ? seconds * SECOND_MS : UINT32_MAX;
}

uint64_t salts_of_user(const struct door *door, const char *tenant, const char *user)
{
    return keys_user_salt(door->keys, tenant, user);
}

void salts_fill(const struct door *door, const struct context *context, size_t opening_ids,
                struct flight_order *order)
{
    const struct rules_privacy *privacy = context->rules ? &context->rules->privacy : NULL;
    if (privacy && privacy->cache_seconds == 0) {
        order->salt = rand_entropy() | 1;
        order->own_salt = 0;
        order->cache_ms = AT_ITS_END_MS;
        return;
    }
    order->salt = context->salt;
    order->own_salt = *context->user ? salts_of_user(door, context->key->tenant, context->user) : 0;
    order->common_blocks = (uint32_t)(opening_ids / WIRE_BLOCK_TOKENS);
    order->cache_ms = privacy ? to_ms(privacy->cache_seconds) : 0;
}

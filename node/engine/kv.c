#include "node/engine/kv.h"

#include "node/engine/prefix.h"

#include "wire/message.h"

#include "base/mem.h"
#include "base/must.h"
#include "base/wipe.h"

#include <string.h>

struct kv_pool {
    struct kv_shape shape;
    unsigned char *memory; // [block_count][layer_count][kv_head_count][part_size]
    size_t memory_size;
    size_t part_size;  // bytes of one head's keys and values of one layer in one block
    size_t block_size; // bytes
    uint32_t *holders; // [block_count] tables in which each block stands
    uint32_t *free;    // [free_count] a stack of blocks that are neither held nor cached
    uint32_t free_count;
    struct prefix *prefix;
    uint64_t evicted;
    uint64_t now_ns; // of the latest kv_tick()
};

size_t kv_block_size(const struct kv_shape *shape)
{
    return attention_area_size(shape->kind, shape->head_dim) * shape->layer_count *
           shape->kv_head_count;
}

enum err kv_pool_new(struct kv_pool **out, const struct kv_shape *shape)
{
    must(shape->layer_count && shape->kv_head_count && shape->head_dim && shape->block_count);
    size_t block_size = kv_block_size(shape);
    if (shape->block_count > KV_BLOCKS_MAX || shape->block_count > SIZE_MAX / 2 / block_size) {
        return err_note(ERR_NO_MEMORY, "kv: %u blocks of %zu bytes are more than can be addressed",
                        shape->block_count, block_size);
    }
    size_t size = block_size * shape->block_count;
    unsigned char *memory = mem_map(size);
    if (!memory) {
        return err_note(ERR_NO_MEMORY,
                        "kv: the system refused %zu bytes for %u blocks of %d tokens", size,
                        shape->block_count, KV_BLOCK_TOKENS);
    }
    struct kv_pool *pool = mem_new(1, sizeof *pool);
    *pool = (struct kv_pool){
        .shape = *shape,
        .memory = memory,
        .memory_size = size,
        .part_size = attention_area_size(shape->kind, shape->head_dim),
        .block_size = block_size,
        .holders = mem_new(shape->block_count, sizeof *pool->holders),
        .free = mem_new(shape->block_count, sizeof *pool->free),
        .free_count = shape->block_count,
        .prefix = prefix_new(
            &(struct prefix_options){.block_count = shape->block_count, .root = shape->root}),
    };
    for (uint32_t i = 0; i < shape->block_count; i++)
        pool->free[i] = shape->block_count - 1 - i;
    *out = pool;
    return ERR_OK;
}

void kv_pool_free(struct kv_pool *pool)
{
    if (!pool) return;
    mem_unmap(pool->memory, pool->memory_size);
    mem_free(pool->holders);
    mem_free(pool->free);
    prefix_free(pool->prefix);
    mem_free(pool);
}

uint32_t kv_blocks_free(const struct kv_pool *pool)
{
    return pool->free_count;
}

uint32_t kv_blocks_available(const struct kv_pool *pool)
{
    return pool->free_count + prefix_resting(pool->prefix);
}

uint32_t kv_blocks_total(const struct kv_pool *pool)
{
    return pool->shape.block_count;
}

struct kv_count kv_count_blocks(const struct kv_pool *pool)
{
    uint32_t total = pool->shape.block_count;
    return (struct kv_count){.total = total,
                             .held = total - kv_blocks_available(pool),
                             .cached = prefix_resting(pool->prefix),
                             .free = pool->free_count,
                             .evicted = pool->evicted};
}

uint32_t kv_holders(const struct kv_pool *pool, uint32_t block)
{
    must(block < pool->shape.block_count);
    return pool->holders[block];
}

enum kv_kind kv_kind(const struct kv_pool *pool)
{
    return pool->shape.kind;
}

static unsigned char *bytes_of(const struct kv_pool *pool, uint32_t block)
{
    return pool->memory + block * pool->block_size;
}

/* Nobody's any more: nothing is left in it. */
static void wipe_block(struct kv_pool *pool, uint32_t block)
{
    wipe(bytes_of(pool, block), pool->block_size);
}

static uint32_t take_block(struct kv_pool *pool)
{
    uint32_t block;
    if (pool->free_count > 0) {
        block = pool->free[--pool->free_count];
    } else {
        block = prefix_evict(pool->prefix);
        wipe_block(pool, block);
        pool->evicted++;
    }
    must(pool->holders[block] == 0);
    pool->holders[block] = 1;
    return block;
}

static void let_go(struct kv_pool *pool, uint32_t block)
{
    must(block < pool->shape.block_count && pool->holders[block] > 0);
    if (--pool->holders[block] > 0) return;
    if (prefix_is_ready(pool->prefix, block)) {
        prefix_rest(pool->prefix, block, pool->now_ns);
        return;
    }
    if (prefix_is_listed(pool->prefix, block)) prefix_forget(pool->prefix, block);
    wipe_block(pool, block);
    pool->free[pool->free_count++] = block;
}

static void hold(struct kv_pool *pool, uint32_t block)
{
    if (pool->holders[block]++ == 0) prefix_wake(pool->prefix, block);
}

void kv_table_init(struct kv_table *table, uint32_t token_max)
{
    uint32_t block_max = kv_blocks_for(token_max);
    *table = (struct kv_table){
        .blocks = mem_new(block_max, sizeof *table->blocks),
        .block_max = block_max,
    };
}

void kv_table_fini(struct kv_pool *pool, struct kv_table *table)
{
    kv_release(pool, table);
    mem_free(table->blocks);
    *table = (struct kv_table){0};
}

/* Give `table` a last block of its own, with the same tokens in it. */
static void own_last_block(struct kv_pool *pool, struct kv_table *table)
{
    uint32_t *last = &table->blocks[table->block_count - 1];
    uint32_t own = take_block(pool);
    memcpy(bytes_of(pool, own), bytes_of(pool, *last), pool->block_size);
    let_go(pool, *last);
    *last = own;
}

enum err kv_extend(struct kv_pool *pool, struct kv_table *table, uint32_t count)
{
    if (count == 0) return ERR_OK;
    must(count <= UINT32_MAX - table->token_count);
    uint32_t wanted = kv_blocks_for(table->token_count + count);
    must(wanted <= table->block_max);
    bool partly_filled = table->token_count % KV_BLOCK_TOKENS != 0;
    bool copies = partly_filled && pool->holders[table->blocks[table->block_count - 1]] > 1;
    uint32_t needed = wanted - table->block_count + copies;
    if (needed > kv_blocks_available(pool)) {
        return err_note(ERR_NO_MEMORY, "kv: %u blocks needed, %u of %u available", needed,
                        kv_blocks_available(pool), pool->shape.block_count);
    }
    if (copies) own_last_block(pool, table);
    while (table->block_count < wanted)
        table->blocks[table->block_count++] = take_block(pool);
    table->token_count += count;
    return ERR_OK;
}

void kv_share(struct kv_pool *pool, struct kv_table *target, const struct kv_table *source,
              uint32_t token_count)
{
    uint32_t block_count = kv_blocks_for(token_count);
    must(target->token_count == 0 && target->block_count == 0);
    must(token_count <= source->token_count && block_count <= target->block_max);
    for (uint32_t i = 0; i < block_count; i++) {
        target->blocks[i] = source->blocks[i];
        hold(pool, source->blocks[i]);
    }
    target->block_count = block_count;
    target->token_count = token_count;
}

void kv_truncate(struct kv_pool *pool, struct kv_table *table, uint32_t token_count)
{
    must(token_count <= table->token_count);
    must(token_count == 0 || token_count / KV_BLOCK_TOKENS >= table->settled);
    if (token_count == 0) table->settled = 0;
    uint32_t block_count = kv_blocks_for(token_count);
    while (table->block_count > block_count)
        let_go(pool, table->blocks[--table->block_count]);
    table->token_count = token_count;
}

void kv_release(struct kv_pool *pool, struct kv_table *table)
{
    kv_truncate(pool, table, 0);
}

/* The prefix cache. */

/* The salt of a block; false: the path shares nothing. */
static bool salt_of(const struct kv_path *path, uint32_t index, uint64_t *salt)
{
    if (path->salt_count == 0 || path->salts[0].first_block > 0) return false;
    for (size_t i = 0; i < path->salt_count && path->salts[i].first_block <= index; i++)
        *salt = path->salts[i].salt;
    return true;
}

/* The key of a full block of the path, below `parent`; false: it is not to be shared. */
static bool key_of(const struct kv_path *path, uint32_t index, uint32_t parent,
                   struct prefix_key *key)
{
    must(index < path->id_count / KV_BLOCK_TOKENS);
    *key = (struct prefix_key){.parent = parent,
                               .ids = path->ids + (size_t)index * KV_BLOCK_TOKENS,
                               .keep_ms = path->keep_ms};
    return salt_of(path, index, &key->salt);
}

/* Full blocks before the one with the last id. */
static uint32_t shareable(uint32_t id_count)
{
    return id_count > 0 ? (id_count - 1) / KV_BLOCK_TOKENS : 0;
}

/* The next block of the path that the cache knows; PREFIX_NONE: none. */
static uint32_t find_block(const struct kv_pool *pool, const struct kv_path *path, uint32_t index,
                           uint32_t parent)
{
    struct prefix_key key;
    if (index >= shareable(path->id_count) || !key_of(path, index, parent, &key))
        return PREFIX_NONE;
    return prefix_find(pool->prefix, &key);
}

uint32_t kv_cost(const struct kv_pool *pool, const struct kv_path *path)
{
    uint32_t cost = kv_blocks_for(path->id_count);
    uint32_t parent = PREFIX_ROOT;
    for (uint32_t i = 0;; i++) {
        uint32_t block = find_block(pool, path, i, parent);
        if (block == PREFIX_NONE) return cost;
        if (pool->holders[block] > 0) cost--; // who rests is taken out of what is available
        parent = block;
    }
}

static void hold_known(struct kv_pool *pool, struct kv_table *table, const struct kv_path *path)
{
    uint32_t parent = PREFIX_ROOT;
    for (;;) {
        uint32_t block = find_block(pool, path, table->block_count, parent);
        if (block == PREFIX_NONE) return;
        hold(pool, block);
        prefix_limit(pool->prefix, block, path->keep_ms);
        if (prefix_is_ready(pool->prefix, block)) table->settled++;
        table->blocks[table->block_count++] = block;
        table->token_count += KV_BLOCK_TOKENS;
        parent = block;
    }
}

/* Whoever comes next with the same ids shares these instead of computing them too. */
static void list_new(struct kv_pool *pool, const struct kv_table *table, const struct kv_path *path,
                     uint32_t from)
{
    for (uint32_t i = from; i < shareable(path->id_count); i++) {
        struct prefix_key key;
        uint32_t parent = i == 0 ? PREFIX_ROOT : table->blocks[i - 1];
        if (!key_of(path, i, parent, &key)) return;
        prefix_list(pool->prefix, table->blocks[i], &key);
    }
}

enum err kv_enter(struct kv_pool *pool, struct kv_table *table, const struct kv_path *path)
{
    must(table->token_count == 0 && table->block_count == 0 && path->id_count > 0);
    must(kv_blocks_for(path->id_count) <= table->block_max);
    hold_known(pool, table, path);
    uint32_t known = table->block_count;
    enum err err = kv_extend(pool, table, path->id_count - table->token_count);
    if (err)
        kv_release(pool, table);
    else
        list_new(pool, table, path, known);
    return err;
}

uint32_t kv_ready(const struct kv_pool *pool, const struct kv_table *table, uint32_t computed,
                  uint32_t id_count)
{
    uint32_t index = computed / KV_BLOCK_TOKENS;
    while (index < shareable(id_count) && prefix_is_ready(pool->prefix, table->blocks[index]))
        index++;
    return index * KV_BLOCK_TOKENS > computed ? index * KV_BLOCK_TOKENS : computed;
}

/* Make the next full block ready. False: not now, or never. */
static bool settle_next(struct kv_pool *pool, struct kv_table *table, const struct kv_path *path)
{
    uint32_t index = table->settled;
    uint32_t *block = &table->blocks[index];
    uint32_t parent = index == 0 ? PREFIX_ROOT : table->blocks[index - 1];
    struct prefix_key key;
    if (!key_of(path, index, parent, &key)) return false;
    if (parent != PREFIX_ROOT && !prefix_is_ready(pool->prefix, parent)) return false; // forgotten
    if (!prefix_is_listed(pool->prefix, *block)) {
        uint32_t equal = prefix_find(pool->prefix, &key);
        if (equal != PREFIX_NONE && !prefix_is_ready(pool->prefix, equal)) return false; // later
        if (equal != PREFIX_NONE) {
            hold(pool, equal);
            prefix_limit(pool->prefix, equal, path->keep_ms);
            let_go(pool, *block);
            *block = equal;
            return true;
        }
        prefix_list(pool->prefix, *block, &key);
    }
    if (!prefix_is_ready(pool->prefix, *block)) prefix_set_ready(pool->prefix, *block);
    return true;
}

void kv_settle(struct kv_pool *pool, struct kv_table *table, const struct kv_path *path,
               uint32_t computed)
{
    must(computed <= table->token_count && computed <= path->id_count);
    while (table->settled < computed / KV_BLOCK_TOKENS && settle_next(pool, table, path))
        table->settled++;
}

bool kv_is_awaited(const struct kv_pool *pool, const struct kv_table *table, uint32_t at)
{
    uint32_t block = table->blocks[at / KV_BLOCK_TOKENS];
    return pool->holders[block] > 1 && prefix_is_listed(pool->prefix, block) &&
           !prefix_is_ready(pool->prefix, block);
}

bool kv_is_twin(const struct kv_table *a, const struct kv_path *a_path, const struct kv_table *b,
                const struct kv_path *b_path, uint32_t at)
{
    uint32_t index = at / KV_BLOCK_TOKENS;
    uint64_t a_salt = 0;
    uint64_t b_salt = 0;
    if (index >= a->block_count || index >= b->block_count) return false;
    if (!salt_of(a_path, index, &a_salt) || !salt_of(b_path, index, &b_salt)) return false;
    return a_salt == b_salt && (index == 0 || a->blocks[index - 1] == b->blocks[index - 1]);
}

void kv_copy(struct kv_pool *pool, struct kv_table *target, const struct kv_table *source,
             uint32_t at)
{
    uint32_t to = target->blocks[at / KV_BLOCK_TOKENS];
    uint32_t from = source->blocks[at / KV_BLOCK_TOKENS];
    must(pool->holders[to] == 1 && !prefix_is_listed(pool->prefix, to));
    memcpy(bytes_of(pool, to), bytes_of(pool, from), pool->block_size);
}

/* The `count` blocks on top of the stack have come from the cache. */
static void take_back(struct kv_pool *pool, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        wipe_block(pool, pool->free[pool->free_count++]);
}

void kv_forget(struct kv_pool *pool, const uint64_t *salt)
{
    take_back(pool, prefix_forget_salt(pool->prefix, salt, pool->free + pool->free_count));
}

uint32_t kv_tick(struct kv_pool *pool, uint64_t now_ns)
{
    pool->now_ns = now_ns;
    uint32_t count = prefix_expire(pool->prefix, now_ns, pool->free + pool->free_count);
    take_back(pool, count);
    return count;
}

uint64_t kv_due_ns(const struct kv_pool *pool)
{
    return prefix_due_ns(pool->prefix);
}

void kv_watch(struct kv_pool *pool)
{
    prefix_watch(pool->prefix);
}

size_t kv_changes(struct kv_pool *pool, struct prefix_change *out, size_t max)
{
    return prefix_changes(pool->prefix, out, max);
}

void *kv_block_at(const struct kv_pool *pool, uint32_t block, uint32_t layer, uint32_t kv_head)
{
    must(block < pool->shape.block_count && layer < pool->shape.layer_count &&
         kv_head < pool->shape.kv_head_count);
    size_t part = (size_t)layer * pool->shape.kv_head_count + kv_head;
    return pool->memory + block * pool->block_size + part * pool->part_size;
}

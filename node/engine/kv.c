#include "node/engine/kv.h"

#include "kernels/attention.h"

#include "base/mem.h"
#include "base/must.h"

#include <stdbool.h>
#include <string.h>

struct kv_pool {
    struct kv_shape shape;
    unsigned char *memory; // [block_count][layer_count][kv_head_count][part_size]
    size_t memory_size;
    size_t part_size;  // bytes of one head's keys and values of one layer in one block
    size_t block_size; // bytes
    uint32_t *holders; // [block_count] tables in which each block stands
    uint32_t *free;    // [free_count] a stack of blocks without holders
    uint32_t free_count;
};

static uint32_t blocks_of(uint32_t token_count)
{
    return token_count / KV_BLOCK_TOKENS + (token_count % KV_BLOCK_TOKENS != 0);
}

size_t kv_block_size(const struct kv_shape *shape)
{
    return attention_area_size(shape->head_dim) * shape->layer_count * shape->kv_head_count;
}

enum err kv_pool_new(struct kv_pool **out, const struct kv_shape *shape)
{
    must(shape->layer_count && shape->kv_head_count && shape->head_dim && shape->block_count);
    size_t block_size = kv_block_size(shape);
    if (shape->block_count > SIZE_MAX / 2 / block_size) {
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
        .part_size = attention_area_size(shape->head_dim),
        .block_size = block_size,
        .holders = mem_new(shape->block_count, sizeof *pool->holders),
        .free = mem_new(shape->block_count, sizeof *pool->free),
        .free_count = shape->block_count,
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
    mem_free(pool);
}

uint32_t kv_blocks_free(const struct kv_pool *pool)
{
    return pool->free_count;
}

uint32_t kv_blocks_total(const struct kv_pool *pool)
{
    return pool->shape.block_count;
}

static uint32_t take_block(struct kv_pool *pool)
{
    must(pool->free_count > 0);
    uint32_t block = pool->free[--pool->free_count];
    must(pool->holders[block] == 0);
    pool->holders[block] = 1;
    return block;
}

static void let_go(struct kv_pool *pool, uint32_t block)
{
    must(block < pool->shape.block_count && pool->holders[block] > 0);
    if (--pool->holders[block] == 0) pool->free[pool->free_count++] = block;
}

void kv_table_init(struct kv_table *table, uint32_t token_max)
{
    uint32_t block_max = blocks_of(token_max);
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
    memcpy(pool->memory + own * pool->block_size, pool->memory + *last * pool->block_size,
           pool->block_size);
    let_go(pool, *last);
    *last = own;
}

enum err kv_extend(struct kv_pool *pool, struct kv_table *table, uint32_t count)
{
    if (count == 0) return ERR_OK;
    must(count <= UINT32_MAX - table->token_count);
    uint32_t wanted = blocks_of(table->token_count + count);
    must(wanted <= table->block_max);
    bool partly_filled = table->token_count % KV_BLOCK_TOKENS != 0;
    bool copies = partly_filled && pool->holders[table->blocks[table->block_count - 1]] > 1;
    uint32_t needed = wanted - table->block_count + copies;
    if (needed > pool->free_count) {
        return err_note(ERR_NO_MEMORY, "kv: %u blocks needed, %u of %u free", needed,
                        pool->free_count, pool->shape.block_count);
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
    uint32_t block_count = blocks_of(token_count);
    must(target->token_count == 0 && target->block_count == 0);
    must(token_count <= source->token_count && block_count <= target->block_max);
    for (uint32_t i = 0; i < block_count; i++) {
        target->blocks[i] = source->blocks[i];
        pool->holders[source->blocks[i]]++;
    }
    target->block_count = block_count;
    target->token_count = token_count;
}

void kv_truncate(struct kv_pool *pool, struct kv_table *table, uint32_t token_count)
{
    must(token_count <= table->token_count);
    uint32_t block_count = blocks_of(token_count);
    while (table->block_count > block_count)
        let_go(pool, table->blocks[--table->block_count]);
    table->token_count = token_count;
}

void kv_release(struct kv_pool *pool, struct kv_table *table)
{
    kv_truncate(pool, table, 0);
}

void *kv_block_at(const struct kv_pool *pool, uint32_t block, uint32_t layer, uint32_t kv_head)
{
    must(block < pool->shape.block_count && layer < pool->shape.layer_count &&
         kv_head < pool->shape.kv_head_count);
    size_t part = (size_t)layer * pool->shape.kv_head_count + kv_head;
    return pool->memory + block * pool->block_size + part * pool->part_size;
}

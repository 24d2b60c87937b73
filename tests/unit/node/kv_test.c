#include "node/engine/kv.h"
#include "tests/test.h"

#include "base/mem.h"
#include "base/rand.h"

#include <stdbool.h>
#include <string.h>

enum {
    TOKENS_MAX = 200,
    TABLES = 6,
    BLOCKS = 16,
    HEAD_DIM = 8
};

static struct kv_pool *given_pool(uint32_t block_count)
{
    struct kv_pool *pool;
    struct kv_shape shape = {
        .layer_count = 2, .kv_head_count = 3, .head_dim = HEAD_DIM, .block_count = block_count};
    assert_int_equal(kv_pool_new(&pool, &shape), ERR_OK);
    return pool;
}

static struct kv_table given_table(struct kv_pool *pool, uint32_t token_count)
{
    struct kv_table table;
    kv_table_init(&table, TOKENS_MAX);
    assert_int_equal(kv_extend(pool, &table, token_count), ERR_OK);
    return table;
}

static void a_shared_block_outlives_its_first_holder(void **state)
{
    (void)state;
    struct kv_pool *pool = given_pool(4);
    struct kv_table first = given_table(pool, 64);
    struct kv_table second = given_table(pool, 0);

    kv_share(pool, &second, &first, 32);
    kv_release(pool, &first);
    assert_int_equal(kv_blocks_free(pool), 3);
    kv_table_fini(pool, &second);
    assert_int_equal(kv_blocks_free(pool), 4);

    kv_table_fini(pool, &first);
    kv_pool_free(pool);
}

static void a_partly_filled_shared_block_is_copied_before_it_grows(void **state)
{
    (void)state;
    struct kv_pool *pool = given_pool(4);
    struct kv_table first = given_table(pool, 40);
    struct kv_table second = given_table(pool, 0);
    unsigned char *bytes = kv_block_at(pool, first.blocks[1], 1, 2);
    memset(bytes, 7, 16);

    kv_share(pool, &second, &first, 35);
    assert_int_equal(second.blocks[1], first.blocks[1]);
    assert_int_equal(kv_extend(pool, &second, 1), ERR_OK);

    assert_int_equal(second.blocks[0], first.blocks[0]);
    assert_int_not_equal(second.blocks[1], first.blocks[1]);
    assert_memory_equal(kv_block_at(pool, second.blocks[1], 1, 2), bytes, 16);
    assert_int_equal(kv_blocks_free(pool), 1);
    // The first is the only holder of its last block again and grows in place.
    uint32_t last = first.blocks[1];
    assert_int_equal(kv_extend(pool, &first, 5), ERR_OK);
    assert_int_equal(first.blocks[1], last);

    kv_table_fini(pool, &first);
    kv_table_fini(pool, &second);
    kv_pool_free(pool);
}

static void a_full_shared_block_is_not_copied(void **state)
{
    (void)state;
    struct kv_pool *pool = given_pool(4);
    struct kv_table first = given_table(pool, 64);
    struct kv_table second = given_table(pool, 0);
    kv_share(pool, &second, &first, 64);
    assert_int_equal(kv_extend(pool, &second, 1), ERR_OK);
    assert_int_equal(kv_blocks_free(pool), 1);
    kv_table_fini(pool, &first);
    kv_table_fini(pool, &second);
    kv_pool_free(pool);
}

static void an_empty_pool_leaves_the_table_as_it_was(void **state)
{
    (void)state;
    struct kv_pool *pool = given_pool(3);
    struct kv_table first = given_table(pool, 40);
    struct kv_table second = given_table(pool, 0);
    kv_share(pool, &second, &first, 40);
    uint32_t before[2] = {second.blocks[0], second.blocks[1]};

    // A copy of the last block and one more: two are needed, one is there.
    assert_int_equal(kv_extend(pool, &second, 30), ERR_NO_MEMORY);
    assert_int_equal(second.token_count, 40);
    assert_int_equal(second.block_count, 2);
    assert_memory_equal(second.blocks, before, sizeof before);
    assert_int_equal(kv_blocks_free(pool), 1);
    assert_int_equal(kv_extend(pool, &second, 10), ERR_OK);
    assert_int_equal(kv_extend(pool, &first, 100), ERR_NO_MEMORY);

    kv_table_fini(pool, &first);
    kv_table_fini(pool, &second);
    kv_pool_free(pool);
}

static void areas_of_a_block_do_not_overlap(void **state)
{
    (void)state;
    struct kv_pool *pool = given_pool(2);
    struct kv_shape shape = {2, 3, HEAD_DIM, 2, 0, KV_F16};
    size_t part = kv_block_size(&shape) / 6;
    unsigned char *first = kv_block_at(pool, 0, 0, 0);
    assert_int_equal((uintptr_t)first % 64, 0);
    for (uint32_t block = 0; block < 2; block++) {
        for (uint32_t layer = 0; layer < 2; layer++) {
            for (uint32_t head = 0; head < 3; head++) {
                unsigned char *at = kv_block_at(pool, block, layer, head);
                assert_int_equal(at - first, ((block * 2 + layer) * 3 + head) * part);
            }
        }
    }
    kv_pool_free(pool);
}

static void a_pool_beyond_the_address_space_is_an_error(void **state)
{
    (void)state;
    struct kv_pool *pool = NULL;
    struct kv_shape shape = {512, 1024, 256, UINT32_MAX, 0, KV_F16};
    assert_int_equal(kv_pool_new(&pool, &shape), ERR_NO_MEMORY);
    assert_null(pool);
}

/* What a table must hold: the token written at each position. */
struct twin {
    struct kv_table table;
    uint32_t tokens[TOKENS_MAX];
};

/* The token of a position lives in a word of its own in the last area of the block. */
static uint32_t *slot_of(const struct kv_pool *pool, const struct kv_table *table, uint32_t at)
{
    uint32_t *area = kv_block_at(pool, table->blocks[at / KV_BLOCK_TOKENS], 1, 2);
    return area + at % KV_BLOCK_TOKENS;
}

static void check_twins(const struct kv_pool *pool, const struct twin *twins)
{
    bool used[BLOCKS] = {false};
    uint32_t used_count = 0;
    for (int i = 0; i < TABLES; i++) {
        const struct kv_table *table = &twins[i].table;
        assert_int_equal(table->block_count,
                         (table->token_count + KV_BLOCK_TOKENS - 1) / KV_BLOCK_TOKENS);
        for (uint32_t at = 0; at < table->token_count; at++)
            assert_int_equal(*slot_of(pool, table, at), twins[i].tokens[at]);
        for (uint32_t b = 0; b < table->block_count; b++) {
            assert_true(table->blocks[b] < BLOCKS);
            if (!used[table->blocks[b]]) used_count++;
            used[table->blocks[b]] = true;
        }
    }
    assert_int_equal(kv_blocks_free(pool), BLOCKS - used_count);
}

static void grow(struct kv_pool *pool, struct twin *twin, struct rand *rand)
{
    uint32_t old = twin->table.token_count;
    uint32_t count = (uint32_t)rand_below(rand, 50);
    if (count > TOKENS_MAX - old) count = TOKENS_MAX - old;
    uint32_t free_before = kv_blocks_free(pool);
    if (kv_extend(pool, &twin->table, count) != ERR_OK) {
        assert_int_equal(twin->table.token_count, old);
        assert_int_equal(kv_blocks_free(pool), free_before);
        return;
    }
    assert_int_equal(twin->table.token_count, old + count);
    for (uint32_t at = old; at < old + count; at++)
        twin->tokens[at] = *slot_of(pool, &twin->table, at) = (uint32_t)rand_next(rand);
}

static void act(struct kv_pool *pool, struct twin *twins, struct rand *rand)
{
    struct twin *twin = &twins[rand_below(rand, TABLES)];
    struct twin *other = &twins[rand_below(rand, TABLES)];
    uint32_t count = twin->table.token_count;
    switch (rand_below(rand, 6)) {
    case 0: kv_release(pool, &twin->table); break;
    case 1: kv_truncate(pool, &twin->table, (uint32_t)rand_below(rand, count + 1)); break;
    case 2:
        if (count == 0 && other != twin) {
            uint32_t shared = (uint32_t)rand_below(rand, other->table.token_count + 1);
            kv_share(pool, &twin->table, &other->table, shared);
            memcpy(twin->tokens, other->tokens, shared * sizeof *twin->tokens);
        }
        break;
    default: grow(pool, twin, rand);
    }
}

static void any_history_keeps_every_token_and_leaks_no_block(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rand rand;
        rand_init(&rand, seed);
        struct kv_pool *pool = given_pool(BLOCKS);
        struct twin *twins = mem_new(TABLES, sizeof *twins);
        for (int i = 0; i < TABLES; i++)
            kv_table_init(&twins[i].table, TOKENS_MAX);
        for (int step = 0; step < 1000; step++) {
            act(pool, twins, &rand);
            check_twins(pool, twins);
        }
        for (int i = 0; i < TABLES; i++)
            kv_table_fini(pool, &twins[i].table);
        assert_int_equal(kv_blocks_free(pool), BLOCKS);
        mem_free(twins);
        kv_pool_free(pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shared_block_outlives_its_first_holder),
        cmocka_unit_test(a_partly_filled_shared_block_is_copied_before_it_grows),
        cmocka_unit_test(a_full_shared_block_is_not_copied),
        cmocka_unit_test(an_empty_pool_leaves_the_table_as_it_was),
        cmocka_unit_test(areas_of_a_block_do_not_overlap),
        cmocka_unit_test(a_pool_beyond_the_address_space_is_an_error),
        cmocka_unit_test(any_history_keeps_every_token_and_leaks_no_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

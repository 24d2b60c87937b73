#include "scheduler/core/index.h"
#include "tests/test.h"

#include "base/rand.h"

#include <string.h>

static uint32_t depth_of(const struct block_index *index, uint16_t node, const uint64_t *hashes,
                         size_t count, uint64_t now_ns)
{
    static uint32_t depths[INDEX_NODES_MAX];
    index_depths(index, hashes, count, now_ns, depths);
    return depths[node];
}

static const uint64_t chain[] = {11, 12, 13, 14, 15};

static void only_leading_blocks_count(void **state)
{
    (void)state;
    struct block_index *index = index_new(100);
    for (size_t i = 0; i < 5; i++)
        index_add(index, 3, chain[i]);
    index_add(index, 1023, chain[0]);
    index_add(index, 7, chain[1]); // without its parent
    assert_int_equal(depth_of(index, 3, chain, 5, 0), 5);
    assert_int_equal(depth_of(index, 3, chain, 4, 0), 4);
    assert_int_equal(depth_of(index, 1023, chain, 5, 0), 1);
    assert_int_equal(depth_of(index, 7, chain, 5, 0), 0);
    index_remove(index, 3, chain[2]);
    index_remove(index, 3, 999); // which it never had
    assert_int_equal(depth_of(index, 3, chain, 5, 0), 2);
    index_reset(index, 3);
    assert_int_equal(depth_of(index, 3, chain, 5, 0), 0);
    assert_int_equal(depth_of(index, 1023, chain, 5, 0), 1);
    assert_int_equal(index_stats(index).entries, 2);
    index_free(index);
}

static void what_is_expected_ends_unless_it_is_told(void **state)
{
    (void)state;
    struct block_index *index = index_new(100);
    uint64_t now_ns = UINT64_C(5000000000);
    index_expect(index, 2, chain, 3, now_ns);
    assert_int_equal(depth_of(index, 2, chain, 5, now_ns), 3);
    index_add(index, 2, chain[0]);
    uint64_t over_ns = now_ns + INDEX_EXPECT_NS + 2000000;
    assert_int_equal(depth_of(index, 2, chain, 5, over_ns), 1);
    assert_int_equal(index_stats(index).entries, 3);
    index_tick(index, over_ns);
    assert_int_equal(index_stats(index).entries, 1);
    index_expect(index, 2, chain, 1, over_ns); // it is certain, and stays so
    assert_int_equal(depth_of(index, 2, chain, 1, over_ns + 2 * INDEX_EXPECT_NS), 1);
    index_free(index);
}

static void a_full_table_takes_nothing_more_and_says_so(void **state)
{
    (void)state;
    struct block_index *index = index_new(4);
    for (size_t i = 0; i < 5; i++)
        index_add(index, 0, chain[i]);
    assert_int_equal(index_stats(index).entries, 4);
    assert_int_equal(index_stats(index).dropped, 1);
    assert_int_equal(depth_of(index, 0, chain, 5, 0), 4);
    index_remove(index, 0, chain[0]);
    index_add(index, 1, chain[0]);
    assert_int_equal(depth_of(index, 1, chain, 5, 0), 1);
    index_free(index);
}

enum {
    NODES = 5,
    HASHES = 40,
    STEPS = 20000
};

/* Beside a model that is a plain matrix. */
static void every_history_agrees_with_a_matrix(void **state)
{
    (void)state;
    static bool has[NODES][HASHES];
    struct block_index *index = index_new(NODES * HASHES);
    uint64_t hashes[HASHES];
    struct rand rand;
    rand_init(&rand, 4);
    for (size_t i = 0; i < HASHES; i++)
        hashes[i] = rand_next(&rand) << 5; // many share a bucket
    for (size_t step = 0; step < STEPS; step++) {
        uint16_t node = (uint16_t)rand_below(&rand, NODES);
        size_t hash = rand_below(&rand, HASHES);
        if (rand_below(&rand, 500) == 0) {
            index_reset(index, node);
            memset(has[node], 0, sizeof has[node]);
        } else if (rand_below(&rand, 3) == 0) {
            index_remove(index, node, hashes[hash]);
            has[node][hash] = false;
        } else {
            index_add(index, node, hashes[hash]);
            has[node][hash] = true;
        }
        uint32_t want = 0;
        while (want < HASHES && has[node][want])
            want++;
        assert_int_equal(depth_of(index, node, hashes, HASHES, 0), want);
    }
    assert_int_equal(index_stats(index).dropped, 0);
    index_free(index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_leading_blocks_count),
        cmocka_unit_test(what_is_expected_ends_unless_it_is_told),
        cmocka_unit_test(a_full_table_takes_nothing_more_and_says_so),
        cmocka_unit_test(every_history_agrees_with_a_matrix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "node/engine/prefix.h"
#include "tests/test.h"

#include "wire/block.h"

#include "base/clock.h"

enum {
    BLOCKS = 24,
    ROOT = 7
};

static struct prefix *given_prefix(uint32_t hash_bits)
{
    struct prefix_options options = {.block_count = BLOCKS, .root = ROOT, .hash_bits = hash_bits};
    return prefix_new(&options);
}

/* KV_BLOCK_TOKENS ids that differ in the last alone. */
static const int32_t *ids_of(int32_t last)
{
    static int32_t ids[KV_BLOCK_TOKENS];
    ids[KV_BLOCK_TOKENS - 1] = last;
    return ids;
}

static struct prefix_key key_of(uint64_t salt, uint32_t parent, int32_t last)
{
    return (struct prefix_key){.salt = salt, .parent = parent, .ids = ids_of(last)};
}

static void given_ready(struct prefix *prefix, uint32_t block, uint64_t salt, uint32_t parent,
                        int32_t last)
{
    struct prefix_key key = key_of(salt, parent, last);
    prefix_list(prefix, block, &key);
    prefix_set_ready(prefix, block);
}

static uint32_t found(const struct prefix *prefix, uint64_t salt, uint32_t parent, int32_t last)
{
    struct prefix_key key = key_of(salt, parent, last);
    return prefix_find(prefix, &key);
}

static void a_block_is_found_by_all_of_its_key(void **state)
{
    (void)state;
    struct prefix *prefix = given_prefix(0);
    given_ready(prefix, 3, 1, PREFIX_ROOT, 5);
    given_ready(prefix, 4, 1, 3, 5);
    assert_int_equal(found(prefix, 1, PREFIX_ROOT, 5), 3);
    assert_int_equal(found(prefix, 1, 3, 5), 4);
    assert_int_equal(found(prefix, 2, PREFIX_ROOT, 5), PREFIX_NONE);
    assert_int_equal(found(prefix, 1, PREFIX_ROOT, 6), PREFIX_NONE);
    assert_int_equal(found(prefix, 1, 4, 5), PREFIX_NONE);
    prefix_free(prefix);
}

static void equal_hashes_lend_nobody_elses_tokens(void **state)
{
    (void)state;
    struct prefix *prefix = given_prefix(1); // two hashes for all
    for (uint32_t i = 0; i < BLOCKS; i++)
        given_ready(prefix, i, i % 3, PREFIX_ROOT, (int32_t)(i / 3));
    for (uint32_t i = 0; i < BLOCKS; i++)
        assert_int_equal(found(prefix, i % 3, PREFIX_ROOT, (int32_t)(i / 3)), i);
    assert_int_equal(found(prefix, 3, PREFIX_ROOT, 0), PREFIX_NONE);
    assert_int_equal(found(prefix, 0, PREFIX_ROOT, BLOCKS), PREFIX_NONE);
    for (uint32_t i = 0; i < BLOCKS; i += 2)
        prefix_forget(prefix, i);
    for (uint32_t i = 0; i < BLOCKS; i++)
        assert_int_equal(found(prefix, i % 3, PREFIX_ROOT, (int32_t)(i / 3)),
                         i % 2 ? i : PREFIX_NONE);
    prefix_free(prefix);
}

static void who_has_rested_for_longest_goes_first(void **state)
{
    (void)state;
    struct prefix *prefix = given_prefix(0);
    for (uint32_t i = 0; i < 4; i++)
        given_ready(prefix, i, 1, PREFIX_ROOT, (int32_t)i);
    static const uint32_t order[] = {2, 0, 3, 1};
    for (size_t i = 0; i < 4; i++)
        prefix_rest(prefix, order[i], 0);
    prefix_wake(prefix, 0); // used again
    prefix_rest(prefix, 0, 0);
    prefix_wake(prefix, 1); // and in use
    assert_int_equal(prefix_resting(prefix), 3);
    assert_int_equal(prefix_evict(prefix), 2);
    assert_int_equal(prefix_evict(prefix), 3);
    assert_int_equal(prefix_evict(prefix), 0);
    assert_int_equal(prefix_resting(prefix), 0);
    assert_true(prefix_is_ready(prefix, 1));
    prefix_free(prefix);
}

static void a_forgotten_salt_takes_along_what_stands_below_it(void **state)
{
    (void)state;
    struct prefix *prefix = given_prefix(0);
    given_ready(prefix, 0, 1, PREFIX_ROOT, 0); // shared by all
    given_ready(prefix, 1, 2, 0, 0);           // of user 2…
    given_ready(prefix, 2, 9, 1, 0);           // …and another salt below
    given_ready(prefix, 3, 3, 0, 0);           // of user 3
    prefix_rest(prefix, 2, 0);
    uint32_t rested[BLOCKS];
    uint64_t salt = 2;
    assert_int_equal(prefix_forget_salt(prefix, &salt, rested), 1);
    assert_int_equal(rested[0], 2);
    assert_int_equal(found(prefix, 2, 0, 0), PREFIX_NONE);
    assert_int_equal(found(prefix, 3, 0, 0), 3);
    assert_int_equal(found(prefix, 1, PREFIX_ROOT, 0), 0);
    assert_false(prefix_is_listed(prefix, 1) || prefix_is_listed(prefix, 2));
    assert_int_equal(prefix_forget_salt(prefix, NULL, rested), 0);
    assert_false(prefix_is_listed(prefix, 0) || prefix_is_listed(prefix, 3));
    prefix_free(prefix);
}

static void whoever_watches_hears_of_every_block_that_comes_and_goes(void **state)
{
    (void)state;
    struct prefix *prefix = given_prefix(0);
    struct prefix_change changes[8];
    uint32_t rested[BLOCKS];
    given_ready(prefix, 0, 1, PREFIX_ROOT, 0);
    prefix_watch(prefix);
    given_ready(prefix, 1, 2, 0, 0);
    prefix_list(prefix, 2, &(struct prefix_key){.parent = 1, .salt = 2, .ids = ids_of(5)});
    prefix_forget(prefix, 2); // nobody had computed it: nobody hears of it
    assert_int_equal(prefix_changes(prefix, changes, 1), 1);
    uint64_t first = block_hash(ROOT, 1, ids_of(0));
    assert_true(changes[0].hash == first && !changes[0].gone);
    assert_int_equal(prefix_changes(prefix, changes, 8), 1);
    assert_true(changes[0].hash == block_hash(first, 2, ids_of(0)) && !changes[0].gone);
    assert_int_equal(prefix_changes(prefix, changes, 8), 0);
    prefix_forget_salt(prefix, NULL, rested);
    assert_int_equal(prefix_changes(prefix, changes, 8), 2); // the child first
    assert_true(changes[0].hash == block_hash(first, 2, ids_of(0)) && changes[0].gone);
    assert_true(changes[1].hash == first && changes[1].gone);
    prefix_free(prefix);
}

/* However many become due one after another, all that rest are looked at once in a while alone. */
static void what_is_due_goes_in_sweeps(void **state)
{
    (void)state;
    struct prefix *prefix = given_prefix(0);
    uint32_t gone[BLOCKS];
    uint64_t now_ns = CLOCK_SECOND;
    for (uint32_t i = 0; i < 10; i++) {
        struct prefix_key key = key_of(1, PREFIX_ROOT, (int32_t)i);
        key.keep_ms = 100 + i;
        prefix_list(prefix, i, &key);
        prefix_set_ready(prefix, i);
        prefix_rest(prefix, i, now_ns);
    }
    assert_true(prefix_due_ns(prefix) == now_ns + 100 * CLOCK_MS);
    assert_int_equal(prefix_expire(prefix, now_ns + 99 * CLOCK_MS, gone), 0);
    assert_int_equal(prefix_expire(prefix, now_ns + 100 * CLOCK_MS, gone), 1);
    assert_int_equal(gone[0], 0);
    now_ns += (100 + PREFIX_SWEEP_MS) * CLOCK_MS;
    assert_true(prefix_due_ns(prefix) == now_ns);
    assert_int_equal(prefix_expire(prefix, now_ns - 1, gone), 0);
    assert_int_equal(prefix_expire(prefix, now_ns, gone), 9);
    assert_int_equal(prefix_resting(prefix), 0);
    assert_true(prefix_due_ns(prefix) == UINT64_MAX);
    prefix_free(prefix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_is_found_by_all_of_its_key),
        cmocka_unit_test(equal_hashes_lend_nobody_elses_tokens),
        cmocka_unit_test(who_has_rested_for_longest_goes_first),
        cmocka_unit_test(a_forgotten_salt_takes_along_what_stands_below_it),
        cmocka_unit_test(whoever_watches_hears_of_every_block_that_comes_and_goes),
        cmocka_unit_test(what_is_due_goes_in_sweeps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The prefix cache of the pool: single cases, and histories beside a model that knows no hash, no table and no list. */
#include "node/engine/kv.h"
#include "tests/test.h"

#include "wire/message.h"

#include "base/clock.h"
#include "base/rand.h"

#include <stdbool.h>
#include <string.h>

enum {
    TOKENS_MAX = 200,
    INDEX_MAX = TOKENS_MAX / KV_BLOCK_TOKENS + 1,
    USERS = 5,
    BLOCKS = 20,
    NOBODYS = -1
};

static struct kv_pool *given_pool(uint32_t block_count)
{
    struct kv_pool *pool;
    struct kv_shape shape = {
        .layer_count = 1, .kv_head_count = 1, .head_dim = 32, .block_count = block_count};
    assert_int_equal(kv_pool_new(&pool, &shape), ERR_OK);
    return pool;
}

/* A sequence as the batch has it. */
struct user {
    struct kv_table table;
    struct wire_salt salts[2];
    int32_t ids[TOKENS_MAX];
    uint32_t id_count; // 0: not there
    uint32_t computed;
    int held[INDEX_MAX]; // of the model: its entry of each block; NOBODYS: a block of its own
};

static struct kv_path path_of(const struct user *user)
{
    return (struct kv_path){
        .ids = user->ids, .id_count = user->id_count, .salts = user->salts, .salt_count = 2};
}

static void given_ids(struct user *user, uint64_t salt, uint32_t id_count, int32_t first)
{
    kv_table_init(&user->table, TOKENS_MAX);
    user->salts[0] = (struct wire_salt){0, salt};
    user->salts[1] = (struct wire_salt){1000, 0};
    user->id_count = id_count;
    user->ids[0] = first;
}

static void enter(struct kv_pool *pool, struct user *user)
{
    struct kv_path path = path_of(user);
    assert_int_equal(kv_enter(pool, &user->table, &path), ERR_OK);
    user->computed = kv_ready(pool, &user->table, 0, user->id_count);
}

static void settle(struct kv_pool *pool, struct user *user, uint32_t computed)
{
    struct kv_path path = path_of(user);
    user->computed = computed;
    kv_settle(pool, &user->table, &path, computed);
}

static void what_was_computed_is_there_for_the_next(void **state)
{
    (void)state;
    struct kv_pool *pool = given_pool(8);
    struct user a = {0}, b = {0}, stranger = {0}, other = {0};
    given_ids(&a, 1, 96, 5);
    given_ids(&b, 1, 100, 5);
    given_ids(&stranger, 2, 100, 5); // the same ids under another salt
    given_ids(&other, 1, 100, 6);
    enter(pool, &a);
    assert_int_equal(a.computed, 0);
    settle(pool, &a, 96);
    kv_release(pool, &a.table);
    struct kv_count count = kv_count_blocks(pool);
    assert_true(count.held == 0 && count.cached == 3 && count.free == 5);

    enter(pool, &b);
    assert_int_equal(b.computed, 96);
    kv_release(pool, &b.table);
    enter(pool, &stranger);
    assert_int_equal(stranger.computed, 0);
    kv_release(pool, &stranger.table);
    enter(pool, &other);
    assert_int_equal(other.computed, 0);
    kv_release(pool, &other.table);
    // The last id is to be computed: its block does not count.
    enter(pool, &a);
    assert_int_equal(a.computed, 64);
    kv_table_fini(pool, &a.table);
    kv_table_fini(pool, &b.table);
    kv_table_fini(pool, &stranger.table);
    kv_table_fini(pool, &other.table);
    kv_pool_free(pool);
}

static void fill_blocks(struct kv_pool *pool)
{
    struct kv_shape shape = {.layer_count = 1, .kv_head_count = 1, .head_dim = 32};
    for (uint32_t i = 0; i < kv_blocks_total(pool); i++)
        memset(kv_block_at(pool, i, 0, 0), 0x5a, kv_block_size(&shape));
}

/* Blocks in which there is anything. */
static uint32_t count_filled(const struct kv_pool *pool)
{
    struct kv_shape shape = {.layer_count = 1, .kv_head_count = 1, .head_dim = 32};
    uint32_t count = 0;
    for (uint32_t i = 0; i < kv_blocks_total(pool); i++) {
        const unsigned char *bytes = kv_block_at(pool, i, 0, 0);
        bool filled = false;
        for (size_t at = 0; at < kv_block_size(&shape); at++)
            filled |= bytes[at] != 0;
        count += filled;
    }
    return count;
}

/* However a block becomes free, nothing is left in it. */
static void what_is_free_is_empty(void **state)
{
    (void)state;
    struct kv_pool *pool = given_pool(4);
    struct user a = {0}, b = {0};
    uint64_t salt = 1;
    given_ids(&a, 1, 128, 5);
    given_ids(&b, 2, 64, 6);
    enter(pool, &a);
    fill_blocks(pool);
    settle(pool, &a, 64);
    kv_release(pool, &a.table); // two are cached, two were not ready
    assert_int_equal(count_filled(pool), 2);
    enter(pool, &a);
    settle(pool, &a, 128);
    fill_blocks(pool);
    kv_truncate(pool, &a.table, 128);
    kv_release(pool, &a.table);
    assert_int_equal(count_filled(pool), 4);
    enter(pool, &b); // takes two that rested
    assert_int_equal(count_filled(pool), 2);
    kv_release(pool, &b.table);
    kv_forget(pool, &salt);
    assert_int_equal(count_filled(pool), 0);
    kv_table_fini(pool, &a.table);
    kv_table_fini(pool, &b.table);
    kv_pool_free(pool);
}

/* Of two that share a block the one with less time decides; what stands below goes with it. */
static void the_shorter_time_of_those_who_share_counts(void **state)
{
    (void)state;
    struct kv_pool *pool = given_pool(8);
    struct user longer = {0}, brief = {0};
    given_ids(&longer, 1, 97, 5);
    given_ids(&brief, 1, 33, 5);
    kv_tick(pool, CLOCK_SECOND);
    enter(pool, &longer);
    settle(pool, &longer, 97);
    struct kv_path path = path_of(&brief);
    path.keep_ms = 100;
    assert_int_equal(kv_enter(pool, &brief.table, &path), ERR_OK);
    kv_release(pool, &longer.table);
    kv_tick(pool, 10 * CLOCK_SECOND); // held by the other: it is not time that counts
    assert_int_equal(kv_count_blocks(pool).cached, 2);
    kv_release(pool, &brief.table);
    assert_true(kv_due_ns(pool) == 10 * CLOCK_SECOND + 100 * CLOCK_MS);
    kv_tick(pool, kv_due_ns(pool) - 1);
    assert_int_equal(kv_count_blocks(pool).cached, 3);
    kv_tick(pool, kv_due_ns(pool));
    assert_int_equal(kv_count_blocks(pool).cached, 0);
    assert_int_equal(kv_blocks_free(pool), 8);
    assert_true(kv_due_ns(pool) == UINT64_MAX);
    kv_table_fini(pool, &longer.table);
    kv_table_fini(pool, &brief.table);
    kv_pool_free(pool);
}

static void without_a_salt_nothing_is_shared(void **state)
{
    (void)state;
    struct kv_pool *pool = given_pool(8);
    struct user a = {0};
    given_ids(&a, 1, 96, 5);
    a.salts[0].first_block = 1;
    for (int i = 0; i < 2; i++) {
        enter(pool, &a);
        assert_int_equal(a.computed, 0);
        settle(pool, &a, 96);
        kv_release(pool, &a.table);
        assert_int_equal(kv_blocks_free(pool), 8);
    }
    kv_table_fini(pool, &a.table);
    kv_pool_free(pool);
}

static void what_was_never_computed_or_was_taken_back_is_not_found(void **state)
{
    (void)state;
    struct kv_pool *pool = given_pool(16);
    struct user a = {0}, b = {0};
    given_ids(&a, 1, 60, 5);
    given_ids(&b, 1, 128, 5);
    enter(pool, &a);
    settle(pool, &a, 60);
    // Guesses behind the 60 ids fill two blocks more, and are rejected.
    assert_int_equal(kv_extend(pool, &a.table, 40), ERR_OK);
    kv_truncate(pool, &a.table, 61);
    kv_release(pool, &a.table);
    enter(pool, &b);
    assert_int_equal(b.computed, 32);
    // b computes one block more and goes away: the two behind it were never computed.
    settle(pool, &b, 70);
    kv_release(pool, &b.table);
    enter(pool, &b);
    assert_int_equal(b.computed, 64);
    kv_table_fini(pool, &a.table);
    kv_table_fini(pool, &b.table);
    kv_pool_free(pool);
}

static void twins_share_what_is_not_computed_yet(void **state)
{
    (void)state;
    struct kv_pool *pool = given_pool(8);
    struct user a = {0}, b = {0};
    given_ids(&a, 1, 70, 5);
    given_ids(&b, 1, 70, 5);
    struct kv_path path = path_of(&b);
    enter(pool, &a);
    assert_int_equal(kv_cost(pool, &path), 1);
    enter(pool, &b);
    assert_int_equal(kv_count_blocks(pool).held, 4);
    assert_int_equal(b.computed, 0);
    assert_true(kv_is_awaited(pool, &b.table, 0));
    settle(pool, &a, 40);
    assert_int_equal(kv_ready(pool, &b.table, 0, 70), 32);
    assert_true(kv_is_awaited(pool, &b.table, 32));
    kv_release(pool, &a.table);
    assert_false(kv_is_awaited(pool, &b.table, 32)); // b is alone with it, and computes it
    settle(pool, &b, 70);
    kv_release(pool, &b.table);
    assert_int_equal(kv_count_blocks(pool).cached, 2);
    kv_table_fini(pool, &a.table);
    kv_table_fini(pool, &b.table);
    kv_pool_free(pool);
}

/* The model: a list of entries, each named by a hash over everything up to its block's end (64 bits, so that chance
 * makes no two equal here), and the order in which they came to rest. */
struct entry {
    bool used;
    bool ready;
    uint64_t name;
    uint32_t holders;
    uint64_t rests_since;
};

struct world {
    struct kv_pool *pool;
    struct rand rand;
    struct user users[USERS];
    struct entry entries[BLOCKS];
    uint64_t now;
    uint32_t private_count; // blocks of users that are no entry
    uint64_t evicted;
    uint64_t hits;
};

static uint64_t name_of(const struct user *user, uint32_t index)
{
    uint64_t name = 1;
    for (uint32_t i = 0; i <= index; i++) {
        name = rand_at(name, i, user->salts[i >= user->salts[1].first_block].salt);
        for (uint32_t at = 0; at < KV_BLOCK_TOKENS; at++)
            name = rand_at(name, at, (uint32_t)user->ids[i * KV_BLOCK_TOKENS + at]);
    }
    return name;
}

static int find_entry(const struct world *world, uint64_t name)
{
    for (int i = 0; i < BLOCKS; i++) {
        if (world->entries[i].used && world->entries[i].name == name) return i;
    }
    return NOBODYS;
}

static struct kv_count count_model(const struct world *world)
{
    struct kv_count count = {
        .total = BLOCKS, .held = world->private_count, .evicted = world->evicted};
    for (int i = 0; i < BLOCKS; i++) {
        count.held += world->entries[i].used && world->entries[i].holders > 0;
        count.cached += world->entries[i].used && world->entries[i].holders == 0;
    }
    count.free = count.total - count.held - count.cached;
    return count;
}

/* One more block is taken: a free one, else the one that has rested for longest. */
static void take_one(struct world *world)
{
    if (count_model(world).free > 0) return;
    struct entry *oldest = NULL;
    for (int i = 0; i < BLOCKS; i++) {
        struct entry *entry = &world->entries[i];
        if (entry->used && entry->holders == 0 &&
            (!oldest || entry->rests_since < oldest->rests_since))
            oldest = entry;
    }
    assert_non_null(oldest);
    oldest->used = false;
    world->evicted++;
}

static int add_entry(struct world *world, uint64_t name, bool ready)
{
    int at = 0;
    while (world->entries[at].used)
        at++;
    world->entries[at] = (struct entry){.used = true, .ready = ready, .name = name, .holders = 1};
    return at;
}

static void let_go(struct world *world, struct user *user, uint32_t index)
{
    if (user->held[index] == NOBODYS) {
        world->private_count--;
        return;
    }
    struct entry *entry = &world->entries[user->held[index]];
    if (--entry->holders > 0) return;
    entry->rests_since = ++world->now;
    entry->used = entry->ready;
}

/* What stands in a position: who may read it must find this. */
static int32_t token_of(const struct user *user, uint32_t at)
{
    uint32_t index = at / KV_BLOCK_TOKENS;
    uint64_t salt = user->salts[index >= user->salts[1].first_block].salt;
    return (int32_t)(rand_at(salt, (uint32_t)user->ids[at], at) >> 33);
}

static int32_t *slot_of(const struct world *world, const struct user *user, uint32_t at)
{
    int32_t *block = kv_block_at(world->pool, user->table.blocks[at / KV_BLOCK_TOKENS], 0, 0);
    return block + at % KV_BLOCK_TOKENS;
}

static void come(struct world *world, struct user *user)
{
    // Few beginnings, so that they meet; the second half of a prompt under one's own salt at times.
    uint64_t kind = rand_below(&world->rand, 3);
    uint32_t id_count = 1 + (uint32_t)rand_below(&world->rand, TOKENS_MAX / 2);
    user->salts[0] = (struct wire_salt){0, rand_below(&world->rand, 2)};
    user->salts[1] = (struct wire_salt){1 + (uint32_t)rand_below(&world->rand, 2),
                                        2 + rand_below(&world->rand, 2)};
    user->id_count = id_count;
    for (uint32_t at = 0; at < id_count; at++)
        user->ids[at] = (int32_t)(at < 70 ? kind : rand_below(&world->rand, 2));

    struct kv_path path = path_of(user);
    uint32_t wanted = (id_count + KV_BLOCK_TOKENS - 1) / KV_BLOCK_TOKENS;
    uint32_t shareable = (id_count - 1) / KV_BLOCK_TOKENS;
    uint32_t known = 0, ready = 0, resting = 0;
    for (; known < shareable; known++) {
        int at = find_entry(world, name_of(user, known));
        if (at == NOBODYS) break;
        ready += world->entries[at].ready;
        resting += world->entries[at].holders == 0;
        user->held[known] = at;
    }
    struct kv_count before = count_model(world);
    assert_int_equal(kv_cost(world->pool, &path), wanted - known + resting);
    if (wanted - known + resting > before.free + before.cached) {
        user->id_count = 0;
        return;
    }
    for (uint32_t i = 0; i < known; i++)
        world->entries[user->held[i]].holders++;
    for (uint32_t i = known; i < wanted; i++) {
        take_one(world);
        user->held[i] = NOBODYS;
        if (i < shareable)
            user->held[i] = add_entry(world, name_of(user, i), false);
        else
            world->private_count++;
    }
    enter(world->pool, user);
    assert_int_equal(user->computed, ready * KV_BLOCK_TOKENS);
    world->hits += ready;
}

static void settle_model(struct world *world, struct user *user)
{
    for (uint32_t i = 0; i < user->computed / KV_BLOCK_TOKENS; i++) {
        if (user->held[i] != NOBODYS) {
            world->entries[user->held[i]].ready = true;
            continue;
        }
        uint64_t name = name_of(user, i);
        int equal = find_entry(world, name);
        if (equal != NOBODYS && !world->entries[equal].ready) return;
        world->private_count--;
        if (equal != NOBODYS) world->entries[equal].holders++;
        user->held[i] = equal == NOBODYS ? add_entry(world, name, true) : equal;
    }
}

static void compute(struct world *world, struct user *user)
{
    uint32_t ready = kv_ready(world->pool, &user->table, user->computed, user->id_count);
    assert_true(ready >= user->computed && ready < user->id_count);
    user->computed = ready;
    uint32_t count = 1 + (uint32_t)rand_below(&world->rand, 50);
    if (count > user->id_count - ready) count = user->id_count - ready;
    for (uint32_t at = ready; at < ready + count; at++)
        *slot_of(world, user, at) = token_of(user, at);
    settle(world->pool, user, ready + count);
    settle_model(world, user);
}

/* An id is sampled, and computed. */
static void decode(struct world *world, struct user *user)
{
    if (user->id_count == TOKENS_MAX || user->computed < user->id_count) return;
    struct kv_count before = count_model(world);
    uint32_t needed = user->id_count % KV_BLOCK_TOKENS == 0;
    enum err err = kv_extend(world->pool, &user->table, 1);
    assert_int_equal(err == ERR_OK, needed <= before.free + before.cached);
    if (err) return;
    if (needed > 0) {
        take_one(world);
        user->held[user->table.block_count - 1] = NOBODYS;
        world->private_count++;
    }
    user->ids[user->id_count++] = (int32_t)rand_below(&world->rand, 2);
    *slot_of(world, user, user->computed) = token_of(user, user->computed);
    settle(world->pool, user, user->computed + 1);
    settle_model(world, user);
}

static void leave(struct world *world, struct user *user)
{
    for (uint32_t i = user->table.block_count; i-- > 0;)
        let_go(world, user, i);
    kv_release(world->pool, &user->table);
    user->id_count = 0;
}

static void check(const struct world *world)
{
    struct kv_count want = count_model(world);
    struct kv_count got = kv_count_blocks(world->pool);
    assert_memory_equal(&got, &want, sizeof got);
    for (int i = 0; i < USERS; i++) {
        const struct user *user = &world->users[i];
        for (uint32_t at = 0; user->id_count > 0 && at < user->computed; at++)
            assert_int_equal(*slot_of(world, user, at), token_of(user, at));
    }
}

static void act(struct world *world)
{
    struct user *user = &world->users[rand_below(&world->rand, USERS)];
    if (user->id_count == 0) {
        come(world, user);
        return;
    }
    uint64_t dice = rand_below(&world->rand, 12);
    if (dice == 0)
        leave(world, user);
    else if (user->computed < user->id_count)
        compute(world, user);
    else
        decode(world, user);
}

static void any_history_is_as_the_model_says(void **state)
{
    (void)state;
    uint64_t hits = 0, evicted = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        static struct world world;
        world = (struct world){.pool = given_pool(BLOCKS)};
        rand_init(&world.rand, seed);
        for (int i = 0; i < USERS; i++)
            kv_table_init(&world.users[i].table, TOKENS_MAX);
        for (int step = 0; step < 3000; step++) {
            act(&world);
            check(&world);
        }
        for (int i = 0; i < USERS; i++) {
            leave(&world, &world.users[i]);
            kv_table_fini(world.pool, &world.users[i].table);
        }
        check(&world);
        assert_int_equal(kv_blocks_available(world.pool), BLOCKS);
        hits += world.hits;
        evicted += world.evicted;
        kv_forget(world.pool, NULL);
        assert_int_equal(kv_blocks_free(world.pool), BLOCKS);
        kv_pool_free(world.pool);
    }
    assert_true(hits > 1000 && evicted > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_computed_is_there_for_the_next),
        cmocka_unit_test(what_is_free_is_empty),
        cmocka_unit_test(the_shorter_time_of_those_who_share_counts),
        cmocka_unit_test(without_a_salt_nothing_is_shared),
        cmocka_unit_test(what_was_never_computed_or_was_taken_back_is_not_found),
        cmocka_unit_test(twins_share_what_is_not_computed_yet),
        cmocka_unit_test(any_history_is_as_the_model_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

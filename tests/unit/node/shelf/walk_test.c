/* A walk against the plain search: every score, in double and in full. */
#include "node/shelf/shelf.h"
#include "node/shelf/walk.h"
#include "tests/test.h"

#include "kernels/cpu.h"
#include "kernels/ops.h"
#include "kernels/select.h"
#include "kernels/team.h"

#include "base/mem.h"
#include "base/rand.h"

#include <string.h>

enum {
    DIMS = 70,
    SHARDS = 3,
    ROWS = 1500, // of each shard, at most
    TOP = 40
};

/* All rows that there are, beside the shelf: [SHARDS][ROWS]. Shard s has numbers s * 32768 + 7 * i. */
struct world {
    struct shelf *shelf;
    const struct shelf_shard *shards[SHARDS];
    int8_t rows[SHARDS][ROWS][DIMS];
    float scales[SHARDS][ROWS];
    bool gone[SHARDS][ROWS];
};

static int32_t number_of(size_t shard, size_t row)
{
    return (int32_t)(shard * WIRE_SHARD_NUMBERS + 7 * row);
}

static void put_shard(struct world *world, size_t shard)
{
    static int32_t numbers[ROWS], dropped[ROWS];
    size_t dropped_count = 0;
    for (size_t i = 0; i < ROWS; i++) {
        numbers[i] = number_of(shard, i);
        if (world->gone[shard][i]) dropped[dropped_count++] = numbers[i];
    }
    struct wire_shard_put put = {.shard = shard + 1,
                                 .dims = DIMS,
                                 .version = 1,
                                 .reset = true,
                                 .numbers = numbers,
                                 .row_count = ROWS,
                                 .scales = world->scales[shard],
                                 .rows = (const uint8_t *)world->rows[shard],
                                 .rows_size = ROWS * DIMS};
    assert_int_equal(shelf_put(world->shelf, 1, &put), ERR_OK);
    put = (struct wire_shard_put){.shard = shard + 1,
                                  .dims = DIMS,
                                  .version = 1,
                                  .complete = true,
                                  .dropped = dropped,
                                  .dropped_count = dropped_count};
    assert_int_equal(shelf_put(world->shelf, 1, &put), ERR_OK);
    assert_int_equal(shelf_hold(world->shelf, shard + 1, DIMS, &world->shards[shard]), ERR_OK);
}

/* Few values and few scales: many scores are equal. */
static struct world *given_world(void)
{
    struct rand rand;
    rand_init(&rand, 5);
    struct world *world = mem_new(1, sizeof *world);
    world->shelf = shelf_new(1 << 28);
    for (size_t s = 0; s < SHARDS; s++) {
        for (size_t i = 0; i < ROWS; i++) {
            for (size_t d = 0; d < DIMS; d++)
                world->rows[s][i][d] = (int8_t)((int)rand_below(&rand, 3) - 1);
            world->scales[s][i] = rand_below(&rand, 2) ? 0.25f : 0.5f;
            world->gone[s][i] = rand_below(&rand, 5) == 0;
        }
        put_shard(world, s);
    }
    return world;
}

static void end_world(struct world *world)
{
    for (size_t s = 0; s < SHARDS; s++)
        shelf_let_go(world->shelf, world->shards[s]);
    shelf_free(world->shelf);
    mem_free(world);
}

static void given_vector(float vector[DIMS], uint64_t seed)
{
    struct rand rand;
    rand_init(&rand, seed);
    for (size_t d = 0; d < DIMS; d++)
        vector[d] = (float)((int)rand_below(&rand, 255) - 127);
    vector[seed % DIMS] = 127; // so that the scale is 1
}

static bool is_allowed(const struct walk_query *query, int32_t number)
{
    if (best_is_among(query->excluded, query->excluded_count, number)) return false;
    size_t byte = (size_t)number / 8;
    return !query->allowed ||
           (byte < query->allowed_size && (query->allowed[byte] >> (number % 8) & 1));
}

static bool comes_before(struct best_hit a, struct best_hit b)
{
    return a.score > b.score || (a.score == b.score && a.row < b.row);
}

/* By insertion, with nothing skipped. */
static uint32_t search(const struct world *world, const struct walk_query *query,
                       size_t shard_count, struct best_hit *list)
{
    uint32_t count = 0;
    for (size_t s = 0; s < shard_count; s++) {
        for (size_t i = 0; i < ROWS; i++) {
            if (world->gone[s][i] || !is_allowed(query, number_of(s, i))) continue;
            double dot = 0;
            for (size_t d = 0; d < DIMS; d++)
                dot += (double)query->vector[d] * world->rows[s][i][d];
            struct best_hit hit = {(float)dot * world->scales[s][i], number_of(s, i)};
            uint32_t at = count;
            for (; at > 0 && comes_before(hit, list[at - 1]); at--)
                if (at < query->top_count) list[at] = list[at - 1];
            if (at < query->top_count) list[at] = hit;
            if (count < query->top_count) count++;
        }
    }
    return count;
}

static void assert_found(const struct world *world, const struct walk *walk, size_t index,
                         const struct walk_query *query)
{
    struct best_hit want[TOP];
    uint32_t count;
    const struct best_hit *got = walk_hits(walk, index, &count);
    assert_int_equal(count, search(world, query, query->shard_count, want));
    assert_memory_equal(got, want, count * sizeof *want);
}

static void every_rung_and_any_threads_find_what_a_plain_search_does(void **state)
{
    (void)state;
    struct world *world = given_world();
    static const uint32_t features[] = {0, CPU_AVX2, CPU_AVX2 | CPU_AVX512};
    for (size_t i = 0; i < 3 * 3; i++) {
        if ((features[i % 3] & cpu_features()) != features[i % 3]) continue;
        struct ops ops;
        struct team *team = NULL;
        struct walk *walk;
        ops_select(&ops, features[i % 3]);
        if (i / 3 > 0) assert_int_equal(team_new(&team, (uint32_t)(i / 3 + 1)), ERR_OK);
        assert_int_equal(walk_new(&walk, &ops, team), ERR_OK);
        float vectors[WALK_QUERIES_MAX][DIMS];
        struct walk_query queries[WALK_QUERIES_MAX];
        for (size_t q = 0; q < WALK_QUERIES_MAX; q++) {
            given_vector(vectors[q], i * 100 + q);
            queries[q] = (struct walk_query){.vector = vectors[q],
                                             .size = DIMS,
                                             .shards = world->shards,
                                             .shard_count = 1 + q % SHARDS,
                                             .top_count = (uint32_t)(1 + q * 5)};
        }
        walk_begin(walk, queries, WALK_QUERIES_MAX);
        assert_true(walk_on(walk, UINT64_MAX));
        for (size_t q = 0; q < WALK_QUERIES_MAX; q++)
            assert_found(world, walk, q, &queries[q]);
        walk_free(walk);
        team_free(team);
    }
    end_world(world);
}

static void only_allowed_numbers_are_found(void **state)
{
    (void)state;
    struct world *world = given_world();
    struct ops ops;
    struct walk *walk;
    ops_select(&ops, cpu_features());
    assert_int_equal(walk_new(&walk, &ops, NULL), ERR_OK);
    float vector[DIMS];
    given_vector(vector, 3);
    struct walk_query query = {.vector = vector,
                               .size = DIMS,
                               .shards = world->shards,
                               .shard_count = SHARDS,
                               .top_count = 3};
    walk_begin(walk, &query, 1);
    assert_true(walk_on(walk, UINT64_MAX));
    uint32_t count;
    const struct best_hit *best = walk_hits(walk, 0, &count);
    int32_t excluded[] = {best[1].row};
    query.excluded = excluded;
    query.excluded_count = 1;
    static uint8_t allowed[2 * WIRE_SHARD_NUMBERS / 8 + 1]; // nothing of the third shard
    for (size_t i = 0; i < sizeof allowed; i++)
        allowed[i] = (uint8_t)(0x5a ^ i);
    query.allowed = allowed;
    query.allowed_size = sizeof allowed;
    query.top_count = TOP;
    walk_begin(walk, &query, 1);
    assert_true(walk_on(walk, UINT64_MAX));
    assert_found(world, walk, 0, &query);
    query.allowed_size = 0;
    walk_begin(walk, &query, 1);
    assert_true(walk_on(walk, UINT64_MAX));
    (void)walk_hits(walk, 0, &count);
    assert_int_equal(count, 0);
    walk_free(walk);
    end_world(world);
}

static void a_walk_that_rests_finds_the_same_and_who_leaves_is_not_looked_for(void **state)
{
    (void)state;
    struct world *world = given_world();
    struct ops ops;
    struct walk *walk;
    ops_select(&ops, cpu_features());
    assert_int_equal(walk_new(&walk, &ops, NULL), ERR_OK);
    float vectors[2][DIMS];
    struct walk_query queries[2];
    for (size_t q = 0; q < 2; q++) {
        given_vector(vectors[q], 50 + q);
        queries[q] = (struct walk_query){.vector = vectors[q],
                                         .size = DIMS,
                                         .shards = world->shards + q,
                                         .shard_count = 2,
                                         .top_count = TOP};
    }
    queries[1].shards = world->shards;
    walk_begin(walk, queries, 2);
    size_t turns = 0;
    for (; !walk_on(walk, 1); turns++) {
        if (turns != 20) continue;
        walk_leave(walk, 0);
        // The third shard was wanted by it alone: nobody may touch it now.
        queries[0].shards = NULL;
        struct shelf_shard *third = (struct shelf_shard *)(uintptr_t)world->shards[2];
        shelf_let_go(world->shelf, third);
        shelf_drop(world->shelf, 3);
    }
    assert_true(turns > 20);
    assert_found(world, walk, 1, &queries[1]);
    walk_free(walk);
    put_shard(world, 2);
    end_world(world);
}

int main(void)
{
    cpu_float_mode_set();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rung_and_any_threads_find_what_a_plain_search_does),
        cmocka_unit_test(only_allowed_numbers_are_found),
        cmocka_unit_test(a_walk_that_rests_finds_the_same_and_who_leaves_is_not_looked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

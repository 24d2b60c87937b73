#include "node/model/catalogue.h"
#include "tests/test.h"

#include "kernels/cpu.h"
#include "kernels/ops.h"
#include "kernels/quant.h"
#include "kernels/select.h"
#include "kernels/team.h"

#include "base/gguf.h"
#include "base/mem.h"
#include "base/rand.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct ops ops;
static struct team *team;
static struct rand chance;

static int make_team(void **state)
{
    (void)state;
    ops_select(&ops, cpu_features());
    rand_init(&chance, 11);
    return team_new(&team, 2);
}

static int end_team(void **state)
{
    (void)state;
    team_free(team);
    return 0;
}

static float drawn(void)
{
    return (float)(rand_unit(rand_next(&chance)) * 2 - 1);
}

static struct catalogue *catalogue_of(const float *rows, size_t count, size_t dim)
{
    struct catalogue_source source = {
        .type = GGUF_TENSOR_F32, .data = rows, .rows = count, .dim = dim};
    struct catalogue *catalogue;
    assert_int_equal(catalogue_new(&catalogue, &source, &ops, team), ERR_OK);
    return catalogue;
}

static float *drawn_rows(size_t count, size_t dim)
{
    float *rows = mem_new(count * dim, sizeof *rows);
    for (size_t i = 0; i < count * dim; i++)
        rows[i] = drawn();
    return rows;
}

static int by_rank(const void *left, const void *right)
{
    const struct best_hit *a = left;
    const struct best_hit *b = right;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    return a->row < b->row ? -1 : a->row > b->row;
}

static bool is_wanted(const struct catalogue_query *query, size_t row)
{
    if (query->row_end > 0 && (row < query->row_begin || row >= query->row_end)) return false;
    if (query->allowed &&
        (row / 8 >= query->allowed_size || !(query->allowed[row / 8] >> (row % 8) & 1)))
        return false;
    bool is_candidate = query->candidate_count == 0;
    for (size_t i = 0; i < query->candidate_count; i++)
        is_candidate |= query->candidates[i] == (int32_t)row;
    if (!is_candidate) return false;
    for (size_t i = 0; i < query->excluded_count; i++)
        if (query->excluded[i] == (int32_t)row) return false;
    return true;
}

/* Every row in float, sorted: what the ranking must give, bit for bit. */
static size_t truth(const struct catalogue *catalogue, size_t dim,
                    const struct catalogue_query *query, struct best_hit *out)
{
    size_t count = 0;
    for (size_t row = 0; row < catalogue_rows(catalogue); row++) {
        if (!is_wanted(query, row)) continue;
        out[count++] = (struct best_hit){ops.dot(query->vector, catalogue_row(catalogue, row), dim),
                                         (int32_t)row};
    }
    qsort(out, count, sizeof *out, by_rank);
    return count < query->top_count ? count : query->top_count;
}

static void check(const struct catalogue *catalogue, size_t dim,
                  const struct catalogue_query *queries, size_t count)
{
    struct ranking *ranking;
    uint32_t most = 1;
    for (size_t i = 0; i < count; i++)
        if (queries[i].top_count > most) most = queries[i].top_count;
    assert_int_equal(ranking_new(&ranking, catalogue, team, (uint32_t)count, most), ERR_OK);
    struct best_hit *want = mem_new(catalogue_rows(catalogue), sizeof *want);
    ranking_run(ranking, queries, count);
    for (size_t i = 0; i < count; i++) {
        uint32_t got_count;
        const struct best_hit *got = ranking_hits(ranking, i, &got_count);
        size_t want_count = truth(catalogue, dim, &queries[i], want);
        assert_int_equal(got_count, want_count);
        assert_memory_equal(got, want, want_count * sizeof *want);
    }
    mem_free(want);
    ranking_free(ranking);
}

static void lists_are_those_of_scoring_every_row_in_float(void **state)
{
    (void)state;
    static const size_t shapes[][2] = {{1, 1},     {3, 7},     {64, 32},   {65, 33},
                                       {1023, 64}, {1024, 64}, {1025, 64}, {5000, 50}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        size_t count = shapes[s][0];
        size_t dim = shapes[s][1];
        float *rows = drawn_rows(count, dim);
        struct catalogue *catalogue = catalogue_of(rows, count, dim);
        float *vectors = drawn_rows(33, dim);
        struct catalogue_query queries[33];
        for (size_t i = 0; i < 33; i++)
            queries[i] = (struct catalogue_query){.vector = vectors + i * dim,
                                                  .top_count = 1 + 3 * (uint32_t)i};
        check(catalogue, dim, queries, 33);
        catalogue_free(catalogue);
        mem_free(vectors);
        mem_free(rows);
    }
}

/* Rounding is at its worst where one value of a block dwarfs the others and scores lie close together. */
static void rows_that_round_badly_are_ranked_exactly(void **state)
{
    (void)state;

    enum {
        COUNT = 3000,
        DIM = 64
    };

    float *rows = drawn_rows(COUNT, DIM);
    for (size_t i = 0; i < COUNT; i++) {
        rows[i * DIM] = 1000;
        for (size_t k = 1; k < DIM; k++)
            rows[i * DIM + k] *= i % 3 == 0 ? 1e-3f : 2;
        if (i % 7 == 0) memcpy(rows + i * DIM, rows, DIM * sizeof *rows); // ties
        if (i % 50 == 0) memset(rows + i * DIM, 0, DIM * sizeof *rows);
        if (i == 1717) rows[i * DIM + 5] = 1e30f; // its scale is beyond f16
        if (i == 1718) rows[i * DIM + 5] = 1e-42f;
    }
    struct catalogue *catalogue = catalogue_of(rows, COUNT, DIM);
    float *vectors = drawn_rows(4, DIM);
    vectors[0] = 1e-3f;
    memset(vectors + DIM, 0, DIM * sizeof *vectors); // every score is 0
    for (size_t k = 0; k < DIM; k++)
        vectors[2 * DIM + k] *= 1e-20f;
    struct catalogue_query queries[4];
    for (size_t i = 0; i < 4; i++)
        queries[i] = (struct catalogue_query){.vector = vectors + i * DIM, .top_count = 100};
    check(catalogue, DIM, queries, 4);
    catalogue_free(catalogue);
    mem_free(vectors);
    mem_free(rows);
}

static void exclusions_filters_and_slices_are_applied_before_the_cut(void **state)
{
    (void)state;

    enum {
        COUNT = 2500,
        DIM = 24
    };

    float *rows = drawn_rows(COUNT, DIM);
    struct catalogue *catalogue = catalogue_of(rows, COUNT, DIM);
    float *vector = drawn_rows(1, DIM);
    uint8_t allowed[COUNT / 8 + 1] = {0};
    for (size_t row = 0; row < COUNT; row++)
        if (rand_below(&chance, 100) < 3) allowed[row / 8] |= (uint8_t)(1 << row % 8);
    struct best_hit best[50];
    struct catalogue_query all = {.vector = vector, .top_count = 50};
    struct best_hit *sorted = mem_new(COUNT, sizeof *sorted);
    truth(catalogue, DIM, &all, sorted);
    memcpy(best, sorted, sizeof best);
    mem_free(sorted);
    int32_t excluded[50];
    for (size_t i = 0; i < 50; i++)
        excluded[i] = best[i].row;
    for (size_t i = 0; i < 50; i++) // ascending
        for (size_t k = i + 1; k < 50; k++)
            if (excluded[k] < excluded[i]) {
                int32_t row = excluded[i];
                excluded[i] = excluded[k];
                excluded[k] = row;
            }
    struct catalogue_query queries[] = {
        {.vector = vector, .top_count = 20, .excluded = excluded, .excluded_count = 50},
        {.vector = vector, .top_count = 20, .allowed = allowed, .allowed_size = sizeof allowed},
        {.vector = vector, .top_count = 20, .allowed = allowed, .allowed_size = 100},
        {.vector = vector, .top_count = 20, .allowed = allowed, .allowed_size = 0},
        {.vector = vector, .top_count = 20, .row_begin = 1000, .row_end = 1100},
        {.vector = vector, .top_count = 20, .row_begin = 70, .row_end = 71},
        {.vector = vector, .top_count = 20, .row_begin = 64, .row_end = 5000},
        {.vector = vector, .top_count = 20, .row_begin = 2499, .row_end = 2500},
        {.vector = vector,
         .top_count = 20,
         .excluded = excluded,
         .excluded_count = 50,
         .allowed = allowed,
         .allowed_size = sizeof allowed,
         .row_begin = 500,
         .row_end = 2000},
    };
    check(catalogue, DIM, queries, sizeof queries / sizeof *queries);
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++)
        check(catalogue, DIM, &queries[i], 1);
    catalogue_free(catalogue);
    mem_free(vector);
    mem_free(rows);
}

static void candidates_alone_are_ranked_beside_queries_that_walk(void **state)
{
    (void)state;

    enum {
        COUNT = 2500,
        DIM = 40,
        CANDIDATES = 300
    };

    float *rows = drawn_rows(COUNT, DIM);
    struct catalogue *catalogue = catalogue_of(rows, COUNT, DIM);
    float *vectors = drawn_rows(2, DIM);
    uint8_t allowed[COUNT / 8 + 1];
    memset(allowed, 0x5a, sizeof allowed);
    int32_t candidates[CANDIDATES]; // ascending, each third one twice
    for (int32_t i = 0; i < CANDIDATES; i++)
        candidates[i] = i * 8 + (i % 3 == 1 ? -8 : 0);
    const int32_t excluded[] = {16, 40, 64, 65};
    const struct catalogue_query few = {
        .vector = vectors, .candidates = candidates, .candidate_count = CANDIDATES};
    struct catalogue_query queries[6];
    for (size_t i = 0; i < 6; i++) {
        queries[i] = few;
        queries[i].top_count = i == 5 ? 1 : 500;
    }
    queries[1] = (struct catalogue_query){.vector = vectors + DIM, .top_count = 20};
    queries[2].excluded = excluded;
    queries[2].excluded_count = 4;
    queries[3].allowed = allowed;
    queries[3].allowed_size = 200;
    queries[4].row_begin = 70;
    queries[4].row_end = 900;
    check(catalogue, DIM, queries, 6);
    for (size_t i = 0; i < 6; i++)
        check(catalogue, DIM, &queries[i], 1);
    catalogue_free(catalogue);
    mem_free(vectors);
    mem_free(rows);
}

static void slices_merge_to_the_list_of_the_whole(void **state)
{
    (void)state;

    enum {
        COUNT = 4000,
        DIM = 32,
        TOP = 30,
        SLICES = 7
    };

    float *rows = drawn_rows(COUNT, DIM);
    for (size_t i = 0; i < COUNT; i += 2) // ties over the slices' borders
        memcpy(rows + i * DIM, rows + i % 300 * DIM, DIM * sizeof *rows);
    struct catalogue *catalogue = catalogue_of(rows, COUNT, DIM);
    float *vector = drawn_rows(1, DIM);
    struct ranking *ranking;
    assert_int_equal(ranking_new(&ranking, catalogue, team, 1, TOP), ERR_OK);
    struct best_hit merged[SLICES * TOP];
    size_t count = 0;
    for (uint32_t i = 0; i < SLICES; i++) {
        struct catalogue_query query = {.vector = vector,
                                        .top_count = TOP,
                                        .row_begin = i * COUNT / SLICES,
                                        .row_end = (i + 1) * COUNT / SLICES};
        ranking_run(ranking, &query, 1);
        uint32_t found;
        const struct best_hit *hits = ranking_hits(ranking, 0, &found);
        memcpy(merged + count, hits, found * sizeof *hits);
        count += found;
    }
    qsort(merged, count, sizeof *merged, by_rank);
    struct catalogue_query query = {.vector = vector, .top_count = TOP};
    ranking_run(ranking, &query, 1);
    uint32_t found;
    const struct best_hit *hits = ranking_hits(ranking, 0, &found);
    assert_int_equal(found, TOP);
    assert_memory_equal(hits, merged, TOP * sizeof *hits);
    ranking_free(ranking);
    catalogue_free(catalogue);
    mem_free(vector);
    mem_free(rows);
}

static void most_rows_are_never_scored_in_float(void **state)
{
    (void)state;
    float *rows = drawn_rows(20000, 64);
    struct catalogue *catalogue = catalogue_of(rows, 20000, 64);
    float *vector = drawn_rows(1, 64);
    struct ranking *ranking;
    assert_int_equal(ranking_new(&ranking, catalogue, team, 1, 20), ERR_OK);
    struct catalogue_query query = {.vector = vector, .top_count = 20};
    ranking_run(ranking, &query, 1);
    assert_in_range(ranking_scored(ranking), 20, 1000);
    ranking_free(ranking);
    catalogue_free(catalogue);
    mem_free(vector);
    mem_free(rows);
}

static void a_row_without_finite_values_is_refused_by_its_number(void **state)
{
    (void)state;
    float *rows = drawn_rows(3000, 8);
    rows[2222 * 8 + 3] = NAN;
    rows[2900 * 8] = INFINITY;
    struct catalogue_source source = {
        .type = GGUF_TENSOR_F32, .data = rows, .rows = 3000, .dim = 8};
    struct catalogue *catalogue;
    assert_int_equal(catalogue_new(&catalogue, &source, &ops, team), ERR_FORMAT);
    assert_non_null(strstr(err_text(), "row 2222"));
    mem_free(rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_those_of_scoring_every_row_in_float),
        cmocka_unit_test(rows_that_round_badly_are_ranked_exactly),
        cmocka_unit_test(exclusions_filters_and_slices_are_applied_before_the_cut),
        cmocka_unit_test(candidates_alone_are_ranked_beside_queries_that_walk),
        cmocka_unit_test(slices_merge_to_the_list_of_the_whole),
        cmocka_unit_test(most_rows_are_never_scored_in_float),
        cmocka_unit_test(a_row_without_finite_values_is_refused_by_its_number),
    };
    return cmocka_run_group_tests(tests, make_team, end_team);
}

#include "tests/test.h"

#include "text/merge.h"

#include "base/rand.h"

#include <stdbool.h>
#include <string.h>

enum {
    LETTERS = 4,
    SYMBOLS_MAX = 400,
    PAIRS_MAX = 40
};

struct pair {
    int32_t left, right, merged;
    uint32_t rank;
};

static const struct pair *find_pair(const struct pair *pairs, size_t count, int32_t left,
                                    int32_t right)
{
    for (size_t i = 0; i < count; i++)
        if (pairs[i].left == left && pairs[i].right == right) return &pairs[i];
    return NULL;
}

/* The definition itself, quadratic. */
static size_t merge_by_definition(const struct pair *pairs, size_t pair_count, int32_t *symbols,
                                  size_t count)
{
    while (true) {
        size_t best = 0;
        const struct pair *chosen = NULL;
        for (size_t i = 0; i + 1 < count; i++) {
            const struct pair *pair = find_pair(pairs, pair_count, symbols[i], symbols[i + 1]);
            if (!pair || (chosen && pair->rank >= chosen->rank)) continue;
            chosen = pair;
            best = i;
        }
        if (!chosen) return count;
        symbols[best] = chosen->merged;
        memmove(symbols + best + 1, symbols + best + 2, (count - best - 2) * sizeof *symbols);
        count--;
    }
}

static size_t random_pairs(struct rand *rand, struct pair *pairs, struct merge_table *table)
{
    size_t count = 1 + rand_below(rand, PAIRS_MAX), made = 0;
    for (size_t i = 0; i < count; i++) {
        struct pair pair = {.left = (int32_t)rand_below(rand, LETTERS + i),
                            .right = (int32_t)rand_below(rand, LETTERS + i),
                            .merged = (int32_t)(LETTERS + i),
                            .rank = (uint32_t)rand_below(rand, count)}; // ties are wanted
        if (find_pair(pairs, made, pair.left, pair.right)) continue;
        pairs[made++] = pair;
        merge_table_add(table, pair.left, pair.right, pair.rank, pair.merged);
    }
    return made;
}

static void both_ways_of_merging_keep_the_definition(void **state)
{
    (void)state;
    struct rand rand;
    struct merge_scratch scratch = {0};
    rand_init(&rand, 7);
    for (int round = 0; round < 1500; round++) {
        struct pair pairs[PAIRS_MAX];
        struct merge_table table;
        merge_table_init(&table, PAIRS_MAX);
        size_t pair_count = random_pairs(&rand, pairs, &table);
        int32_t want[SYMBOLS_MAX], got[SYMBOLS_MAX];
        size_t count = rand_below(&rand, round % 2 ? 60 : SYMBOLS_MAX);
        for (size_t i = 0; i < count; i++)
            want[i] = got[i] =
                rand_below(&rand, 50) == 0 ? -5 : (int32_t)rand_below(&rand, LETTERS);
        size_t want_count = merge_by_definition(pairs, pair_count, want, count);
        assert_int_equal(merge_run(&table, &scratch, got, count), want_count);
        assert_memory_equal(got, want, want_count * sizeof *want);
        merge_table_fini(&table);
    }
    merge_scratch_fini(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ways_of_merging_keep_the_definition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

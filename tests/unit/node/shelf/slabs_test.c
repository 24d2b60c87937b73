#include "node/shelf/slabs.h"
#include "tests/test.h"

#include "base/mem.h"
#include "base/rand.h"

#include <stdbool.h>

enum {
    PIECES = 600,
    STEPS = 20000
};

struct held {
    struct slab *slab;
    unsigned char *piece;
    size_t size;
    unsigned char mark;
};

static bool is_intact(const struct held *held)
{
    return held->piece[0] == held->mark && held->piece[held->size - 1] == held->mark;
}

static void pieces_do_not_overlap_and_all_memory_goes_back(void **state)
{
    (void)state;
    static const size_t sizes[] = {64, 16384, 98304, 3 << 20};
    static struct held held[PIECES];
    struct slabs slabs = {0};
    struct rand rand;
    rand_init(&rand, 3);
    for (int step = 0; step < STEPS; step++) {
        struct held *one = &held[rand_below(&rand, PIECES)];
        if (one->piece) {
            assert_true(is_intact(one));
            slabs_give(&slabs, one->slab, one->piece);
            one->piece = NULL;
            continue;
        }
        // The largest are few.
        one->size = sizes[rand_below(&rand, rand_below(&rand, 50) ? 3 : 4)];
        uint64_t bytes = slabs.bytes;
        size_t cost = slabs_cost(&slabs, one->size);
        one->piece = slabs_take(&slabs, one->size, &one->slab);
        assert_non_null(one->piece);
        assert_int_equal(slabs.bytes - bytes, cost);
        assert_int_equal((uintptr_t)one->piece % 64, 0);
        one->mark = (unsigned char)step;
        one->piece[0] = one->piece[one->size - 1] = one->mark;
    }
    for (size_t i = 0; i < PIECES; i++) {
        if (!held[i].piece) continue;
        assert_true(is_intact(&held[i]));
        slabs_give(&slabs, held[i].slab, held[i].piece);
    }
    assert_int_equal(slabs.bytes, 0);
    assert_null(slabs.open);
}

static void a_slab_has_many_small_pieces_or_one_large(void **state)
{
    (void)state;
    struct slabs slabs = {0};
    struct slab *slab[22];
    void *pieces[22];
    for (size_t i = 0; i < 21; i++) {
        assert_int_equal(slabs_cost(&slabs, 98304), i == 0 ? MEM_HUGE_PAGE : 0);
        pieces[i] = slabs_take(&slabs, 98304, &slab[i]);
        assert_ptr_equal(slab[i], slab[0]);
    }
    assert_int_equal(slabs_cost(&slabs, 98304), MEM_HUGE_PAGE);
    pieces[21] = slabs_take(&slabs, 3 << 20, &slab[21]);
    assert_int_equal(slabs.bytes, MEM_HUGE_PAGE + (3 << 20));
    for (size_t i = 0; i < 22; i++)
        slabs_give(&slabs, slab[i], pieces[i]);
    assert_int_equal(slabs.bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_do_not_overlap_and_all_memory_goes_back),
        cmocka_unit_test(a_slab_has_many_small_pieces_or_one_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

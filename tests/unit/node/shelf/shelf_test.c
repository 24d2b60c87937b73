#include "node/shelf/shelf.h"
#include "tests/test.h"

#include "kernels/scan.h"

#include "base/rand.h"

#include <string.h>

enum {
    DIMS = 5,
    LINK = 7,
    ROOM = 1 << 24
};

/* Rows of numbers first, first + 1, …; each is of its number's low byte, with its number for a scale. */
struct part {
    int32_t numbers[600];
    float scales[600];
    uint8_t rows[600 * DIMS];
    struct wire_shard_put put;
};

static struct part *part_of(uint64_t shard, int32_t first, size_t count)
{
    static struct part part;
    for (size_t i = 0; i < count; i++) {
        part.numbers[i] = first + (int32_t)i;
        part.scales[i] = (float)part.numbers[i];
        memset(part.rows + i * DIMS, part.numbers[i] & 255, DIMS);
    }
    part.put = (struct wire_shard_put){.shard = shard,
                                       .dims = DIMS,
                                       .version = 1,
                                       .numbers = part.numbers,
                                       .row_count = count,
                                       .scales = part.scales,
                                       .rows = part.rows,
                                       .rows_size = count * DIMS};
    return &part;
}

static void put_whole(struct shelf *shelf, uint64_t shard, int32_t first, size_t count)
{
    struct part *part = part_of(shard, first, count);
    part->put.reset = part->put.complete = true;
    assert_int_equal(shelf_put(shelf, LINK, &part->put), ERR_OK);
}

/* NULL: it is not there. */
static const struct wire_shard *told(struct shelf *shelf, uint64_t shard)
{
    struct wire_shard_state state = shelf_state(shelf);
    for (size_t i = 0; i < state.shard_count; i++)
        if (state.shards[i].shard == shard) return &state.shards[i];
    return NULL;
}

static bool has_row(const struct shelf_shard *shard, int32_t number)
{
    size_t at = (size_t)(number - shard->first);
    size_t place = at % SHELF_BLOCK;
    const struct shelf_block *block = shard->blocks[at / SHELF_BLOCK];
    if (!block || !(block->present[place / 64] >> (place % 64) & 1)) return false;
    assert_true(block->scales[place] == (float)number);
    for (size_t i = 0; i < shard->width; i++)
        assert_int_equal(block->rows[place * shard->width + i],
                         i < DIMS ? (int8_t)(number & 255) : 0);
    return true;
}

static void a_shard_is_whole_when_its_last_part_says_so(void **state)
{
    (void)state;
    struct shelf *shelf = shelf_new(ROOM);
    const struct shelf_shard *shard;
    assert_true(shelf_is_empty(shelf));
    uint64_t changes = shelf_changes(shelf);
    struct part *part = part_of(1, 32768, 300);
    part->put.reset = true;
    assert_int_equal(shelf_put(shelf, LINK, &part->put), ERR_OK);
    assert_int_equal(told(shelf, 1)->version, 0);
    assert_int_equal(told(shelf, 1)->rows, 300);
    assert_int_equal(shelf_hold(shelf, 1, DIMS, &shard), ERR_NOT_FOUND);
    assert_string_equal(err_text(), "shard");
    part = part_of(1, 65000, 10);
    part->put.complete = true;
    part->put.version = 9;
    assert_int_equal(shelf_put(shelf, LINK, &part->put), ERR_OK);
    assert_true(shelf_changes(shelf) > changes);
    assert_int_equal(told(shelf, 1)->version, 9);
    assert_int_equal(told(shelf, 1)->rows, 310);
    assert_int_equal(told(shelf, 1)->dims, DIMS);
    assert_int_equal(shelf_hold(shelf, 1, DIMS, &shard), ERR_OK);
    assert_true(has_row(shard, 32768) && has_row(shard, 33067) && has_row(shard, 65009));
    assert_false(has_row(shard, 33068) || has_row(shard, 64999) || has_row(shard, 65010));
    assert_int_equal((uintptr_t)shard->blocks[0]->rows % SCAN_ALIGN, 0);
    shelf_let_go(shelf, shard);
    assert_int_equal(shelf_hold(shelf, 1, DIMS + 1, &shard), ERR_INVALID);
    shelf_free(shelf);
}

static void rows_come_and_go_while_a_shard_stays_whole(void **state)
{
    (void)state;
    struct shelf *shelf = shelf_new(ROOM);
    put_whole(shelf, 1, 0, 300);
    static const int32_t gone[] = {3, 299, 10, 31000};
    struct part *part = part_of(1, 10, 1); // 10 is in both lists: it stays
    part->put.version = 5;
    part->put.dropped = gone;
    part->put.dropped_count = 4;
    assert_int_equal(shelf_put(shelf, LINK + 1, &part->put), ERR_OK); // whole: any link may
    assert_int_equal(told(shelf, 1)->version, 1);
    assert_int_equal(told(shelf, 1)->rows, 298);
    part->put.complete = true;
    assert_int_equal(shelf_put(shelf, LINK + 1, &part->put), ERR_OK);
    assert_int_equal(told(shelf, 1)->version, 5);
    const struct shelf_shard *shard;
    assert_int_equal(shelf_hold(shelf, 1, DIMS, &shard), ERR_OK);
    assert_true(has_row(shard, 10) && has_row(shard, 4));
    assert_false(has_row(shard, 3) || has_row(shard, 299));
    shelf_let_go(shelf, shard);
    shelf_free(shelf);
}

static void what_is_held_does_not_change(void **state)
{
    (void)state;
    struct shelf *shelf = shelf_new(ROOM);
    const struct shelf_shard *before;
    const struct shelf_shard *after;
    put_whole(shelf, 1, 0, 600);
    assert_int_equal(shelf_hold(shelf, 1, DIMS, &before), ERR_OK);
    static const int32_t gone[] = {0, 600};
    struct part *part = part_of(1, 599, 1);
    part->scales[0] = 0.5f;
    part->put.dropped = gone;
    part->put.dropped_count = 1;
    assert_int_equal(shelf_put(shelf, LINK, &part->put), ERR_OK);
    assert_int_equal(shelf_hold(shelf, 1, DIMS, &after), ERR_OK);
    assert_true(has_row(before, 0) && has_row(before, 599));
    assert_false(has_row(after, 0));
    assert_true(after->blocks[2]->scales[599 - 512] == 0.5f);
    assert_ptr_equal(before->blocks[1], after->blocks[1]); // what neither wrote is shared
    shelf_drop(shelf, 1);
    assert_null(told(shelf, 1));
    assert_true(has_row(before, 300) && has_row(after, 300));
    assert_true(shelf_state(shelf).used > 0);
    shelf_let_go(shelf, before);
    shelf_let_go(shelf, after);
    assert_int_equal(shelf_state(shelf).used, 0);
    shelf_free(shelf);
}

/* A row in each of so many blocks. */
static void put_sparse(struct shelf *shelf, uint64_t shard, size_t blocks)
{
    struct part *part = part_of(shard, 0, blocks);
    for (size_t i = 0; i < blocks; i++)
        part->numbers[i] *= SHELF_BLOCK;
    part->put.reset = part->put.complete = true;
    assert_int_equal(shelf_put(shelf, LINK, &part->put), ERR_OK);
}

static void what_does_not_fit_costs_its_shard_and_no_other(void **state)
{
    (void)state;
    struct shelf *shelf = shelf_new(3 << 20); // 128 blocks of 256 rows of 64 bytes, and no more
    put_sparse(shelf, 1, 100);
    put_sparse(shelf, 2, 28);
    struct part *part = part_of(3, 0, 1);
    part->put.reset = true;
    assert_int_equal(shelf_put(shelf, LINK, &part->put), ERR_TOO_LARGE);
    assert_non_null(strstr(err_text(), "of 3145728 are"));
    assert_null(told(shelf, 3));
    assert_int_equal(shelf_state(shelf).refused, 1);
    assert_int_equal(told(shelf, 1)->rows, 100);
    part = part_of(1, 101 * SHELF_BLOCK, 1); // another block
    assert_int_equal(shelf_put(shelf, LINK, &part->put), ERR_TOO_LARGE);
    assert_null(told(shelf, 1));
    assert_int_equal(told(shelf, 2)->rows, 28);
    assert_int_equal(shelf_put(shelf, LINK, &part->put), ERR_OK); // it has no shard: passed over
    assert_null(told(shelf, 1));
    assert_int_equal(shelf_state(shelf).refused, 2);
    put_sparse(shelf, 3, 100); // what was given up is there for others
    shelf_free(shelf);
}

static void a_part_that_contradicts_costs_its_shard(void **state)
{
    (void)state;
    struct shelf *shelf = shelf_new(ROOM);
    put_whole(shelf, 1, 0, 10);
    struct part *part = part_of(1, 32767, 2); // the second is another shard's
    assert_int_equal(shelf_put(shelf, LINK, &part->put), ERR_INVALID);
    assert_string_equal(err_text(), "shard: number 32768, its numbers are 0 to 32767");
    assert_null(told(shelf, 1));
    put_whole(shelf, 1, 0, 10);
    static const int32_t gone[] = {70000};
    part = part_of(1, 5, 1);
    part->put.dropped = gone;
    part->put.dropped_count = 1;
    assert_int_equal(shelf_put(shelf, LINK, &part->put), ERR_INVALID);
    put_whole(shelf, 1, 0, 10);
    part = part_of(1, 0, 1);
    part->put.dims = DIMS - 1;
    assert_int_equal(shelf_put(shelf, LINK, &part->put), ERR_INVALID);
    assert_string_equal(err_text(), "shard: rows of 4, it has rows of 5");
    assert_true(shelf_is_empty(shelf));
    assert_int_equal(shelf_state(shelf).used, 0);
    shelf_free(shelf);
}

static void only_who_began_a_shard_fills_it(void **state)
{
    (void)state;
    struct shelf *shelf = shelf_new(ROOM);
    struct part *part = part_of(1, 0, 10);
    part->put.reset = true;
    assert_int_equal(shelf_put(shelf, LINK, &part->put), ERR_OK);
    part = part_of(1, 10, 10);
    part->put.complete = true;
    assert_int_equal(shelf_put(shelf, LINK + 1, &part->put), ERR_OK);
    assert_int_equal(told(shelf, 1)->rows, 10);
    assert_int_equal(told(shelf, 1)->version, 0);
    put_whole(shelf, 2, 0, 10);
    shelf_link_down(shelf, LINK);
    assert_null(told(shelf, 1)); // nobody would fill it any more
    assert_int_equal(told(shelf, 2)->version, 1);
    shelf_free(shelf);
}

static void an_older_part_is_passed_over(void **state)
{
    (void)state;
    struct shelf *shelf = shelf_new(ROOM);
    struct part *part = part_of(1, 0, 10);
    part->put.reset = part->put.complete = true;
    part->put.version = 8;
    assert_int_equal(shelf_put(shelf, LINK, &part->put), ERR_OK);
    part = part_of(1, 10, 1);
    part->put.version = 7;
    part->put.complete = true;
    assert_int_equal(shelf_put(shelf, LINK, &part->put), ERR_OK);
    assert_int_equal(told(shelf, 1)->rows, 10);
    assert_int_equal(told(shelf, 1)->version, 8);
    part->put.reset = true; // begins anew, whatever was there
    assert_int_equal(shelf_put(shelf, LINK, &part->put), ERR_OK);
    assert_int_equal(told(shelf, 1)->rows, 1);
    assert_int_equal(told(shelf, 1)->version, 7);
    shelf_free(shelf);
}

static void shards_are_bounded_in_number(void **state)
{
    (void)state;
    struct shelf *shelf = shelf_new(ROOM);
    for (uint64_t i = 0; i <= WIRE_SHARDS_MAX; i++) {
        struct part *part = part_of(i * 0x9e3779b97f4a7c15, 0, 0);
        part->put.reset = part->put.complete = true;
        assert_int_equal(shelf_put(shelf, LINK, &part->put),
                         i < WIRE_SHARDS_MAX ? ERR_OK : ERR_TOO_LARGE);
    }
    assert_int_equal(shelf_state(shelf).shard_count, WIRE_SHARDS_MAX);
    shelf_free(shelf);
}

static void copies_for_holders_are_bounded_too(void **state)
{
    (void)state;

    enum {
        HOLDERS = 200,
        MEMORY = 9 << 18 // of 2 MiB are 128 blocks
    };
    struct shelf *shelf = shelf_new(MEMORY);
    const struct shelf_shard *held[HOLDERS];
    put_whole(shelf, 1, 0, 256);
    size_t count = 0;
    while (count < HOLDERS && shelf_hold(shelf, 1, DIMS, &held[count]) == ERR_OK) {
        count++;
        (void)shelf_put(shelf, LINK, &part_of(1, 0, 1)->put);
        assert_true(shelf_state(shelf).used <= MEMORY + MEMORY / SHELF_SPARE);
    }
    assert_true(count > 2 && count < HOLDERS); // then the shard was given up
    for (size_t i = 0; i < count; i++)
        shelf_let_go(shelf, held[i]);
    assert_int_equal(shelf_state(shelf).used, 0);
    shelf_free(shelf);
}

enum {
    PLAIN_NUMBERS = 3000, // of a shard that begins at 0
    PLAIN_STEPS = 3000,
    PLAIN_HELD = 6
};

/* What a shard should be: which numbers it has, with what scale. */
struct plain {
    bool has[PLAIN_NUMBERS];
    float scales[PLAIN_NUMBERS];
};

static void assert_plain(const struct shelf_shard *shard, const struct plain *plain)
{
    uint32_t rows = 0;
    for (size_t i = 0; i < PLAIN_NUMBERS; i++) {
        const struct shelf_block *block = shard->blocks[i / SHELF_BLOCK];
        size_t place = i % SHELF_BLOCK;
        bool has = block && (block->present[place / 64] >> (place % 64) & 1);
        assert_int_equal(has, plain->has[i]);
        if (has) assert_true(block->scales[place] == plain->scales[i]);
        rows += has;
    }
    assert_int_equal(shard->rows, rows);
}

/* Up to 600 rows put and as many numbers dropped, anywhere. */
static void change_both(struct shelf *shelf, struct plain *plain, struct rand *rand)
{
    static int32_t gone[600];
    struct part *part = part_of(1, 0, 1 + (size_t)rand_below(rand, 600));
    int32_t first = (int32_t)rand_below(rand, PLAIN_NUMBERS - 600);
    part->put.dropped_count = (size_t)rand_below(rand, 600);
    part->put.dropped = gone;
    for (size_t i = 0; i < part->put.dropped_count; i++) {
        gone[i] = (int32_t)rand_below(rand, PLAIN_NUMBERS);
        plain->has[gone[i]] = false;
    }
    for (size_t i = 0; i < part->put.row_count; i++) {
        part->numbers[i] = first + (int32_t)i;
        part->scales[i] = (float)rand_unit(rand_next(rand));
        plain->has[part->numbers[i]] = true;
        plain->scales[part->numbers[i]] = part->scales[i];
    }
    assert_int_equal(shelf_put(shelf, LINK, &part->put), ERR_OK);
}

static void any_parts_leave_what_a_plain_list_would_and_the_held_as_they_were(void **state)
{
    (void)state;
    static struct plain now, then[PLAIN_HELD];
    struct rand rand;
    rand_init(&rand, 11);
    struct shelf *shelf = shelf_new(ROOM);
    const struct shelf_shard *held[PLAIN_HELD] = {0};
    put_whole(shelf, 1, 0, 0);
    for (int step = 0; step < PLAIN_STEPS; step++) {
        size_t at = (size_t)rand_below(&rand, PLAIN_HELD);
        if (held[at]) {
            if (step % 8 == 0) assert_plain(held[at], &then[at]);
            shelf_let_go(shelf, held[at]);
            held[at] = NULL;
        } else {
            assert_int_equal(shelf_hold(shelf, 1, DIMS, &held[at]), ERR_OK);
            then[at] = now;
        }
        change_both(shelf, &now, &rand);
    }
    for (size_t i = 0; i < PLAIN_HELD; i++) {
        if (held[i]) assert_plain(held[i], &then[i]);
        if (held[i]) shelf_let_go(shelf, held[i]);
    }
    assert_int_equal(shelf_hold(shelf, 1, DIMS, &held[0]), ERR_OK);
    assert_plain(held[0], &now);
    shelf_let_go(shelf, held[0]);
    shelf_drop(shelf, 1);
    assert_int_equal(shelf_state(shelf).used, 0);
    shelf_free(shelf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shard_is_whole_when_its_last_part_says_so),
        cmocka_unit_test(rows_come_and_go_while_a_shard_stays_whole),
        cmocka_unit_test(what_is_held_does_not_change),
        cmocka_unit_test(what_does_not_fit_costs_its_shard_and_no_other),
        cmocka_unit_test(a_part_that_contradicts_costs_its_shard),
        cmocka_unit_test(only_who_began_a_shard_fills_it),
        cmocka_unit_test(an_older_part_is_passed_over),
        cmocka_unit_test(shards_are_bounded_in_number),
        cmocka_unit_test(copies_for_holders_are_bounded_too),
        cmocka_unit_test(any_parts_leave_what_a_plain_list_would_and_the_held_as_they_were),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

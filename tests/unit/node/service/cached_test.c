#include "node/service/cached.h"
#include "tests/test.h"

#include "base/rand.h"

#include <string.h>

enum {
    HASHES = 600
};

/* What one scheduler believes. */
struct listener {
    struct cached_place place;
    bool knows[HASHES];
    uint64_t sequence;
    size_t resets;
};

static uint64_t hashes[HASHES];

static size_t number_of(uint64_t hash)
{
    for (size_t i = 0; i < HASHES; i++)
        if (hashes[i] == hash) return i;
    fail_msg("a hash that nobody noted");
    return 0;
}

static bool hear(struct cached *cached, struct listener *listener)
{
    struct wire_cache_delta delta;
    if (!cached_next(cached, &listener->place, &delta)) return false;
    assert_int_equal(delta.sequence, listener->sequence++);
    assert_true(delta.added_count <= WIRE_DELTA_MAX && delta.removed_count <= WIRE_DELTA_MAX);
    if (delta.reset) memset(listener->knows, 0, sizeof listener->knows);
    listener->resets += delta.reset;
    for (size_t i = 0; i < delta.added_count; i++)
        listener->knows[number_of(delta.added[i])] = true;
    for (size_t i = 0; i < delta.removed_count; i++)
        listener->knows[number_of(delta.removed[i])] = false;
    return true;
}

static void assert_knows_all(const struct cached *cached, const struct listener *listener)
{
    for (size_t i = 0; i < HASHES; i++)
        assert_int_equal(listener->knows[i], cached_has(cached, hashes[i]));
}

static void a_new_link_is_told_all_and_then_what_changes(void **state)
{
    (void)state;
    struct cached *cached = cached_new(HASHES);
    struct listener one = {0};
    assert_false(cached_is_told(cached, &one.place));
    assert_true(hear(cached, &one)); // there is nothing, and it knows that now
    assert_false(hear(cached, &one));
    for (size_t i = 0; i < 10; i++)
        cached_note(cached, hashes[i], false);
    cached_note(cached, hashes[3], true);
    cached_note(cached, hashes[3], true); // twice gone is once gone
    while (hear(cached, &one)) {
    }
    assert_knows_all(cached, &one);
    assert_int_equal(one.resets, 1);
    assert_int_equal(cached_count(cached), 9);
    cached_free(cached);
}

/* Listeners that are slow, and come late: in the end all believe what is. */
static void every_listener_catches_up(void **state)
{
    (void)state;
    size_t resets = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct cached *cached = cached_new(HASHES);
        static struct listener listeners[4];
        struct rand rand;
        memset(listeners, 0, sizeof listeners);
        rand_init(&rand, seed);
        for (size_t step = 0; step < 60000; step++) {
            size_t i = rand_below(&rand, HASHES);
            cached_note(cached, hashes[i], rand_below(&rand, 2) == 0);
            for (size_t who = 0; who < 4; who++)
                if (rand_below(&rand, (who + 1) * 5000) == 0) (void)hear(cached, &listeners[who]);
        }
        for (size_t who = 0; who < 4; who++) {
            while (hear(cached, &listeners[who])) {
            }
            assert_true(cached_is_told(cached, &listeners[who].place));
            assert_knows_all(cached, &listeners[who]);
            resets += listeners[who].resets;
        }
        cached_free(cached);
    }
    assert_true(resets > 80 + 10); // some fell behind the ring
}

enum {
    MANY = 3 * WIRE_DELTA_MAX
};

static uint64_t nth(uint64_t i)
{
    return i << 20 | i; // in order by their low bits, so that one finds its number again
}

static void a_set_that_changes_while_it_is_told_is_told_whole(void **state)
{
    (void)state;
    static bool knows[MANY];
    struct cached *cached = cached_new(MANY);
    struct cached_place place = {0};
    struct wire_cache_delta delta;
    for (uint64_t i = 1; i < MANY; i++)
        cached_note(cached, nth(i), false);
    for (size_t part = 0; cached_next(cached, &place, &delta); part++) {
        for (size_t i = 0; i < delta.added_count; i++)
            knows[delta.added[i] & 0xfffff] = true;
        for (size_t i = 0; i < delta.removed_count; i++)
            knows[delta.removed[i] & 0xfffff] = false;
        for (uint64_t i = 1 + part; part < 3 && i < MANY; i += 5) // others move up
            cached_note(cached, nth(i), true);
    }
    for (uint64_t i = 1; i < MANY; i++)
        assert_int_equal(knows[i], cached_has(cached, nth(i)));
    cached_free(cached);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_link_is_told_all_and_then_what_changes),
        cmocka_unit_test(every_listener_catches_up),
        cmocka_unit_test(a_set_that_changes_while_it_is_told_is_told_whole),
    };
    struct rand rand;
    rand_init(&rand, 9);
    for (size_t i = 0; i < HASHES; i++)
        hashes[i] = rand_next(&rand) << 3 | 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A lock in a real Redis: who has it, and who gets it then. */
#include "scheduler/features/lock.h"
#include "scheduler/state/store.h"
#include "tests/test.h"
#include "tests/unit/scheduler/state/store_scene.h"

#include "base/clock.h"

/* As if so many ms had passed for it. */
static void tick(struct lock *lock, uint64_t later_ms)
{
    lock_tick(lock, clock_now_ns() + later_ms * CLOCK_MS);
    store_loop_settle(base, store);
}

static bool is_held(const struct lock *lock)
{
    return lock_is_held(lock, clock_now_ns());
}

static void one_has_it_until_it_gives_it_back(void **state)
{
    (void)state;
    if (!base) skip();
    struct lock *first = lock_new(store, "qiao:{t}:lock"),
                *second = lock_new(store, "qiao:{t}:lock");
    tick(first, 0);
    tick(second, 0);
    assert_true(is_held(first));
    assert_false(is_held(second));
    tick(first, 1500); // it keeps it
    tick(second, 1500);
    assert_true(is_held(first));
    assert_false(is_held(second));
    lock_free(first);
    tick(second, 3000);
    assert_true(is_held(second));
    lock_free(second);
    assert_int_equal(store_loop_ask(base, store, "EXISTS", "qiao:{t}:lock", NULL).integer, 0);
}

static void who_falls_silent_believes_in_it_for_less_time_than_it_stands(void **state)
{
    (void)state;
    if (!base) skip();
    struct lock *lock = lock_new(store, "qiao:{t}:other");
    uint64_t before_ns = clock_now_ns();
    tick(lock, 0);
    uint64_t now_ns = clock_now_ns(); // it stands for `left` from here at least
    long long left = store_loop_ask(base, store, "PTTL", "qiao:{t}:other", NULL).integer;
    assert_true(lock_is_held(lock, before_ns + (LOCK_HELD_MS - 1) * CLOCK_MS));
    assert_false(lock_is_held(lock, now_ns + LOCK_HELD_MS * CLOCK_MS));
    assert_in_range(left, 1, LOCK_LIFE_MS);
    assert_false(lock_is_held(lock, now_ns + (uint64_t)left * CLOCK_MS));
    lock_free(lock);
}

static void a_lock_that_another_took_is_lost_with_the_next_sign_of_life(void **state)
{
    (void)state;
    if (!base) skip();
    struct lock *lock = lock_new(store, "qiao:{t}:third");
    tick(lock, 0);
    assert_true(is_held(lock));
    (void)store_loop_ask(base, store, "SET", "qiao:{t}:third", "another", NULL);
    tick(lock, 1500);
    assert_false(is_held(lock));
    lock_free(lock); // gives nothing back that is not its own
    assert_int_equal(store_loop_ask(base, store, "EXISTS", "qiao:{t}:third", NULL).integer, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_has_it_until_it_gives_it_back),
        cmocka_unit_test(who_falls_silent_believes_in_it_for_less_time_than_it_stands),
        cmocka_unit_test(a_lock_that_another_took_is_lost_with_the_next_sign_of_life),
    };
    return cmocka_run_group_tests(tests, store_scene_set_up, store_scene_tear_down);
}

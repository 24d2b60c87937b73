/* Chunks of a key's quota, with a Redis that the test plays. */
#include "scheduler/state/lease.h"
#include "tests/test.h"

#include "base/clock.h"

#include <string.h>

enum {
    CALLS_MAX = 16,
    NAMES_MAX = 8
};

static const struct limit_rule rule = {.requests_per_minute = 160, .tokens_per_minute = 16000};

static struct {
    struct lease *lease;
    struct meter_call calls[CALLS_MAX];
    struct meter_back backs[CALLS_MAX]; // the first of each call
    size_t call_count;
    struct lease_waiter waiters[NAMES_MAX];
    bool served[NAMES_MAX];
    struct lease_waiter *leaves_with_next; // who goes when anybody is served
    uint64_t now_ns;
} scene;

static void on_call(void *owner, struct lease *lease, const struct meter_call *call)
{
    assert_ptr_equal(owner, &scene);
    (void)lease;
    assert_true(scene.call_count < CALLS_MAX);
    if (call->back_count > 0) scene.backs[scene.call_count] = call->backs[0];
    scene.calls[scene.call_count++] = *call;
}

static void on_served(void *owner, struct lease_waiter *waiter)
{
    struct lease_waiter *leaver = scene.leaves_with_next;
    (void)owner;
    scene.served[waiter - scene.waiters] = true;
    scene.leaves_with_next = NULL;
    if (leaver) lease_leave(scene.lease, leaver, scene.now_ns);
}

static int begin(void **state)
{
    (void)state;
    memset(&scene, 0, sizeof scene);
    scene.now_ns = 1000 * CLOCK_SECOND;
    scene.lease = lease_new(&(struct lease_seams){
        .owner = &scene, .call = on_call, .served = on_served, .stream_ms = 9000});
    return 0;
}

static int end(void **state)
{
    (void)state;
    lease_free(scene.lease);
    return 0;
}

static bool take(size_t name, uint64_t tokens, struct lease_part *part)
{
    scene.waiters[name].need = (struct lease_need){tokens, tokens, 1};
    return lease_take(scene.lease, &rule, &scene.waiters[name], scene.now_ns, part);
}

/* Redis grants what was wanted. */
static void grant(uint64_t slot, uint32_t slot_left_ms)
{
    const struct meter_call *call = &scene.calls[scene.call_count - 1];
    struct meter_answer answer = {.verdict = METER_GRANTED,
                                  .slot = slot,
                                  .slot_left_ms = slot_left_ms,
                                  .requests = call->requests.want,
                                  .tokens = call->tokens.want};
    lease_answered(scene.lease, ERR_OK, &answer, scene.now_ns);
}

static void given_a_lease(struct lease_part *part)
{
    assert_false(take(0, 100, part));
    grant(7, 2000);
    assert_true(scene.served[0]);
    *part = scene.waiters[0].part;
}

static void what_is_leased_is_spent_without_asking(void **state)
{
    (void)state;
    struct lease_part part;
    given_a_lease(&part);
    assert_int_equal(scene.calls[0].tokens.least, 100);
    assert_int_equal(scene.calls[0].tokens.want, 1000); // 1/16 of the minute
    assert_int_equal(scene.calls[0].requests.want, 10);
    assert_int_equal(part.tokens, 100);
    assert_int_equal(part.slot, 7);
    for (size_t i = 0; i < 9; i++)
        assert_true(take(1, 100, &part));
    assert_int_equal(scene.call_count, 1);
    assert_false(take(1, 1, &part)); // no tokens, no requests
    assert_int_equal(scene.call_count, 2);
    lease_leave(scene.lease, &scene.waiters[1], scene.now_ns);
}

static void nothing_is_spent_after_its_slot(void **state)
{
    (void)state;
    struct lease_part part;
    given_a_lease(&part);
    scene.now_ns += 1998 * CLOCK_MS;
    assert_true(take(1, 100, &part));
    scene.now_ns += 2 * CLOCK_MS;
    assert_false(take(1, 100, &part));
    assert_int_equal(scene.call_count, 2);
    assert_int_equal(scene.calls[1].back_count, 1); // the rest goes back where it was counted
    assert_int_equal(scene.backs[1].slot, 7);
    assert_int_equal(scene.backs[1].tokens, 800);
    assert_int_equal(scene.backs[1].requests, 8);
    scene.now_ns += 400 * CLOCK_MS; // a slow answer: the slot has ended meanwhile
    grant(8, 300);
    assert_true(scene.served[1]); // it was admitted by the call itself
    assert_false(take(2, 100, &part));
    lease_leave(scene.lease, &scene.waiters[2], scene.now_ns);
}

static void all_who_wait_are_asked_for_at_once(void **state)
{
    (void)state;
    struct lease_part part;
    assert_false(take(0, 100, &part));
    assert_false(take(1, 5000, &part));
    assert_false(take(2, 50, &part));
    assert_int_equal(scene.call_count, 1);
    grant(7, 2000); // a chunk: enough for the first, not for the second, whom nobody overtakes
    assert_true(scene.served[0]);
    assert_false(scene.served[1]);
    assert_false(scene.served[2]);
    assert_int_equal(scene.calls[1].tokens.least, 5000);
    assert_int_equal(scene.calls[1].tokens.most, 5050);
    grant(7, 2000);
    assert_true(scene.served[1]);
    assert_true(scene.served[2]);
    assert_int_equal(scene.call_count, 2);
}

static void who_is_refused_does_not_block_a_smaller_one(void **state)
{
    (void)state;
    struct lease_part part;
    assert_false(take(0, 9000, &part));
    assert_false(take(1, 8000, &part));
    assert_false(take(2, 50, &part));
    struct meter_answer refusal = {
        .verdict = METER_MINUTE, .requests_left = 9, .minute_left = 60, .day_left = 60};
    refusal.streams_left = 9;
    lease_answered(scene.lease, ERR_OK, &refusal, scene.now_ns);
    assert_int_equal(scene.waiters[0].err, ERR_LIMITED);
    assert_int_equal(scene.waiters[1].err, ERR_LIMITED); // Redis need not be asked again
    assert_true(scene.served[0] && scene.served[1] && !scene.served[2]);
    assert_int_equal(scene.call_count, 2);
    assert_int_equal(scene.calls[1].tokens.least, 50);
    grant(7, 2000);
    assert_true(scene.served[2]);
    assert_int_equal(scene.waiters[2].err, ERR_OK);
}

static void what_was_not_used_is_spent_again_or_goes_back(void **state)
{
    (void)state;
    struct lease_part part, other;
    given_a_lease(&part);
    assert_true(take(1, 900, &other));
    lease_return(scene.lease, &part, 0, 60, 1, scene.now_ns);
    assert_true(take(1, 60, &part)); // in the same slot
    assert_int_equal(scene.call_count, 1);
    scene.now_ns += 3 * CLOCK_SECOND;
    lease_return(scene.lease, &other, 0, 400, 1, scene.now_ns);
    assert_int_equal(scene.call_count, 1); // less than half a chunk waits for the tick
    lease_tick(scene.lease, scene.now_ns);
    assert_int_equal(scene.call_count, 2);
    assert_int_equal(scene.backs[1].slot, 7);
    assert_int_equal(scene.backs[1].tokens, 400);
    grant(8, 2000);
    lease_return(scene.lease, &(struct lease_part){7, 900, 0}, 0, 600, 0, scene.now_ns);
    assert_int_equal(scene.call_count, 3); // more than half a chunk does not
}

static void a_lost_answer_gives_nothing_back_twice(void **state)
{
    (void)state;
    struct lease_part part;
    given_a_lease(&part);
    scene.now_ns += 3 * CLOCK_SECOND;
    assert_false(take(1, 100, &part));
    assert_int_equal(scene.backs[1].tokens, 900);
    lease_answered(scene.lease, ERR_TIMEOUT, NULL, scene.now_ns);
    assert_int_equal(scene.waiters[1].err, ERR_TIMEOUT);
    assert_false(take(2, 100, &part));
    assert_int_equal(scene.calls[2].back_count, 0);
    lease_answered(scene.lease, ERR_STORE_AWAY, NULL, scene.now_ns);
    assert_true(scene.served[1] && scene.served[2]);
}

static void what_is_held_is_not_spent_when_redis_was_away(void **state)
{
    (void)state;
    struct lease_part part, other;
    given_a_lease(&part);
    assert_true(take(1, 600, &other));
    lease_return(scene.lease, &(struct lease_part){6, 900, 0}, 0, 600, 0, scene.now_ns);
    assert_int_equal(scene.call_count, 2);
    assert_true(take(1, 100, &other)); // meanwhile it is spent
    lease_answered(scene.lease, ERR_STORE_AWAY, NULL, scene.now_ns);
    assert_false(take(1, 100, &other));
    assert_int_equal(scene.calls[2].back_count, 0);
    lease_leave(scene.lease, &scene.waiters[1], scene.now_ns);
}

static void an_idle_chunk_goes_back(void **state)
{
    (void)state;
    struct lease_part part;
    given_a_lease(&part);
    scene.now_ns += 400 * CLOCK_MS;
    lease_tick(scene.lease, scene.now_ns);
    assert_int_equal(scene.call_count, 1);
    scene.now_ns += 200 * CLOCK_MS;
    lease_tick(scene.lease, scene.now_ns);
    assert_int_equal(scene.call_count, 2);
    assert_int_equal(scene.backs[1].tokens, 900);
    assert_false(take(1, 100, &part)); // it is held no more, and the call is still under way
    lease_leave(scene.lease, &scene.waiters[1], scene.now_ns);
}

static void who_leaves_just_as_it_is_served_gives_its_part_back(void **state)
{
    (void)state;
    struct lease_part part;
    assert_false(take(0, 100, &part));
    assert_false(take(1, 100, &part));
    scene.leaves_with_next = &scene.waiters[1];
    grant(7, 2000);
    assert_true(scene.served[0]);
    assert_false(scene.served[1]);
    assert_int_equal(lease_tokens(scene.lease), 900);
    assert_int_equal(lease_requests(scene.lease), 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_leased_is_spent_without_asking, begin, end),
        cmocka_unit_test_setup_teardown(nothing_is_spent_after_its_slot, begin, end),
        cmocka_unit_test_setup_teardown(all_who_wait_are_asked_for_at_once, begin, end),
        cmocka_unit_test_setup_teardown(who_is_refused_does_not_block_a_smaller_one, begin, end),
        cmocka_unit_test_setup_teardown(what_was_not_used_is_spent_again_or_goes_back, begin, end),
        cmocka_unit_test_setup_teardown(a_lost_answer_gives_nothing_back_twice, begin, end),
        cmocka_unit_test_setup_teardown(what_is_held_is_not_spent_when_redis_was_away, begin, end),
        cmocka_unit_test_setup_teardown(an_idle_chunk_goes_back, begin, end),
        cmocka_unit_test_setup_teardown(who_leaves_just_as_it_is_served_gives_its_part_back, begin,
                                        end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

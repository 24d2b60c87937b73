/* Gates of several schedulers over a real Redis: leases, changes, who acts on them, and a Redis that cannot be believed. */
#include "scheduler/policy/gate.h"
#include "scheduler/state/store.h"
#include "tests/test.h"
#include "tests/unit/scheduler/state/store_scene.h"

#include "base/clock.h"
#include "base/rand.h"

#include <event2/event.h>
#include <sodium.h>

#include <stdio.h>
#include <string.h>

enum {
    ANSWER_MS = 20000 // that Redis may take on a busy machine
};

static struct test_redis replica;
static const unsigned char key[GATE_KEY_SIZE] = "what only schedulers know";
static struct rules rules = {.region = "cn", .gate = {.signatures = 0, .hold_ms = 500}};

static void count_changes(void *owner)
{
    ++*(int *)owner;
}

static struct gate *start(uint32_t replicas, int *changes)
{
    struct store_options options = {.host = redis.socket, .timeout_ms = ANSWER_MS};
    return gate_new(&(struct gate_options){.base = base,
                                           .store = store_new(base, &options),
                                           .replicas = replicas,
                                           .key = key,
                                           .changed = changes ? count_changes : NULL,
                                           .owner = changes});
}

static bool leads(const struct gate *gate)
{
    return gate_has_lease(gate, clock_now_ns());
}

static void await_lease(const struct gate *gate, bool has)
{
    assert_soon_on(base, leads(gate) == has);
}

struct told {
    bool done;
    enum err err;
    struct gates_outcome outcome;
};

static void keep(void *argument, enum err err, const struct gate_change *change)
{
    *(struct told *)argument = (struct told){true, err, change->outcome};
}

static enum err order(struct gate *gate, enum gate_verb verb, uint32_t share, struct told *told)
{
    struct gate_command command = {.verb = verb, .share = share, .salt = "0123456789abcdef"};
    snprintf(command.content.feature, sizeof command.content.feature, "assistant");
    snprintf(command.content.region, sizeof command.content.region, "cn");
    *told = (struct told){0};
    enum err err = gate_order(gate, &command, &rules, clock_wall_ms(), keep, told);
    if (err) return err;
    store_loop_until(base, &told->done);
    while (!told->err && gate_epoch(gate) < told->outcome.epoch)
        store_loop_run(base, 5);
    return told->err;
}

static enum reason decide_now(struct gate *gate, struct gate_pass *pass)
{
    struct gate_ask ask = {.feature = "assistant", .os = "", .user = "acme/u"};
    struct gate_finding finding =
        gate_decide(gate, &rules, &ask, clock_now_ns(), clock_wall_ms(), pass);
    assert_true(strlen(finding.note) > 0);
    return finding.reason;
}

static enum gate_stand stands_now(struct gate *gate, struct gate_pass *pass, enum reason *reason)
{
    return gate_stands(gate, pass, clock_now_ns(), clock_wall_ms(), reason);
}

/* The same of a gate that has a lease, or gets it again: on a busy machine a renewal may be late. */
static enum reason decide(struct gate *gate, struct gate_pass *pass)
{
    enum reason reason;
    assert_soon_on(base, (reason = decide_now(gate, pass)) != REASON_GATE_UNREACHABLE);
    return reason;
}

static enum gate_stand stands(struct gate *gate, struct gate_pass *pass, enum reason *reason)
{
    enum gate_stand stand;
    assert_soon_on(base, (stand = stands_now(gate, pass, reason)) != GATE_HELD);
    return stand;
}

/* It sees what the other has done within a renewal. */
static void follow(const struct gate *gate, const struct gate *other)
{
    assert_soon_on(base, gate_epoch(gate) >= gate_epoch(other));
}

static void make_live(struct gate *gate)
{
    struct told told;
    assert_int_equal(order(gate, GATE_VERB_DRAFT, 0, &told), ERR_OK);
    assert_int_equal(order(gate, GATE_VERB_SUBMIT, 0, &told), ERR_OK);
    assert_int_equal(order(gate, GATE_VERB_ROLL, GATE_WHOLE, &told), ERR_OK);
    assert_int_equal(order(gate, GATE_VERB_LIVE, 0, &told), ERR_OK);
}

static void forget_all(void)
{
    (void)store_loop_ask(base, store, "FLUSHALL", NULL);
}

static void a_change_is_seen_by_all_and_a_suspension_waits_for_them(void **state)
{
    (void)state;
    if (!base) skip();
    struct gate *one = start(0, NULL), *two = start(0, NULL);
    struct gate_pass pass, other;
    struct told told;
    enum reason reason;
    assert_int_equal(decide_now(one, &pass), REASON_GATE_UNREACHABLE); // before the first lease
    await_lease(one, true);
    await_lease(two, true);
    assert_int_equal(decide(one, &pass), REASON_REGION_NOT_APPROVED);
    make_live(one);
    follow(two, one);
    assert_int_equal(decide(one, &pass), REASON_NONE);
    assert_int_equal(decide(two, &other), REASON_NONE);
    assert_int_equal(pass.hold_ms, 500);
    uint64_t epoch = gate_epoch(one);
    store_loop_run(base, GATES_LEASE_MS); // the connection is no news
    assert_int_equal(order(two, GATE_VERB_SUSPEND, 0, &told), ERR_OK);
    assert_int_equal(told.outcome.holders, 2);
    assert_int_equal(told.outcome.acknowledged, 2);
    assert_true(told.outcome.ms < GATES_LEASE_MS);
    assert_true(told.outcome.epoch > epoch);
    /* The moment it is told, nobody lets content out. */
    assert_int_equal(stands(one, &pass, &reason), GATE_CUT);
    assert_int_equal(reason, REASON_SUSPENDED);
    assert_int_equal(stands(two, &other, &reason), GATE_CUT);
    assert_int_equal(decide(one, &pass), REASON_SUSPENDED);
    gate_free(one);
    gate_free(two);
    forget_all();
}

static void a_rollout_that_goes_on_cuts_nobody(void **state)
{
    (void)state;
    if (!base) skip();
    struct gate *gate = start(0, NULL);
    struct gate_pass pass;
    struct told told;
    enum reason reason;
    await_lease(gate, true);
    assert_int_equal(order(gate, GATE_VERB_DRAFT, 0, &told), ERR_OK);
    assert_int_equal(order(gate, GATE_VERB_SUBMIT, 0, &told), ERR_OK);
    assert_int_equal(order(gate, GATE_VERB_ROLL, GATE_WHOLE, &told), ERR_OK);
    assert_int_equal(decide(gate, &pass), REASON_NONE);
    assert_int_equal(order(gate, GATE_VERB_PAUSE, 0, &told), ERR_OK);
    assert_int_equal(stands(gate, &pass, &reason), GATE_STANDS);
    assert_int_equal(decide(gate, &pass), REASON_NONE); // who was in stays in
    gate_free(gate);
    forget_all();
}

static void a_scheduler_that_stands_still_is_waited_for_until_its_lease_is_over(void **state)
{
    (void)state;
    if (!base) skip();
    struct gate *gate = start(0, NULL);
    struct told told;
    await_lease(gate, true);
    make_live(gate);
    /* One that renewed a moment ago, and says nothing any more. */
    char lease[64];
    snprintf(lease, sizeof lease, "%lld 1", (long long)clock_wall_ms() + 60000);
    (void)store_loop_ask(base, store, "HSET", "qiao:{gate}:leases", "still", lease, NULL);
    assert_int_equal(order(gate, GATE_VERB_SUSPEND, 0, &told), ERR_OK);
    assert_int_equal(told.outcome.holders, 2);
    assert_int_equal(told.outcome.acknowledged, 1);
    assert_in_range(told.outcome.ms, GATES_LEASE_MS, ANSWER_MS);
    gate_free(gate);
    forget_all();
}

static void without_redis_there_is_no_lease_and_what_runs_is_held(void **state)
{
    (void)state;
    if (!base) skip();
    struct gate *gate = start(0, NULL);
    struct gate_pass pass;
    enum reason reason;
    await_lease(gate, true);
    make_live(gate);
    assert_int_equal(decide(gate, &pass), REASON_NONE);
    test_redis_freeze(&redis, true);
    store_loop_run(base, GATES_LEASE_MS + GATES_RENEW_MS);
    assert_int_equal(stands_now(gate, &pass, &reason), GATE_HELD);
    assert_int_equal(decide_now(gate, &pass), REASON_GATE_UNREACHABLE);
    test_redis_freeze(&redis, false);
    await_lease(gate, true);
    store_loop_until_up(base, store, true);
    gate_free(gate);
    forget_all();
}

static void a_lease_is_timed_from_before_it_was_asked_for(void **state)
{
    (void)state;
    if (!base) skip();
    struct gate *gate = start(0, NULL);
    await_lease(gate, true);
    /* The loop stands still, as a process that is stopped does: by its own clock it has no lease when it goes on. */
    usleep(GATES_LEASE_MS * 1000);
    assert_false(leads(gate));
    gate_free(gate);
    forget_all();
}

static void a_redis_that_has_lost_changes_gives_no_lease(void **state)
{
    (void)state;
    if (!base) skip();
    struct gate *gate = start(0, NULL);
    struct gate_pass pass;
    await_lease(gate, true);
    make_live(gate);
    (void)store_loop_ask(base, store, "SET", "qiao:{gate}:epoch", "1", NULL);
    assert_soon_on(base,
                   !leads(gate) && strstr(gate_lease_note(gate, clock_now_ns()), "older epoch"));
    assert_int_equal(decide_now(gate, &pass), REASON_GATE_UNREACHABLE);
    gate_free(gate);
    forget_all();
}

/* A change that was seen and then lost with its master: the next one has its epoch, and is another. */
static void an_epoch_that_is_told_again_after_a_loss_is_read_anew(void **state)
{
    (void)state;
    if (!base) skip();
    struct gate *one = start(0, NULL), *two = start(0, NULL);
    struct gate_pass pass, other;
    struct told told = {0};
    enum reason reason;
    await_lease(one, true);
    await_lease(two, true);
    make_live(one);
    follow(two, one);
    uint64_t epoch = gate_epoch(two);
    struct gate_command command = {.verb = GATE_VERB_DRAFT, .salt = "0123456789abcdef"};
    snprintf(command.content.feature, sizeof command.content.feature, "search");
    snprintf(command.content.region, sizeof command.content.region, "cn");
    assert_int_equal(gate_order(one, &command, &rules, clock_wall_ms(), keep, &told), ERR_OK);
    store_loop_until(base, &told.done);
    assert_soon_on(base, gate_epoch(one) > epoch && gate_epoch(two) > epoch);
    assert_int_equal(gate_epoch(two), epoch + 1);
    assert_int_equal(decide(one, &pass), REASON_NONE);
    assert_int_equal(decide(two, &other), REASON_NONE);
    (void)store_loop_ask(base, store, "EVAL",
                         "redis.call('HDEL', 'qiao:{gate}:records', 'cn/search') "
                         "redis.call('DEL', 'qiao:{gate}:leases') "
                         "return redis.call('DECR', 'qiao:{gate}:epoch')",
                         "0", NULL);
    (void)store_loop_ask(base, store, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes", NULL);
    while (order(one, GATE_VERB_SUSPEND, 0, &told) == ERR_STORE_AWAY)
        store_loop_run(base, 10); // until it has found the new master
    assert_int_equal(told.err, ERR_OK);
    assert_int_equal(stands(one, &pass, &reason), GATE_CUT);
    assert_int_not_equal(stands_now(two, &other, &reason), GATE_STANDS);
    await_lease(one, true);
    await_lease(two, true);
    assert_int_equal(stands(two, &other, &reason), GATE_CUT);
    assert_int_equal(decide(one, &pass), REASON_SUSPENDED);
    assert_int_equal(decide(two, &other), REASON_SUSPENDED);
    gate_free(one);
    gate_free(two);
    forget_all();
}

static void a_record_that_somebody_wrote_into_redis_opens_nothing(void **state)
{
    (void)state;
    if (!base) skip();
    int changes = 0;
    struct gate *gate = start(0, &changes);
    struct gate_pass pass;
    struct told told;
    const char *note;
    await_lease(gate, true);
    make_live(gate);
    struct store_answer live =
        store_loop_ask(base, store, "EVAL",
                       "return redis.call('SET', 'qiao:{gate}:old', "
                       "redis.call('HGET', 'qiao:{gate}:records', 'cn/assistant'))",
                       "0", NULL);
    assert_int_equal(live.err, ERR_OK);
    assert_int_equal(order(gate, GATE_VERB_SUSPEND, 0, &told), ERR_OK);
    changes = 0;
    /* The record of when it was live, as it was: the seal is good, the revision is not. */
    (void)store_loop_ask(base, store, "EVAL",
                         "redis.call('HSET', 'qiao:{gate}:records', 'cn/assistant', "
                         "redis.call('GET', 'qiao:{gate}:old')) "
                         "return redis.call('INCR', 'qiao:{gate}:epoch')",
                         "0", NULL);
    assert_soon_on(base, changes > 0);
    assert_int_equal(decide(gate, &pass), REASON_REGION_NOT_APPROVED);
    assert_null(gate_find(gate, "cn/assistant", &note));
    assert_non_null(strstr(note, "was seen"));
    /* One byte of it is another. */
    changes = 0;
    (void)store_loop_ask(base, store, "EVAL",
                         "local text = redis.call('GET', 'qiao:{gate}:old') "
                         "redis.call('HSET', 'qiao:{gate}:records', 'cn/assistant', "
                         "string.sub(text, 1, -2) .. ' ') "
                         "return redis.call('INCR', 'qiao:{gate}:epoch')",
                         "0", NULL);
    assert_soon_on(base, changes > 0);
    assert_int_equal(decide(gate, &pass), REASON_REGION_NOT_APPROVED);
    gate_free(gate);
    forget_all();
}

static void two_changes_of_one_record_do_not_both_happen(void **state)
{
    (void)state;
    if (!base) skip();
    struct gate *one = start(0, NULL), *two = start(0, NULL);
    struct told told, late = {0};
    await_lease(one, true);
    await_lease(two, true);
    make_live(one);
    follow(two, one);
    struct gate_command command = {.verb = GATE_VERB_SUSPEND};
    snprintf(command.content.feature, sizeof command.content.feature, "assistant");
    snprintf(command.content.region, sizeof command.content.region, "cn");
    assert_int_equal(gate_order(two, &command, &rules, clock_wall_ms(), keep, &late), ERR_OK);
    enum err err = order(one, GATE_VERB_SUSPEND, 0, &told);
    store_loop_until(base, &late.done);
    assert_true((err == ERR_OK) != (late.err == ERR_OK));
    assert_true(err == ERR_CONFLICT || late.err == ERR_CONFLICT);
    gate_free(one);
    gate_free(two);
    forget_all();
}

static void a_master_without_its_replicas_gives_no_lease_and_confirms_nothing(void **state)
{
    (void)state;
    if (!base) skip();
    struct told told;
    test_redis_start_replica(&replica, &redis);
    struct gate *gate = start(1, NULL);
    await_lease(gate, true);
    make_live(gate);
    test_redis_freeze(&replica, true);
    await_lease(gate, false);
    assert_int_equal(order(gate, GATE_VERB_SUSPEND, 0, &told), ERR_NOT_REPLICATED);
    test_redis_freeze(&replica, false);
    await_lease(gate, true);
    gate_free(gate);
    test_redis_stop(&replica);
    forget_all();
}

/* A step of a history: somebody changes the gate, or Redis, its replica, or the whole loop stands still for a while. */
static void disturb(struct rand *rand)
{
    unsigned ms = (unsigned)rand_below(rand, 2 * GATES_LEASE_MS);
    switch (rand_below(rand, 4)) {
    case 0:
        test_redis_freeze(&redis, true);
        store_loop_run(base, ms);
        test_redis_freeze(&redis, false);
        break;
    case 1:
        test_redis_freeze(&replica, true);
        store_loop_run(base, ms);
        test_redis_freeze(&replica, false);
        break;
    case 2: usleep(ms * 1000); break;
    default: store_loop_run(base, ms / 8);
    }
}

enum {
    STEPS = 12,
    STEPS_MAX = 200 // where a busy machine loses the lease again and again
};

static void no_history_lets_content_out_after_a_confirmed_suspension(void **state)
{
    (void)state;
    if (!base) skip();
    struct rand rand;
    struct told told;
    unsigned confirmed = 0, let_in = 0;
    uint64_t epochs[2] = {0, 0};
    rand_init(&rand, 2026);
    test_redis_start_replica(&replica, &redis);
    struct gate *gates[2] = {start(1, NULL), start(1, NULL)};
    await_lease(gates[0], true);
    await_lease(gates[1], true);
    assert_int_equal(order(gates[0], GATE_VERB_DRAFT, 0, &told), ERR_OK);
    for (unsigned step = 0; step < STEPS || (step < STEPS_MAX && (confirmed < 2 || let_in < 2));
         step++) {
        struct gate_pass passes[2];
        bool in[2];
        enum reason reason;
        disturb(&rand);
        (void)order(gates[rand_below(&rand, 2)], GATE_VERB_SUBMIT, 0, &told);
        (void)order(gates[rand_below(&rand, 2)], GATE_VERB_ROLL, GATE_WHOLE, &told);
        if (rand_below(&rand, 2)) store_loop_run(base, 2 * GATES_RENEW_MS);
        for (size_t i = 0; i < 2; i++) {
            in[i] = decide_now(gates[i], &passes[i]) == REASON_NONE;
            let_in += in[i];
        }
        if (rand_below(&rand, 3) == 0) disturb(&rand);
        bool good = order(gates[rand_below(&rand, 2)], GATE_VERB_SUSPEND, 0, &told) == ERR_OK;
        confirmed += good;
        for (size_t i = 0; i < 2; i++) {
            if (good && in[i])
                assert_int_not_equal(stands_now(gates[i], &passes[i], &reason), GATE_STANDS);
            if (good) assert_int_not_equal(decide_now(gates[i], &passes[i]), REASON_NONE);
            assert_true(gate_epoch(gates[i]) >= epochs[i]); // it never goes back
            epochs[i] = gate_epoch(gates[i]);
        }
    }
    assert_true(confirmed >= 2 && let_in >= 2); // the history gets somewhere
    gate_free(gates[0]);
    gate_free(gates[1]);
    test_redis_stop(&replica);
    store_loop_until_up(base, store, true);
    forget_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_is_seen_by_all_and_a_suspension_waits_for_them),
        cmocka_unit_test(a_rollout_that_goes_on_cuts_nobody),
        cmocka_unit_test(a_scheduler_that_stands_still_is_waited_for_until_its_lease_is_over),
        cmocka_unit_test(without_redis_there_is_no_lease_and_what_runs_is_held),
        cmocka_unit_test(a_lease_is_timed_from_before_it_was_asked_for),
        cmocka_unit_test(a_redis_that_has_lost_changes_gives_no_lease),
        cmocka_unit_test(an_epoch_that_is_told_again_after_a_loss_is_read_anew),
        cmocka_unit_test(a_record_that_somebody_wrote_into_redis_opens_nothing),
        cmocka_unit_test(two_changes_of_one_record_do_not_both_happen),
        cmocka_unit_test(a_master_without_its_replicas_gives_no_lease_and_confirms_nothing),
        cmocka_unit_test(no_history_lets_content_out_after_a_confirmed_suspension),
    };
    return cmocka_run_group_tests(tests, store_scene_set_up_with_port, store_scene_tear_down);
}

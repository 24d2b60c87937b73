/* What a session's replicas promise, against real redis-servers. */
#include "scheduler/state/record.h"
#include "scheduler/state/session.h"
#include "tests/support/redis.h"
#include "tests/test.h"
#include "tests/unit/scheduler/state/session_loop.h"
#include "tests/unit/scheduler/state/store_loop.h"

#include "base/clock.h"

#include <hiredis/hiredis.h>

#include <string.h>

static struct test_redis replica;

static bool replica_has(const char *id)
{
    struct record_place place = place_of(id);
    const char *words[] = {"EXISTS", place.key};
    redisReply *reply = ask_redis(&replica, 2, words, NULL);
    bool has = reply->type == REDIS_REPLY_INTEGER && reply->integer == 1;
    freeReplyObject(reply);
    return has;
}

static void without_a_replica_a_turn_is_stored_and_that_is_said(void **state)
{
    (void)state;
    if (!base) skip();
    uint64_t begin_ns = clock_now_ns();
    struct answer alone = save_turn("r-1", "a", 0, "x", true);
    assert_int_equal(alone.err, ERR_NOT_REPLICATED);
    assert_int_equal(alone.version, 1);
    char note[64];
    snprintf(note, sizeof note, "0 of 1 replicas had it within %d ms", WAIT_MS);
    assert_non_null(strstr(alone.note, note));
    assert_true(clock_now_ns() - begin_ns >= (WAIT_MS - 20) * CLOCK_MS);
    assert_string_equal(load("r-1").last, "assistant@1cut:x");
    assert_int_equal(save_turn("r-1", "b", 5, "x", true).err, ERR_CONFLICT); // nothing to wait for
}

static void a_wait_holds_up_no_one_else(void **state)
{
    (void)state;
    if (!base) skip();
    struct answer slow;
    struct session_name name = named("r-2", NULL);
    begin_save(&slow, sessions, &name, (struct session){0}, "x", true);
    store_loop_run(base, 20);
    assert_int_equal(save_turn("quick", NULL, 0, "x", false).err, ERR_OK);
    assert_false(slow.done);
    session_loop_wait(&slow);
    assert_int_equal(slow.err, ERR_NOT_REPLICATED);
}

static void with_a_replica_a_turn_is_there_when_it_is_answered(void **state)
{
    (void)state;
    if (!base) skip();
    test_redis_start_replica(&replica, &redis);
    struct answer answers[100];
    for (int i = 0; i < 100; i++) { // some alone, the others in groups
        char id[24];
        snprintf(id, sizeof id, "g-%d", i);
        struct session_name name = named(id, "a");
        begin_save(&answers[i], sessions, &name, (struct session){0}, "x", true);
        if (i % 10 == 0) store_loop_run(base, 3);
    }
    for (int i = 0; i < 100; i++) {
        char id[24];
        snprintf(id, sizeof id, "g-%d", i);
        store_loop_until(base, &answers[i].done);
        assert_int_equal(answers[i].err, ERR_OK);
        assert_true(replica_has(id));
    }
}

static void a_turn_that_was_not_replicated_in_time_is_repeated_by_its_id(void **state)
{
    (void)state;
    if (!base) skip();
    struct answer confirmed = {0};
    struct session_name name = named("r-3", "a"), unknown = named("r-3", "b");
    test_redis_freeze(&replica, true);
    assert_int_equal(save_turn("r-3", "a", 0, "x", true).err, ERR_NOT_REPLICATED);
    test_redis_freeze(&replica, false);
    session_confirm(sessions, &name, session_loop_saved, &confirmed);
    session_loop_wait(&confirmed);
    assert_int_equal(confirmed.err, ERR_OK);
    assert_int_equal(confirmed.version, 1);
    assert_true(replica_has("r-3"));
    assert_int_equal(save_turn("r-3", "a", 0, "x", true).version, 1);
    confirmed = (struct answer){0};
    session_confirm(sessions, &unknown, session_loop_saved, &confirmed);
    session_loop_wait(&confirmed);
    assert_int_equal(confirmed.err, ERR_CONFLICT);
}

static void when_redis_dies_every_waiting_write_is_answered(void **state)
{
    (void)state;
    if (!base) skip();
    struct answer answers[5];
    test_redis_stop(&replica);
    for (int i = 0; i < 5; i++) {
        struct session_name name = named(i < 2 ? "d-1" : "d-2", NULL);
        begin_save(&answers[i], sessions, &name, (struct session){0}, "x", true);
        store_loop_run(base, i == 1 ? 50 : 1); // the first group waits, the others queue
    }
    test_redis_kill(&redis);
    for (int i = 0; i < 5; i++) {
        store_loop_until(base, &answers[i].done);
        assert_true(answers[i].err != ERR_OK);
    }
    assert_int_equal(answers[0].err, ERR_NOT_REPLICATED);
    assert_int_equal(answers[4].err, ERR_STORE_AWAY);
    test_redis_restart(&redis);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_replica_a_turn_is_stored_and_that_is_said),
        cmocka_unit_test(a_wait_holds_up_no_one_else),
        cmocka_unit_test(with_a_replica_a_turn_is_there_when_it_is_answered),
        cmocka_unit_test(a_turn_that_was_not_replicated_in_time_is_repeated_by_its_id),
        cmocka_unit_test(when_redis_dies_every_waiting_write_is_answered),
    };
    return cmocka_run_group_tests(tests, session_loop_set_up, session_loop_tear_down);
}

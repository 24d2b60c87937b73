/* The service when it drains, loses its link, or stops. */
#include "tests/test.h"
#include "tests/unit/node/service/stage.h"

#include "wire/link.h"
#include "wire/message.h"

#include "base/log.h"

static void *rest(void *argument)
{
    return argument;
}

static void a_draining_node_says_so_and_takes_nothing(void **state)
{
    (void)state;
    struct stage *stage = given_stage(0, 0);
    struct wire_message drain = {.type = WIRE_DRAIN, .drain = {.on = true}};
    tell(stage, &drain);
    while (!next_message(stage, WIRE_HEARTBEAT).heartbeat.draining)
        ;
    struct wire_submit asked = given_submit(stage, 1, 10);
    asked.max_tokens = 1;
    submit(stage, &asked);
    struct wire_done refused = next_message(stage, WIRE_DONE).done;
    assert_int_equal(refused.key.request, 1);
    assert_int_equal(refused.err, ERR_UNAVAILABLE); // which sends it elsewhere, as often as needed
    drain.drain.on = false;
    tell(stage, &drain);
    submit(stage, &asked);
    assert_int_equal(next_message(stage, WIRE_RESULT).result.key.request, 1);
    end_stage(stage);
}

static void a_link_that_goes_down_takes_its_requests_along(void **state)
{
    (void)state;
    struct stage *stage = given_stage(10, 0);
    struct wire_submit asked = given_submit(stage, 1, 100);
    submit(stage, &asked);
    (void)next_message(stage, WIRE_RESULT);
    uint64_t old = stage->caller.link;
    link_close(stage->caller.links, old, "test");
    stage->caller.link = 0;
    await_link(stage); // it dials again
    assert_true(stage->caller.link != old);
    struct wire_load load;
    do
        load = next_message(stage, WIRE_LOAD).load;
    while (load.running > 0 || load.kv_blocks_used > 0);
    assert_int_equal(load.kv_blocks, BLOCKS);
    end_stage(stage);
}

static void a_pause_gives_the_service_back_and_changes_nothing(void **state)
{
    (void)state;
    struct stage *stage = given_stage(2, 3600 * 1000);
    struct wire_submit asked = given_submit(stage, 1, 20);
    submit(stage, &asked);
    (void)next_message(stage, WIRE_RESULT);
    ask_pause(stage);
    struct wire_done done;
    assert_int_equal(await_done(stage, &done), CONTEXT - 20 - 1); // as without
    assert_int_equal(done.finish, WIRE_FINISH_LENGTH);
    ask_stop(stage);
    pthread_join(stage->service_thread, NULL);
    assert_int_equal(stage->pauses, 1);
    assert_int_equal(pthread_create(&stage->service_thread, NULL, rest, stage), 0);
    end_stage(stage);
}

static void a_stop_lets_end_what_is_in_the_air(void **state)
{
    (void)state;
    struct stage *stage = given_stage(2, 3600 * 1000);
    struct wire_submit asked = given_submit(stage, 1, 20);
    submit(stage, &asked);
    (void)next_message(stage, WIRE_RESULT);
    ask_stop(stage);
    struct wire_done done;
    // 20 ids again, then the end id; the first was read above, and no stop id was named.
    assert_int_equal(await_done(stage, &done), CONTEXT - 20 - 1);
    assert_int_equal(done.finish, WIRE_FINISH_LENGTH);
    end_stage(stage);
}

static void a_stopping_node_says_so_at_once_and_refuses_what_comes(void **state)
{
    (void)state;
    struct stage *stage = given_stage(20, 3600 * 1000);
    struct wire_submit asked = given_submit(stage, 1, 100), late = given_submit(stage, 2, 10);
    submit(stage, &asked);
    (void)next_message(stage, WIRE_RESULT);
    ask_stop(stage);
    while (!next_message(stage, WIRE_HEARTBEAT).heartbeat.draining)
        ;
    submit(stage, &late);
    struct wire_done refused = next_message(stage, WIRE_DONE).done;
    assert_int_equal(refused.key.request, 2);
    assert_int_equal(refused.err, ERR_UNAVAILABLE);
    end_stage(stage);
}

static void a_stop_that_cannot_wait_says_that_the_node_goes_away(void **state)
{
    (void)state;
    struct stage *stage = given_stage(20, 0);
    struct wire_submit asked = given_submit(stage, 1, 100);
    submit(stage, &asked);
    (void)next_message(stage, WIRE_RESULT);
    ask_stop(stage);
    struct wire_done done;
    await_done(stage, &done);
    assert_int_equal(done.err, ERR_UNAVAILABLE);
    assert_int_equal(done.finish, WIRE_FINISH_NONE);
    end_stage(stage);
}

int main(void)
{
    log_set_level(LOG_LEVEL_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_draining_node_says_so_and_takes_nothing),
        cmocka_unit_test(a_link_that_goes_down_takes_its_requests_along),
        cmocka_unit_test(a_pause_gives_the_service_back_and_changes_nothing),
        cmocka_unit_test(a_stop_lets_end_what_is_in_the_air),
        cmocka_unit_test(a_stopping_node_says_so_at_once_and_refuses_what_comes),
        cmocka_unit_test(a_stop_that_cannot_wait_says_that_the_node_goes_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

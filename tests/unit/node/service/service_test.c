/* The service between a real link and a real engine (the echo: it says the prompt again). The test plays the
 * scheduler. Waits have a limit after which they fail; nothing depends on how long a thing takes. */
#include "node/engine/echo.h"
#include "node/service/dials.h"
#include "node/service/service.h"
#include "tests/test.h"
#include "tests/unit/node/service/stage.h"

#include "wire/block.h"
#include "wire/link.h"
#include "wire/message.h"

#include "base/log.h"

#include <string.h>

static void a_submit_is_answered_by_results_and_one_done(void **state)
{
    (void)state;
    struct stage *stage = given_stage(0, 0);
    struct wire_submit asked = given_submit(stage, 7, 40);
    asked.max_tokens = 5;
    asked.sampling.logprobs = true;
    asked.sampling.top_logprobs = 2;
    submit(stage, &asked);
    for (uint32_t i = 0; i < 5; i++) {
        struct wire_message got = next_message(stage, WIRE_RESULT);
        assert_int_equal(got.result.key.request, 7);
        assert_int_equal(got.result.key.choice, 1);
        assert_int_equal(got.result.key.attempt, 2);
        assert_int_equal(got.result.position, 40 + i);
        assert_int_equal(got.result.id_count, 1);
        assert_int_equal(got.result.ids[0], prompt_ids[i]);
        assert_true(got.result.logprobs && got.result.logprobs[0] == 0);
        assert_int_equal(got.result.top_count, 2);
        assert_int_equal(got.result.tops[0].id, prompt_ids[i]);
    }
    struct wire_message done = next_message(stage, WIRE_DONE);
    assert_int_equal(done.done.finish, WIRE_FINISH_LENGTH);
    assert_int_equal(done.done.err, ERR_OK);
    assert_int_equal(done.done.prompt_tokens, 40);
    assert_int_equal(done.done.completion_tokens, 5);

    // The second attempt brings two of the ids: what follows is the same.
    asked.key.request = 8;
    prompt_ids[40] = prompt_ids[0];
    prompt_ids[41] = prompt_ids[1];
    asked.id_count = asked.next_position = 42;
    submit(stage, &asked);
    struct wire_message got = next_message(stage, WIRE_RESULT);
    assert_int_equal(got.result.position, 42);
    assert_int_equal(got.result.ids[0], prompt_ids[2]);
    struct wire_done end;
    assert_int_equal(await_done(stage, &end), 2);
    assert_int_equal(end.completion_tokens, 5);

    // And an answer that was whole already needs no step.
    asked.key.request = 9;
    asked.max_tokens = 2;
    submit(stage, &asked);
    done = next_message(stage, WIRE_DONE);
    assert_int_equal(done.done.finish, WIRE_FINISH_LENGTH);
    end_stage(stage);
}

static void a_vector_comes_as_one_result_and_a_done(void **state)
{
    (void)state;
    struct stage *stage = given_stage(0, 0);
    float first[ECHO_VECTOR];
    for (uint64_t request = 1; request <= 2; request++) {
        struct wire_submit asked = given_submit(stage, request, 100); // more than one step holds
        asked.kind = WIRE_EMBED;
        submit(stage, &asked);
        struct wire_message got = next_message(stage, WIRE_RESULT);
        assert_int_equal(got.result.key.request, request);
        assert_int_equal(got.result.position, 100);
        assert_int_equal(got.result.id_count, 0);
        assert_int_equal(got.result.vector_size, ECHO_VECTOR);
        if (request == 1) memcpy(first, got.result.vector, sizeof first);
        assert_memory_equal(got.result.vector, first, sizeof first);
        struct wire_message done = next_message(stage, WIRE_DONE);
        assert_int_equal(done.done.finish, WIRE_FINISH_STOP);
        assert_int_equal(done.done.err, ERR_OK);
        assert_int_equal(done.done.prompt_tokens, 100);
        assert_int_equal(done.done.completion_tokens, 0);
    }
    end_stage(stage);
}

static void a_score_of_two_texts_is_one_value(void **state)
{
    (void)state;
    struct stage *stage = given_stage(0, 0);
    struct wire_submit asked = given_submit(stage, 1, 8);
    asked.kind = WIRE_SCORE;
    asked.segment = 4;
    prompt_ids[5] = prompt_ids[1];
    submit(stage, &asked);
    struct wire_message got = next_message(stage, WIRE_RESULT);
    assert_int_equal(got.result.vector_size, 1);
    assert_true(got.result.vector[0] == 0.25f); // one of the second's four is in the first
    assert_int_equal(next_message(stage, WIRE_DONE).done.finish, WIRE_FINISH_STOP);
    end_stage(stage);
}

static void the_pack_comes_whole_to_whoever_wants_it(void **state)
{
    (void)state;
    struct stage *stage = given_stage(0, 0);
    struct wire_message want = {.type = WIRE_PACK_WANT, .pack_want = {.pack = stage->model.pack}};
    struct buf got = {0};
    tell(stage, &want);
    do {
        struct wire_message part = next_message(stage, WIRE_PACK_PART);
        assert_int_equal(part.pack_part.total, stage->pack.size);
        assert_int_equal(part.pack_part.offset, got.size);
        buf_add(&got, part.pack_part.bytes, part.pack_part.size);
    } while (got.size < stage->pack.size);
    struct digest digest = digest_of(got.data, got.size);
    assert_true(digest_equal(&digest, &stage->model.pack));
    buf_fini(&got);
    end_stage(stage);
}

static void what_cannot_be_done_is_refused_with_its_reason(void **state)
{
    (void)state;
    struct stage *stage = given_stage(0, 0);
    struct wire_bias bias = {.id = VOCAB, .bias = 1};

    enum {
        CASES = 9
    };
    struct wire_submit cases[CASES];
    enum err wanted[CASES];
    for (size_t i = 0; i < CASES; i++) {
        cases[i] = given_submit(stage, 100 + i, 10);
        wanted[i] = ERR_INVALID;
    }
    cases[0].kind = WIRE_RECOMMEND;
    wanted[0] = ERR_UNSUPPORTED;
    cases[1].protocol = WIRE_PROTOCOL + 1;
    wanted[1] = ERR_UNSUPPORTED;
    cases[2].model = digest_of("other", 5);
    wanted[2] = ERR_UNAVAILABLE;
    cases[3].adapter = digest_of("other", 5);
    wanted[3] = ERR_UNAVAILABLE;
    cases[4].numerics = digest_of("other", 5);
    wanted[4] = ERR_UNAVAILABLE;
    cases[5] = given_submit(stage, 105, CONTEXT);
    wanted[5] = ERR_TOO_LONG;
    cases[6].grammar_digest = digest_of("g", 1);
    wanted[6] = ERR_UNSUPPORTED;
    cases[7].sampling.bias = &bias;
    cases[7].sampling.bias_count = 1;
    int32_t outside[] = {1, VOCAB, 2};
    cases[8].ids = outside;
    cases[8].id_count = cases[8].next_position = cases[8].prompt_length = 3;
    for (size_t i = 0; i < CASES; i++) {
        submit(stage, &cases[i]);
        struct wire_message got = next_message(stage, WIRE_DONE);
        assert_int_equal(got.done.key.request, cases[i].key.request);
        assert_int_equal(got.done.err, wanted[i]);
        assert_int_equal(got.done.finish, WIRE_FINISH_NONE);
        assert_true(got.done.note.size > 0);
    }
    struct wire_submit good = given_submit(stage, 1, 10);
    good.max_tokens = 3;
    struct wire_done done;
    submit(stage, &good);
    assert_int_equal(await_done(stage, &done), 3);
    end_stage(stage);
}

static void a_gate_that_is_behind_is_told_so(void **state)
{
    (void)state;
    static const uint64_t epochs[] = {0, 7, 7, 6, 0, 8, 7};
    static const bool taken[] = {true, true, true, false, false, true, false};
    struct stage *stage = given_stage(0, 0);
    for (size_t i = 0; i < sizeof epochs / sizeof *epochs; i++) {
        struct wire_submit asked = given_submit(stage, i + 1, 10);
        struct wire_done done;
        asked.max_tokens = 2;
        asked.gate_epoch = epochs[i];
        submit(stage, &asked);
        assert_int_equal(await_done(stage, &done), taken[i] ? 2 : 0);
        assert_int_equal(done.err, taken[i] ? ERR_OK : ERR_STALE);
    }
    end_stage(stage);
}

static void nothing_follows_a_cancel_but_one_done(void **state)
{
    (void)state;
    struct stage *stage = given_stage(5, 0);
    struct wire_submit asked = given_submit(stage, 3, 60);
    submit(stage, &asked);
    (void)next_message(stage, WIRE_RESULT);
    cancel(stage, &asked);
    struct wire_done done;
    uint32_t ids = await_done(stage, &done);
    assert_true(ids < 59);
    assert_int_equal(done.finish, WIRE_FINISH_CANCELED);
    assert_int_equal(done.err, ERR_OK);

    cancel(stage, &asked); // it has ended: nothing
    struct wire_submit next = given_submit(stage, 4, 10);
    next.max_tokens = 1;
    submit(stage, &next);
    assert_int_equal(next_message(stage, WIRE_RESULT).result.key.request, 4);
    assert_int_equal(next_message(stage, WIRE_DONE).done.key.request, 4);
    end_stage(stage);
}

static void a_key_in_the_air_is_not_taken_twice(void **state)
{
    (void)state;
    struct stage *stage = given_stage(1, 0);
    struct wire_submit asked = given_submit(stage, 3, 20);
    asked.max_tokens = 10;
    submit(stage, &asked);
    submit(stage, &asked);
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(next_message(stage, WIRE_RESULT).result.position, 20 + i);
    assert_int_equal(next_message(stage, WIRE_DONE).done.completion_tokens, 10);

    struct wire_submit next = given_submit(stage, 4, 10);
    next.max_tokens = 1;
    submit(stage, &next); // the next thing that is said is about this one
    assert_int_equal(next_message(stage, WIRE_RESULT).result.key.request, 4);
    end_stage(stage);
}

static void beyond_the_credits_the_node_is_busy(void **state)
{
    (void)state;
    struct stage *stage = given_stage(20, 0);
    for (uint64_t i = 0; i <= CREDITS; i++) {
        struct wire_submit asked = given_submit(stage, i, 60);
        submit(stage, &asked);
    }
    struct link_event *event;
    do
        event = next_event(stage);
    while (event->kind == LINK_FRAME && event->type != WIRE_BUSY);
    struct wire_message busy;
    arena_reset(&stage->caller.arena);
    assert_int_equal(
        message_decode(&busy, event->type, event->body, event->size, &stage->caller.arena), ERR_OK);
    assert_int_equal(busy.busy.key.request, CREDITS);
    assert_true(busy.busy.retry_ms > 0);

    // Each of the others ends once: canceled, and the credits are whole again.
    for (uint64_t i = 0; i < CREDITS; i++) {
        struct wire_submit asked = given_submit(stage, i, 60);
        cancel(stage, &asked);
    }
    struct wire_done done;
    for (uint64_t i = 0; i < CREDITS; i++) {
        await_done(stage, &done);
        assert_int_equal(done.finish, WIRE_FINISH_CANCELED);
    }
    for (uint64_t i = 0; i < CREDITS; i++) {
        struct wire_submit asked = given_submit(stage, 50 + i, 5);
        asked.max_tokens = 1;
        submit(stage, &asked);
    }
    for (uint64_t i = 0; i < CREDITS; i++) {
        await_done(stage, &done);
        assert_int_equal(done.finish, WIRE_FINISH_LENGTH);
    }
    end_stage(stage);
}

/* How many tokens of the same prompt of 100 are cached, as RESULT and DONE say. */
static uint32_t cached_under(struct stage *stage, uint64_t salt)
{
    struct wire_salt salts[] = {{0, salt}};
    struct wire_submit asked = given_submit(stage, 1, 100);
    asked.max_tokens = 2;
    asked.salts = salts;
    asked.salt_count = 1;
    submit(stage, &asked);
    uint32_t cached = next_message(stage, WIRE_RESULT).result.cached_tokens;
    assert_int_equal(next_message(stage, WIRE_RESULT).result.cached_tokens, cached);
    assert_int_equal(next_message(stage, WIRE_DONE).done.cached_tokens, cached);
    return cached;
}

static void what_is_cached_is_told_and_can_be_evicted(void **state)
{
    (void)state;
    struct stage *stage = given_stage(0, 0);
    assert_int_equal(cached_under(stage, 5), 0);
    assert_int_equal(cached_under(stage, 6), 0);
    assert_int_equal(cached_under(stage, 5), 96);
    struct wire_load load;
    do
        load = next_message(stage, WIRE_LOAD).load;
    while (load.running > 0 || load.kv_blocks_used > 0 || load.kv_blocks_cached < 6);
    assert_int_equal(load.kv_blocks_cached, 6);
    assert_int_equal(load.prefill_tokens, 204);
    assert_int_equal(load.prefix_hit_tokens, 96);
    struct wire_message evict = {.type = WIRE_EVICT, .evict = {.salt = 5}};
    tell(stage, &evict);
    assert_int_equal(cached_under(stage, 5), 0);
    assert_int_equal(cached_under(stage, 6), 96);
    evict.evict.salt = 6;
    tell(stage, &evict);
    evict.evict.salt = 5;
    tell(stage, &evict);
    do
        load = next_message(stage, WIRE_LOAD).load;
    while (load.kv_blocks_used + load.kv_blocks_cached > 0);
    evict.evict.serial = 41;
    tell(stage, &evict);
    assert_int_equal(next_message(stage, WIRE_EVICTED).evicted.serial, 41);
    end_stage(stage);
}

static void what_may_not_outlive_its_request_is_gone_with_it(void **state)
{
    (void)state;
    struct stage *stage = given_stage(0, 0);
    struct wire_salt salts[] = {{0, 5}};
    struct wire_submit asked = given_submit(stage, 1, 100);
    asked.max_tokens = 2;
    asked.salts = salts;
    asked.salt_count = 1;
    asked.cache_ms = 1;
    submit(stage, &asked);
    for (int i = 0; i < 2; i++)
        (void)next_message(stage, WIRE_RESULT);
    (void)next_message(stage, WIRE_DONE);
    struct wire_load load; // told by an engine that has nothing else to do
    do
        load = next_message(stage, WIRE_LOAD).load;
    while (load.running > 0 || load.kv_blocks_used > 0 || load.kv_blocks_cached > 0);
    end_stage(stage);
}

/* The next of the cache's deltas, whatever else comes. */
static struct wire_cache_delta next_delta(struct stage *stage)
{
    struct wire_message message;
    while (next_event(stage)->type != WIRE_CACHE_DELTA) {
    }
    arena_reset(&stage->caller.arena);
    assert_int_equal(message_decode(&message, WIRE_CACHE_DELTA, stage->caller.event->body,
                                    stage->caller.event->size, &stage->caller.arena),
                     ERR_OK);
    return message.cache_delta;
}

static void every_block_that_comes_and_goes_is_told(void **state)
{
    (void)state;
    struct stage *stage = given_stage(0, 0);
    struct wire_cache_delta delta = next_delta(stage);
    assert_true(delta.sequence == 0 && delta.reset && delta.added_count == 0);
    struct wire_salt salts[] = {{0, 5}};
    struct wire_submit asked = given_submit(stage, 1, 100);
    asked.max_tokens = 2;
    asked.salts = salts;
    asked.salt_count = 1;
    submit(stage, &asked);
    uint64_t hash = 0; // the root of this pool
    size_t added = 0;
    for (uint64_t sequence = 1; added < 3; sequence++) { // of 102 ids
        delta = next_delta(stage);
        assert_true(delta.sequence == sequence && !delta.reset && delta.removed_count == 0);
        for (size_t i = 0; i < delta.added_count; i++, added++) {
            hash = block_hash(hash, 5, asked.ids + added * WIRE_BLOCK_TOKENS);
            assert_true(delta.added[i] == hash);
        }
    }
    struct wire_message evict = {.type = WIRE_EVICT, .evict = {.salt = 5}};
    tell(stage, &evict);
    size_t removed = 0;
    while (removed < 3)
        removed += next_delta(stage).removed_count;
    assert_int_equal(removed, 3);
    end_stage(stage);
}

/* What other schedulers does it know? WELCOME names more dead ones than there are places; then one that lives. */
static void a_node_that_knows_too_many_schedulers_forgets_those_that_are_gone(void **state)
{
    (void)state;
    struct stage *stage = given_stage(0, 0);
    char url[WIRE_URL_MAX], texts[DIALS_MAX][40];
    struct wire_text peers[DIALS_MAX];
    for (size_t i = 0; i < DIALS_MAX; i++) {
        int size = snprintf(texts[i], sizeof texts[i], "ipc:///tmp/qiao_no_scheduler.%zu", i);
        peers[i] = (struct wire_text){texts[i], (size_t)size};
    }
    struct wire_message welcome = {.type = WIRE_WELCOME,
                                   .welcome = {.protocol = WIRE_PROTOCOL, .instance = 1}};
    for (size_t i = 0; i < DIALS_MAX; i += WIRE_PEERS_MAX) {
        size_t left = DIALS_MAX - i;
        welcome.welcome.peers = peers + i;
        welcome.welcome.peer_count = left < WIRE_PEERS_MAX ? left : WIRE_PEERS_MAX;
        tell(stage, &welcome);
    }
    assert_int_equal(links_listen(stage->caller.links, "tcp://127.0.0.1:0", url), ERR_OK);
    struct wire_text living = {url, strlen(url)};
    welcome.welcome.peers = &living;
    welcome.welcome.peer_count = 1;
    tell(stage, &welcome);
    while (next_event(stage)->kind != LINK_UP)
        ;
    assert_true(stage->caller.event->link !=
                stage->caller.link); // the first one's place was not taken
    end_stage(stage);
}

static void bytes_that_are_no_message_close_the_link(void **state)
{
    (void)state;
    struct stage *stage = given_stage(0, 0);
    struct wire_message wrong = {.type = WIRE_LOAD};
    tell(stage, &wrong); // only a node says that
    while (next_event(stage)->kind != LINK_DOWN)
        ;
    stage->caller.link = 0;
    await_link(stage);
    end_stage(stage);
}

int main(void)
{
    log_set_level(LOG_LEVEL_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_submit_is_answered_by_results_and_one_done),
        cmocka_unit_test(a_vector_comes_as_one_result_and_a_done),
        cmocka_unit_test(a_score_of_two_texts_is_one_value),
        cmocka_unit_test(the_pack_comes_whole_to_whoever_wants_it),
        cmocka_unit_test(what_cannot_be_done_is_refused_with_its_reason),
        cmocka_unit_test(a_gate_that_is_behind_is_told_so),
        cmocka_unit_test(nothing_follows_a_cancel_but_one_done),
        cmocka_unit_test(a_key_in_the_air_is_not_taken_twice),
        cmocka_unit_test(beyond_the_credits_the_node_is_busy),
        cmocka_unit_test(what_is_cached_is_told_and_can_be_evicted),
        cmocka_unit_test(what_may_not_outlive_its_request_is_gone_with_it),
        cmocka_unit_test(every_block_that_comes_and_goes_is_told),
        cmocka_unit_test(a_node_that_knows_too_many_schedulers_forgets_those_that_are_gone),
        cmocka_unit_test(bytes_that_are_no_message_close_the_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

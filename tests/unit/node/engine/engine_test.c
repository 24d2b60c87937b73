#include "node/engine/engine.h"
#include "node/engine/kv.h"
#include "node/engine/seq.h"
#include "tests/support/fake_model.h"
#include "tests/support/mixed.h"
#include "tests/test.h"

#include "kernels/ops.h"
#include "kernels/select.h"

#include "base/clock.h"
#include "base/mailbox.h"
#include "base/mem.h"
#include "base/rand.h"

#include <pthread.h>
#include <string.h>

enum {
    REQUESTS = 40,
    CONTEXT = 256
};

struct house {
    struct kv_pool *pool;
    struct fake_model fake;
    struct ops ops;
    struct engine *engine;
};

static void house_init(struct house *house, uint32_t blocks, struct batch_limits limits)
{
    house->pool = fake_model_pool(blocks);
    fake_model_init(&house->fake, house->pool,
                    limits.logits_max ? limits.logits_max : limits.sequences);
    ops_select(&house->ops, 0);
    struct engine_options options = {.backend = fake_model_backend(&house->fake),
                                     .ops = &house->ops,
                                     .pool = house->pool,
                                     .limits = limits,
                                     .orders_max = 1000};
    house->engine = engine_new(&options);
}

static void house_fini(struct house *house)
{
    assert_int_equal(kv_blocks_available(house->pool), kv_blocks_total(house->pool));
    assert_true(house->fake.tokens_max > 0);
    engine_free(house->engine);
    fake_model_fini(&house->fake);
    kv_pool_free(house->pool);
}

static struct mixed alone[REQUESTS];
static struct mixed other[REQUESTS];

static void answer_alone(void)
{
    struct house house;
    mixed_given(alone, REQUESTS, FAKE_MODEL_VOCAB);
    house_init(&house, CONTEXT / KV_BLOCK_TOKENS,
               (struct batch_limits){.batch_tokens = 512, .sequences = 1, .waiting_max = REQUESTS});
    mixed_run(house.engine, alone, REQUESTS, CONTEXT);
    house_fini(&house);
}

static void an_answer_does_not_depend_on_its_company(void **state)
{
    (void)state;
    answer_alone();
    static const uint32_t budgets[] = {16, 64, 512};
    size_t stopped = 0;
    for (size_t i = 0; i < REQUESTS; i++)
        stopped += alone[i].finish == WIRE_FINISH_STOP;
    assert_true(stopped > 0 && stopped < REQUESTS);

    for (size_t i = 0; i < sizeof budgets / sizeof *budgets; i++) {
        struct house house;
        mixed_given(other, REQUESTS, FAKE_MODEL_VOCAB);
        house_init(&house, 200,
                   (struct batch_limits){
                       .batch_tokens = budgets[i], .sequences = 16, .waiting_max = REQUESTS});
        mixed_run(house.engine, other, REQUESTS, CONTEXT);
        assert_true(house.fake.tokens_max <= budgets[i]);
        mixed_assert_same(alone, other, REQUESTS);
        house_fini(&house);
    }
}

static void an_answer_does_not_depend_on_being_preempted(void **state)
{
    (void)state;
    answer_alone();
    struct house house;
    mixed_given(other, REQUESTS, FAKE_MODEL_VOCAB);
    house_init(&house, CONTEXT / KV_BLOCK_TOKENS + 4,
               (struct batch_limits){.batch_tokens = 32, .sequences = 16, .waiting_max = REQUESTS});
    mixed_run(house.engine, other, REQUESTS, CONTEXT);
    size_t preempted = 0;
    for (size_t i = 0; i < REQUESTS; i++)
        preempted += other[i].admissions > 1;
    assert_true(preempted > 0);
    mixed_assert_same(alone, other, REQUESTS);
    house_fini(&house);
}

static void forget(struct house *house, uint64_t salt)
{
    (void)engine_forget(house->engine, &(struct engine_forget){.salt = salt});
}

static void given_relatives(struct mixed *requests, bool share)
{
    mixed_given(requests, REQUESTS, FAKE_MODEL_VOCAB);
    mixed_relate(requests, REQUESTS);
    if (share) mixed_salt(requests, REQUESTS);
}

/* Cold and warm, roomy and scarce: the fake model reads every id back from the blocks. */
static void an_answer_does_not_depend_on_what_is_cached(void **state)
{
    (void)state;
    struct house house;
    given_relatives(alone, false);
    house_init(&house, CONTEXT / KV_BLOCK_TOKENS,
               (struct batch_limits){.batch_tokens = 512, .sequences = 1, .waiting_max = REQUESTS});
    mixed_run(house.engine, alone, REQUESTS, CONTEXT);
    house_fini(&house);

    static const uint32_t blocks[] = {CONTEXT / KV_BLOCK_TOKENS + 4, 40, 300};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        house_init(
            &house, blocks[i],
            (struct batch_limits){.batch_tokens = 48, .sequences = 16, .waiting_max = REQUESTS});
        for (int pass = 0; pass < 3; pass++) {
            size_t preempted = 0;
            uint64_t cached = 0;
            given_relatives(other, true);
            mixed_run(house.engine, other, REQUESTS, CONTEXT);
            mixed_assert_same(alone, other, REQUESTS);
            for (size_t at = 0; at < REQUESTS; at++) {
                preempted += other[at].admissions > 1;
                cached += other[at].cached_tokens;
                assert_true(other[at].cached_tokens < other[at].submit.prompt_length);
            }
            if (i == 0) assert_true(preempted > 0);
            if (i == 2 && pass > 0) assert_true(cached > 1000);
        }
        house_fini(&house);
    }
}

/* Rows that were computed for one prompt of `length` that `count` ask for at once, but for each one's second id. */
static uint64_t prefilled(uint32_t count, uint32_t length, uint32_t batch_tokens, bool share)
{
    struct house house;
    mixed_given(other, count, FAKE_MODEL_VOCAB);
    for (size_t i = 0; i < count; i++) {
        memcpy(other[i].prompt, other[0].prompt, sizeof other[i].prompt);
        other[i].submit.id_count = other[i].submit.prompt_length = length;
        other[i].submit.next_position = length;
        other[i].submit.max_tokens = 2;
        other[i].submit.stop_id_count = 0;
    }
    if (share) mixed_salt(other, count);
    house_init(
        &house, 64,
        (struct batch_limits){.batch_tokens = batch_tokens, .sequences = 8, .waiting_max = count});
    house.fake.rows = 0;
    mixed_run(house.engine, other, count, CONTEXT);
    uint64_t rows = house.fake.rows - count;
    house_fini(&house);
    return rows;
}

static void twins_at_once_compute_their_prompt_once(void **state)
{
    (void)state;
    assert_int_equal(prefilled(8, 100, 512, false), 800);
    assert_int_equal(prefilled(8, 100, 512, true), 100 + 7); // and each its last id
    assert_int_equal(prefilled(8, 20, 512, true), 20 + 7);
    assert_int_equal(prefilled(8, 96, 512, true), 96 + 7);
    assert_int_equal(prefilled(8, 100, 20, true), 100 + 7);
    assert_int_equal(prefilled(8, 100, 8, true), 100 + 7);
}

static void a_salt_that_is_forgotten_is_not_found_again(void **state)
{
    (void)state;
    struct house house;
    house_init(&house, 64,
               (struct batch_limits){.batch_tokens = 512, .sequences = 8, .waiting_max = 8});
    for (int pass = 0; pass < 4; pass++) {
        mixed_given(other, 2, FAKE_MODEL_VOCAB);
        for (size_t i = 0; i < 2; i++) {
            other[i].submit.id_count = other[i].submit.prompt_length = 100;
            other[i].submit.next_position = 100;
            other[i].salt.salt = i;
        }
        mixed_salt(other, 2);
        if (pass == 2) forget(&house, 1);
        for (int i = 0; pass == 3 && i < 2 * ENGINE_FORGETS; i++)
            forget(&house, 1000); // too many to keep: everything
        mixed_run(house.engine, other, 2, CONTEXT);
        assert_int_equal(other[0].cached_tokens, pass == 0 || pass == 3 ? 0 : 96);
        assert_int_equal(other[1].cached_tokens, pass == 1 ? 96 : 0);
    }
    house_fini(&house);
}

/* What the engine has told in its latest reports. */
static uint64_t told_serial(struct house *house, size_t *ended)
{
    uint64_t serial = 0;
    for (struct engine_report *report; (report = engine_take(house->engine)) != NULL;) {
        for (size_t i = 0; i < report->item_count; i++) {
            if (!report->items[i].end) continue;
            seq_free(report->items[i].seq);
            ++*ended;
        }
        assert_true(report->forgotten_count <= 1);
        if (report->forgotten_count > 0) serial = report->forgotten[0].serial;
        engine_give(house->engine, report);
    }
    return serial;
}

static struct seq *given_seq(uint64_t ticket, uint64_t salt, uint32_t cache_ms)
{
    static int32_t ids[100];
    struct wire_salt salts[] = {{0, salt}};
    struct wire_submit submit = {.id_count = 100,
                                 .prompt_length = 100,
                                 .next_position = 100,
                                 .ids = ids,
                                 .max_tokens = 5,
                                 .sampling = {.repetition_penalty = 1},
                                 .salts = salts,
                                 .salt_count = 1,
                                 .cache_ms = cache_ms};
    struct seq_room room = {.context_max = CONTEXT};
    return seq_new(&submit, ticket, 0, &room, 0);
}

static void a_forgotten_salt_is_told_when_nothing_has_it_any_more(void **state)
{
    (void)state;
    struct house house;
    size_t ended = 0;
    house_init(&house, 64,
               (struct batch_limits){.batch_tokens = 512, .sequences = 8, .waiting_max = 8});
    engine_submit(house.engine, given_seq(1, 7, 0));
    engine_turn(house.engine, 1);
    struct engine_forget evict = {.salt = 7, .before = 2, .serial = 99};
    assert_true(engine_forget(house.engine, &evict));
    engine_submit(house.engine, given_seq(2, 7, 0)); // came later: it is not waited for
    uint64_t serial = 0;
    for (int turn = 0; turn < 20 && serial == 0; turn++) {
        engine_turn(house.engine, 1);
        serial = told_serial(&house, &ended);
        assert_int_equal(serial != 0, ended > 0);
    }
    assert_int_equal(serial, 99);
    while (ended < 2) {
        engine_turn(house.engine, 1);
        assert_int_equal(told_serial(&house, &ended), 0);
    }
    evict.serial = 100; // of what rests alone: at once
    assert_true(engine_forget(house.engine, &evict));
    engine_turn(house.engine, 1);
    assert_int_equal(told_serial(&house, &ended), 100);
    assert_int_equal(kv_blocks_free(house.pool), kv_blocks_total(house.pool));
    house_fini(&house);
}

static void what_is_cached_goes_when_its_time_is_over(void **state)
{
    (void)state;
    struct house house;
    size_t ended = 0;
    uint64_t now_ns = CLOCK_SECOND;
    house_init(&house, 64,
               (struct batch_limits){.batch_tokens = 512, .sequences = 8, .waiting_max = 8});
    engine_submit(house.engine, given_seq(1, 7, 500));
    engine_submit(house.engine, given_seq(2, 8, 0));
    while (ended < 2) {
        engine_turn(house.engine, now_ns);
        (void)told_serial(&house, &ended);
    }
    assert_int_equal(kv_count_blocks(house.pool).cached, 6);
    assert_true(kv_due_ns(house.pool) == now_ns + 500 * CLOCK_MS);
    engine_turn(house.engine, now_ns + 499 * CLOCK_MS);
    assert_int_equal(kv_count_blocks(house.pool).cached, 6);
    engine_turn(house.engine, now_ns + 500 * CLOCK_MS);
    assert_int_equal(kv_count_blocks(house.pool).cached, 3);
    engine_turn(house.engine, now_ns + 3600 * CLOCK_SECOND);
    assert_int_equal(kv_count_blocks(house.pool).cached, 3);
    assert_true(kv_due_ns(house.pool) == UINT64_MAX);
    (void)told_serial(&house, &ended);
    house_fini(&house);
}

/* Sequences that run while their salt is forgotten go on, and leave nothing behind. */
static void who_runs_under_a_forgotten_salt_leaves_nothing(void **state)
{
    (void)state;
    given_relatives(alone, false);
    struct house house;
    house_init(&house, 300,
               (struct batch_limits){.batch_tokens = 512, .sequences = 1, .waiting_max = REQUESTS});
    mixed_run(house.engine, alone, REQUESTS, CONTEXT);
    house_fini(&house);
    house_init(&house, 300,
               (struct batch_limits){.batch_tokens = 48, .sequences = 16, .waiting_max = REQUESTS});
    given_relatives(other, true);
    size_t ended = 0;
    for (size_t i = 0; i < REQUESTS; i++)
        mixed_submit(house.engine, other, i, CONTEXT);
    for (int turn = 0; ended < REQUESTS; turn++) {
        if (turn % 5 == 4) forget(&house, turn / 5 % 2);
        engine_turn(house.engine, 0);
        ended += mixed_collect(house.engine, other);
    }
    mixed_assert_same(alone, other, REQUESTS);
    forget(&house, 0);
    forget(&house, 1);
    engine_turn(house.engine, 0);
    mixed_collect(house.engine, other);
    assert_int_equal(kv_blocks_free(house.pool), kv_blocks_total(house.pool));
    house_fini(&house);
}

/* The second attempt is given the prompt and what the first has emitted so far. */
static void an_answer_goes_on_where_another_node_left_it(void **state)
{
    (void)state;
    answer_alone();
    struct house house;
    mixed_given(other, REQUESTS, FAKE_MODEL_VOCAB);
    house_init(&house, 200,
               (struct batch_limits){.batch_tokens = 64, .sequences = 8, .waiting_max = REQUESTS});
    size_t taken[REQUESTS];
    struct rand rand;
    rand_init(&rand, 9);
    for (size_t i = 0; i < REQUESTS; i++) {
        taken[i] = rand_below(&rand, alone[i].pick_count);
        for (size_t at = 0; at < taken[i]; at++)
            other[i].prompt[other[i].submit.id_count++] = alone[i].picks[at].id;
    }
    mixed_run(house.engine, other, REQUESTS, CONTEXT);
    for (size_t i = 0; i < REQUESTS; i++) {
        assert_int_equal(other[i].finish, alone[i].finish);
        assert_int_equal(other[i].pick_count + taken[i], alone[i].pick_count);
        for (size_t at = 0; at < other[i].pick_count; at++)
            assert_int_equal(other[i].picks[at].id, alone[i].picks[taken[i] + at].id);
    }
    house_fini(&house);
}

/* The same requests from a model of short memory, whose answers repeat, so that drafts come true. */
static uint64_t answer_forgetful(struct mixed *requests, uint32_t blocks,
                                 struct batch_limits limits, uint64_t *drafts)
{
    struct house house;
    mixed_given(requests, REQUESTS, FAKE_MODEL_VOCAB);
    for (size_t i = 0; i < REQUESTS; i++) {
        struct wire_sampling *sampling = &requests[i].submit.sampling;
        requests[i].submit.max_tokens = MIXED_ANSWER_MAX;
        if (sampling->temperature > 0) sampling->temperature = 0.1f; // seldom but the best
        if (i % 3 == 0) continue;
        sampling->repetition_penalty = 1;
        sampling->frequency_penalty = 0;
        sampling->presence_penalty = 0;
    }
    house_init(&house, blocks, limits);
    house.fake.memory = 1;
    mixed_run(house.engine, requests, REQUESTS, CONTEXT);
    *drafts = house.fake.drafts;
    uint64_t steps = house.fake.steps;
    house_fini(&house);
    return steps;
}

static void an_answer_does_not_depend_on_drafts(void **state)
{
    (void)state;
    struct pace pace;
    pace_init(&pace, &(struct pace_options){.stretch_percent = 170});
    uint64_t drafts;
    struct batch_limits one = {.batch_tokens = 512, .sequences = 1, .waiting_max = REQUESTS};
    struct batch_limits many = {.batch_tokens = 64, .sequences = 16, .waiting_max = REQUESTS};
    uint64_t plain_steps = answer_forgetful(alone, CONTEXT / KV_BLOCK_TOKENS, one, &drafts);
    assert_int_equal(drafts, 0);

    for (uint32_t drafts_max = 1; drafts_max <= 7; drafts_max += 3) {
        one.drafts_max = drafts_max;
        one.logits_max = 8;
        uint64_t steps = answer_forgetful(other, CONTEXT / KV_BLOCK_TOKENS, one, &drafts);
        mixed_assert_same(alone, other, REQUESTS);
        assert_true(drafts > 0 && steps < plain_steps * 9 / 10);

        many.drafts_max = drafts_max;
        many.logits_max = 16 + 3 * drafts_max;
        answer_forgetful(other, 200, many, &drafts);
        mixed_assert_same(alone, other, REQUESTS);
        assert_true(drafts > 0);
        answer_forgetful(other, CONTEXT / KV_BLOCK_TOKENS + 4, many, &drafts); // with preemptions
        mixed_assert_same(alone, other, REQUESTS);
    }
    many.pace = &pace; // the clock decides what is drafted, and how prompts are cut
    answer_forgetful(other, 200, many, &drafts);
    mixed_assert_same(alone, other, REQUESTS);
}

/* A model that remembers all: nearly every draft is wrong, and leaves no trace. */
static void wrong_drafts_leave_no_trace(void **state)
{
    (void)state;
    answer_alone();
    struct house house;
    mixed_given(other, REQUESTS, FAKE_MODEL_VOCAB);
    house_init(&house, CONTEXT / KV_BLOCK_TOKENS + 4,
               (struct batch_limits){.batch_tokens = 64,
                                     .sequences = 8,
                                     .waiting_max = REQUESTS,
                                     .drafts_max = 5,
                                     .logits_max = 48});
    mixed_run(house.engine, other, REQUESTS, CONTEXT);
    mixed_assert_same(alone, other, REQUESTS);
    assert_true(house.fake.drafts > 0);
    house_fini(&house);
}

static void a_cancel_frees_its_blocks_within_one_turn(void **state)
{
    (void)state;
    struct house house;
    struct batch_limits limits = {.batch_tokens = 64, .sequences = 4, .waiting_max = 8};
    mixed_given(other, 3, FAKE_MODEL_VOCAB);
    for (size_t i = 0; i < 3; i++) {
        other[i].submit.max_tokens = MIXED_ANSWER_MAX;
        other[i].submit.stop_id_count = 0;
    }
    house_init(&house, 64, limits);
    for (uint64_t i = 0; i < 3; i++)
        mixed_submit(house.engine, other, i, CONTEXT);
    for (int i = 0; i < 5; i++)
        engine_turn(house.engine, 0);
    mixed_collect(house.engine, other);
    for (uint64_t i = 0; i < 3; i++)
        engine_cancel(house.engine, i + 1);
    engine_cancel(house.engine, 999); // gone already, or never there
    assert_false(engine_turn(house.engine, 0));
    assert_int_equal(mixed_collect(house.engine, other), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(other[i].finish, WIRE_FINISH_CANCELED);
        assert_int_equal(other[i].err, ERR_OK);
    }
    assert_int_equal(kv_blocks_free(house.pool), 64);
    house_fini(&house);
}

static void broken_logits_end_one_request_and_no_other(void **state)
{
    (void)state;
    struct house house;
    mixed_given(other, 2, FAKE_MODEL_VOCAB);
    for (size_t i = 0; i < 2; i++)
        other[i].submit.stop_id_count = 0;
    other[0].prompt[other[0].submit.id_count - 1] = 3;
    other[1].prompt[other[1].submit.id_count - 1] = 4;
    other[1].submit.max_tokens = 1;
    house_init(&house, 64,
               (struct batch_limits){.batch_tokens = 256, .sequences = 4, .waiting_max = 8});
    house.fake.broken_after = 3;
    mixed_run(house.engine, other, 2, CONTEXT);
    assert_int_equal(other[0].err, ERR_INTERNAL);
    assert_int_equal(other[0].finish, WIRE_FINISH_NONE);
    assert_int_equal(other[0].pick_count, 0);
    assert_int_equal(other[1].err, ERR_OK);
    assert_int_equal(other[1].finish, WIRE_FINISH_LENGTH);
    house_fini(&house);
}

static void the_context_is_the_end_of_an_answer(void **state)
{
    (void)state;
    struct house house;
    mixed_given(other, 1, FAKE_MODEL_VOCAB);
    other[0].submit.max_tokens = 100000;
    other[0].submit.stop_id_count = 0;
    house_init(&house, 64,
               (struct batch_limits){.batch_tokens = 256, .sequences = 4, .waiting_max = 8});
    uint32_t context = other[0].submit.prompt_length + 10;
    engine_submit(house.engine,
                  seq_new(&other[0].submit, 1, 0, &(struct seq_room){.context_max = context}, 0));
    for (int i = 0; i < 20; i++) {
        engine_turn(house.engine, 0);
        mixed_collect(house.engine, other);
    }
    assert_int_equal(other[0].finish, WIRE_FINISH_LENGTH);
    assert_int_equal(other[0].pick_count, 10);
    house_fini(&house);
}

static void a_deadline_passes_in_the_waiting_room(void **state)
{
    (void)state;
    struct house house;
    mixed_given(other, 2, FAKE_MODEL_VOCAB);
    house_init(&house, 64,
               (struct batch_limits){.batch_tokens = 256, .sequences = 1, .waiting_max = 8});
    other[0].submit.max_tokens = MIXED_ANSWER_MAX;
    other[0].submit.stop_id_count = 0;
    other[0].submit.priority = WIRE_INTERACTIVE;
    other[1].submit.deadline_ms = 5;
    mixed_submit(house.engine, other, 0, CONTEXT);
    mixed_submit(house.engine, other, 1, CONTEXT);
    engine_turn(house.engine, 1);
    assert_int_equal(mixed_collect(house.engine, other), 0);
    engine_turn(house.engine, 5 * CLOCK_MS);
    assert_int_equal(mixed_collect(house.engine, other), 1);
    assert_int_equal(other[1].err, ERR_TIMEOUT);
    engine_cancel(house.engine, 1);
    engine_turn(house.engine, 0);
    assert_int_equal(mixed_collect(house.engine, other), 1);
    house_fini(&house);
}

/* The same from two threads: the sender submits and cancels while steps run. */
static void a_running_engine_gives_every_sequence_back_once(void **state)
{
    (void)state;
    static struct mixed many[300];
    struct house house;
    mixed_given(many, 300, FAKE_MODEL_VOCAB);
    mixed_relate(many, 300);
    mixed_salt(many, 300);
    house_init(&house, 40,
               (struct batch_limits){.batch_tokens = 64, .sequences = 8, .waiting_max = 300});
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, engine_run, house.engine), 0);
    size_t ended = 0;
    struct rand rand;
    rand_init(&rand, 3);
    for (uint64_t i = 0; i < 300; i++) {
        mixed_submit(house.engine, many, i, CONTEXT);
        if (rand_below(&rand, 3) == 0) engine_cancel(house.engine, 1 + rand_below(&rand, i + 1));
        if (rand_below(&rand, 9) == 0) forget(&house, rand_below(&rand, 2));
        (void)engine_step_age_ns(house.engine, clock_now_ns());
        ended += mixed_collect(house.engine, many);
    }
    while (ended < 150) {
        mailbox_wait(engine_outbox(house.engine), UINT64_MAX);
        ended += mixed_collect(house.engine, many);
    }
    engine_stop(house.engine); // the rest comes back canceled
    while (ended < 300) {
        mailbox_wait(engine_outbox(house.engine), UINT64_MAX);
        ended += mixed_collect(house.engine, many);
    }
    pthread_join(thread, NULL);
    mixed_collect(house.engine, many);
    for (size_t i = 0; i < 300; i++)
        assert_int_equal(many[i].ends, 1);
    house_fini(&house);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_does_not_depend_on_its_company),
        cmocka_unit_test(an_answer_does_not_depend_on_being_preempted),
        cmocka_unit_test(an_answer_does_not_depend_on_what_is_cached),
        cmocka_unit_test(twins_at_once_compute_their_prompt_once),
        cmocka_unit_test(a_salt_that_is_forgotten_is_not_found_again),
        cmocka_unit_test(a_forgotten_salt_is_told_when_nothing_has_it_any_more),
        cmocka_unit_test(what_is_cached_goes_when_its_time_is_over),
        cmocka_unit_test(who_runs_under_a_forgotten_salt_leaves_nothing),
        cmocka_unit_test(an_answer_goes_on_where_another_node_left_it),
        cmocka_unit_test(an_answer_does_not_depend_on_drafts),
        cmocka_unit_test(wrong_drafts_leave_no_trace),
        cmocka_unit_test(a_cancel_frees_its_blocks_within_one_turn),
        cmocka_unit_test(broken_logits_end_one_request_and_no_other),
        cmocka_unit_test(the_context_is_the_end_of_an_answer),
        cmocka_unit_test(a_deadline_passes_in_the_waiting_room),
        cmocka_unit_test(a_running_engine_gives_every_sequence_back_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

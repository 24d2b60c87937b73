#include "node/engine/engine.h"
#include "node/engine/kv.h"
#include "node/engine/seq.h"
#include "tests/support/fake_model.h"
#include "tests/test.h"

#include "base/clock.h"
#include "base/mailbox.h"
#include "base/mem.h"
#include "base/rand.h"

#include <pthread.h>
#include <string.h>

enum {
    REQUESTS = 40,
    PROMPT_MAX = 120,
    ANSWER_MAX = 60,
    CONTEXT = 256
};

/* A request, and what came of it. */
struct request {
    int32_t prompt[PROMPT_MAX + ANSWER_MAX];
    struct wire_submit submit;
    struct wire_bias bias;
    struct sampler_pick picks[ANSWER_MAX];
    size_t pick_count;
    uint32_t first_position;
    size_t ends;
    enum wire_finish finish;
    enum err err;
    uint32_t admissions;
};

static const int32_t stop_ids[] = {190, 17};

static void given_request(struct request *request, struct rand *rand)
{
    *request = (struct request){0};
    uint32_t length = 1 + (uint32_t)rand_below(rand, PROMPT_MAX);
    for (uint32_t i = 0; i < length; i++)
        request->prompt[i] = (int32_t)rand_below(rand, FAKE_MODEL_VOCAB);
    request->bias =
        (struct wire_bias){.id = (int32_t)rand_below(rand, FAKE_MODEL_VOCAB), .bias = 3};
    request->submit = (struct wire_submit){
        .key = {.request = rand_next(rand), .choice = (uint32_t)rand_below(rand, 3)},
        .ids = request->prompt,
        .id_count = length,
        .prompt_length = length,
        .next_position = length,
        .max_tokens = 1 + (uint32_t)rand_below(rand, ANSWER_MAX),
        .stop_ids = stop_ids,
        .stop_id_count = 2,
        .priority = (enum wire_priority)rand_below(rand, 3),
        .sampling =
            {
                .temperature = rand_below(rand, 3) ? 1 : 0,
                .top_p = 0.95f,
                .top_k = (uint32_t)rand_below(rand, 2) * 50,
                .repetition_penalty = rand_below(rand, 2) ? 1.1f : 1,
                .presence_penalty = rand_below(rand, 2) ? 0.5f : 0,
                .seed = rand_next(rand),
                .bias = &request->bias,
                .bias_count = rand_below(rand, 2),
                .logprobs = rand_below(rand, 2) == 0,
                .top_logprobs = (uint32_t)rand_below(rand, 5),
            },
    };
}

static void given_requests(struct request *requests, size_t count)
{
    struct rand rand;
    rand_init(&rand, 5);
    for (size_t i = 0; i < count; i++)
        given_request(&requests[i], &rand);
}

struct house {
    struct kv_pool *pool;
    struct fake_model fake;
    struct engine *engine;
};

static void house_init(struct house *house, uint32_t blocks, struct batch_limits limits)
{
    house->pool = fake_model_pool(blocks);
    fake_model_init(&house->fake, house->pool, limits.sequences);
    struct engine_options options = {.backend = fake_model_backend(&house->fake),
                                     .pool = house->pool,
                                     .limits = limits,
                                     .orders_max = 1000};
    house->engine = engine_new(&options);
}

static void house_fini(struct house *house)
{
    assert_int_equal(kv_blocks_free(house->pool), kv_blocks_total(house->pool));
    assert_true(house->fake.tokens_max > 0);
    engine_free(house->engine);
    fake_model_fini(&house->fake);
    kv_pool_free(house->pool);
}

/* Read what came; the link of a sequence says which request it is of. Returns how many ended. */
static size_t collect(struct engine *engine, struct request *requests)
{
    size_t ended = 0;
    for (struct engine_report *report; (report = engine_take(engine)) != NULL;) {
        for (size_t i = 0; i < report->item_count; i++) {
            struct engine_item *item = &report->items[i];
            struct request *request = &requests[item->seq->link];
            assert_int_equal(request->ends, 0); // nothing follows an end
            if (item->sampled) {
                if (request->pick_count == 0) request->first_position = item->position;
                assert_int_equal(item->position, request->first_position + request->pick_count);
                assert_true(request->pick_count < ANSWER_MAX);
                request->picks[request->pick_count++] = item->pick;
            }
            if (!item->end) continue;
            request->ends++;
            request->finish = item->seq->finish;
            request->err = item->seq->err;
            request->admissions = item->seq->admissions;
            seq_free(item->seq);
            ended++;
        }
        engine_give(engine, report);
    }
    return ended;
}

static void submit(struct house *house, struct request *request, uint64_t index)
{
    engine_submit(house->engine, seq_new(&request->submit, index + 1, index, CONTEXT, 0));
}

static void run_all(struct house *house, struct request *requests, size_t count)
{
    size_t ended = 0;
    for (size_t i = 0; i < count; i++)
        submit(house, &requests[i], i);
    for (int turn = 0; turn < 100000 && ended < count; turn++) {
        engine_turn(house->engine, 0);
        ended += collect(house->engine, requests);
    }
    assert_int_equal(ended, count);
}

static void assert_same_answers(const struct request *a, const struct request *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(a[i].ends, 1);
        assert_int_equal(b[i].ends, 1);
        assert_int_equal(a[i].finish, b[i].finish);
        assert_int_equal(a[i].pick_count, b[i].pick_count);
        for (size_t at = 0; at < a[i].pick_count; at++) {
            const struct sampler_pick *x = &a[i].picks[at];
            const struct sampler_pick *y = &b[i].picks[at];
            assert_int_equal(x->id, y->id);
            assert_memory_equal(&x->logprob, &y->logprob, sizeof x->logprob);
            assert_int_equal(x->top_count, y->top_count);
            assert_memory_equal(x->tops, y->tops, x->top_count * sizeof *x->tops);
        }
    }
}

static struct request alone[REQUESTS];
static struct request other[REQUESTS];

static void answer_alone(void)
{
    struct house house;
    given_requests(alone, REQUESTS);
    house_init(&house, CONTEXT / KV_BLOCK_TOKENS,
               (struct batch_limits){.batch_tokens = 512, .sequences = 1, .waiting_max = REQUESTS});
    run_all(&house, alone, REQUESTS);
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
        given_requests(other, REQUESTS);
        house_init(&house, 200,
                   (struct batch_limits){
                       .batch_tokens = budgets[i], .sequences = 16, .waiting_max = REQUESTS});
        run_all(&house, other, REQUESTS);
        assert_true(house.fake.tokens_max <= budgets[i]);
        assert_same_answers(alone, other, REQUESTS);
        house_fini(&house);
    }
}

static void an_answer_does_not_depend_on_being_preempted(void **state)
{
    (void)state;
    answer_alone();
    struct house house;
    given_requests(other, REQUESTS);
    house_init(&house, CONTEXT / KV_BLOCK_TOKENS + 4,
               (struct batch_limits){.batch_tokens = 32, .sequences = 16, .waiting_max = REQUESTS});
    run_all(&house, other, REQUESTS);
    size_t preempted = 0;
    for (size_t i = 0; i < REQUESTS; i++)
        preempted += other[i].admissions > 1;
    assert_true(preempted > 0);
    assert_same_answers(alone, other, REQUESTS);
    house_fini(&house);
}

/* The second attempt is given the prompt and what the first has emitted so far. */
static void an_answer_goes_on_where_another_node_left_it(void **state)
{
    (void)state;
    answer_alone();
    struct house house;
    given_requests(other, REQUESTS);
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
    run_all(&house, other, REQUESTS);
    for (size_t i = 0; i < REQUESTS; i++) {
        assert_int_equal(other[i].finish, alone[i].finish);
        assert_int_equal(other[i].pick_count + taken[i], alone[i].pick_count);
        for (size_t at = 0; at < other[i].pick_count; at++)
            assert_int_equal(other[i].picks[at].id, alone[i].picks[taken[i] + at].id);
    }
    house_fini(&house);
}

static void a_cancel_frees_its_blocks_within_one_turn(void **state)
{
    (void)state;
    struct house house;
    struct batch_limits limits = {.batch_tokens = 64, .sequences = 4, .waiting_max = 8};
    given_requests(other, 3);
    for (size_t i = 0; i < 3; i++) {
        other[i].submit.max_tokens = ANSWER_MAX;
        other[i].submit.stop_id_count = 0;
    }
    house_init(&house, 64, limits);
    for (uint64_t i = 0; i < 3; i++)
        submit(&house, &other[i], i);
    for (int i = 0; i < 5; i++)
        engine_turn(house.engine, 0);
    collect(house.engine, other);
    for (uint64_t i = 0; i < 3; i++)
        engine_cancel(house.engine, i + 1);
    engine_cancel(house.engine, 999); // gone already, or never there
    assert_false(engine_turn(house.engine, 0));
    assert_int_equal(collect(house.engine, other), 3);
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
    given_requests(other, 2);
    for (size_t i = 0; i < 2; i++)
        other[i].submit.stop_id_count = 0;
    other[0].prompt[other[0].submit.id_count - 1] = 3;
    other[1].prompt[other[1].submit.id_count - 1] = 4;
    other[1].submit.max_tokens = 1;
    house_init(&house, 64,
               (struct batch_limits){.batch_tokens = 256, .sequences = 4, .waiting_max = 8});
    house.fake.broken_after = 3;
    run_all(&house, other, 2);
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
    given_requests(other, 1);
    other[0].submit.max_tokens = 100000;
    other[0].submit.stop_id_count = 0;
    house_init(&house, 64,
               (struct batch_limits){.batch_tokens = 256, .sequences = 4, .waiting_max = 8});
    uint32_t context = other[0].submit.prompt_length + 10;
    engine_submit(house.engine, seq_new(&other[0].submit, 1, 0, context, 0));
    for (int i = 0; i < 20; i++) {
        engine_turn(house.engine, 0);
        collect(house.engine, other);
    }
    assert_int_equal(other[0].finish, WIRE_FINISH_LENGTH);
    assert_int_equal(other[0].pick_count, 10);
    house_fini(&house);
}

static void a_deadline_passes_in_the_waiting_room(void **state)
{
    (void)state;
    struct house house;
    given_requests(other, 2);
    house_init(&house, 64,
               (struct batch_limits){.batch_tokens = 256, .sequences = 1, .waiting_max = 8});
    other[0].submit.max_tokens = ANSWER_MAX;
    other[0].submit.stop_id_count = 0;
    other[0].submit.priority = WIRE_INTERACTIVE;
    other[1].submit.deadline_ms = 5;
    submit(&house, &other[0], 0);
    submit(&house, &other[1], 1);
    engine_turn(house.engine, 1);
    assert_int_equal(collect(house.engine, other), 0);
    engine_turn(house.engine, 5 * CLOCK_MS);
    assert_int_equal(collect(house.engine, other), 1);
    assert_int_equal(other[1].err, ERR_TIMEOUT);
    engine_cancel(house.engine, 1);
    engine_turn(house.engine, 0);
    assert_int_equal(collect(house.engine, other), 1);
    house_fini(&house);
}

/* The same from two threads: the sender submits and cancels while steps run. */
static void a_running_engine_gives_every_sequence_back_once(void **state)
{
    (void)state;
    static struct request many[300];
    struct house house;
    given_requests(many, 300);
    house_init(&house, 40,
               (struct batch_limits){.batch_tokens = 64, .sequences = 8, .waiting_max = 300});
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, engine_run, house.engine), 0);
    size_t ended = 0;
    struct rand rand;
    rand_init(&rand, 3);
    for (uint64_t i = 0; i < 300; i++) {
        submit(&house, &many[i], i);
        if (rand_below(&rand, 3) == 0) engine_cancel(house.engine, 1 + rand_below(&rand, i + 1));
        (void)engine_step_age_ns(house.engine, clock_now_ns());
        ended += collect(house.engine, many);
    }
    while (ended < 150) {
        mailbox_wait(engine_outbox(house.engine), UINT64_MAX);
        ended += collect(house.engine, many);
    }
    engine_stop(house.engine); // the rest comes back canceled
    while (ended < 300) {
        mailbox_wait(engine_outbox(house.engine), UINT64_MAX);
        ended += collect(house.engine, many);
    }
    pthread_join(thread, NULL);
    collect(house.engine, many);
    for (size_t i = 0; i < 300; i++)
        assert_int_equal(many[i].ends, 1);
    house_fini(&house);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_does_not_depend_on_its_company),
        cmocka_unit_test(an_answer_does_not_depend_on_being_preempted),
        cmocka_unit_test(an_answer_goes_on_where_another_node_left_it),
        cmocka_unit_test(a_cancel_frees_its_blocks_within_one_turn),
        cmocka_unit_test(broken_logits_end_one_request_and_no_other),
        cmocka_unit_test(the_context_is_the_end_of_an_answer),
        cmocka_unit_test(a_deadline_passes_in_the_waiting_room),
        cmocka_unit_test(a_running_engine_gives_every_sequence_back_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

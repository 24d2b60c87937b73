/* What is answered at the end of its prompt, in company with what is generated and alone, cut into chunks and whole. */
#include "node/engine/engine.h"
#include "node/engine/kv.h"
#include "node/engine/seq.h"
#include "tests/support/fake_model.h"
#include "tests/support/mixed.h"
#include "tests/test.h"

#include "kernels/ops.h"
#include "kernels/select.h"

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

static void house_init(struct house *house, struct batch_limits limits, bool whole)
{
    house->pool = fake_model_pool(300);
    fake_model_init(&house->fake, house->pool, limits.sequences);
    ops_select(&house->ops, 0);
    struct engine_options options = {.backend = fake_model_backend(&house->fake),
                                     .ops = &house->ops,
                                     .pool = house->pool,
                                     .limits = limits,
                                     .orders_max = 1000};
    options.backend.whole = whole;
    house->engine = engine_new(&options);
}

static void house_fini(struct house *house)
{
    assert_int_equal(kv_blocks_available(house->pool), kv_blocks_total(house->pool));
    engine_free(house->engine);
    fake_model_fini(&house->fake);
    kv_pool_free(house->pool);
}

static struct mixed alone[REQUESTS];
static struct mixed other[REQUESTS];

static void given_requests(struct mixed *requests, size_t nth)
{
    mixed_given(requests, REQUESTS, FAKE_MODEL_VOCAB);
    mixed_embed(requests, REQUESTS, nth);
}

static void answer_alone(size_t nth, bool whole)
{
    struct house house;
    given_requests(alone, nth);
    house_init(&house,
               (struct batch_limits){.batch_tokens = 512, .sequences = 1, .waiting_max = 99},
               whole);
    mixed_run(house.engine, alone, REQUESTS, CONTEXT);
    house_fini(&house);
}

static void a_vector_does_not_depend_on_its_company(void **state)
{
    (void)state;
    answer_alone(2, false);
    for (size_t i = 0; i < REQUESTS; i += 2) {
        assert_int_equal(alone[i].vector_size, MIXED_VECTOR);
        assert_int_equal(alone[i].finish, WIRE_FINISH_STOP);
        assert_int_equal(alone[i].pick_count, 0);
        assert_true(alone[i + 1].pick_count > 0);
    }
    static const uint32_t budgets[] = {16, 64, 512};
    for (size_t i = 0; i < sizeof budgets / sizeof *budgets; i++) {
        struct house house;
        given_requests(other, 2);
        house_init(
            &house,
            (struct batch_limits){.batch_tokens = budgets[i], .sequences = 16, .waiting_max = 99},
            false);
        mixed_run(house.engine, other, REQUESTS, CONTEXT);
        mixed_assert_same(alone, other, REQUESTS);
        house_fini(&house);
    }
}

static void a_vector_begins_behind_what_is_cached(void **state)
{
    (void)state;
    struct house house;
    house_init(&house,
               (struct batch_limits){.batch_tokens = 64, .sequences = 16, .waiting_max = 99},
               false);
    for (int pass = 0; pass < 2; pass++) {
        given_requests(other, 1);
        mixed_relate(other, REQUESTS);
        mixed_salt(other, REQUESTS);
        mixed_run(house.engine, other, REQUESTS, CONTEXT);
        if (pass == 0) memcpy(alone, other, sizeof alone);
    }
    uint64_t cached = 0;
    for (size_t i = 0; i < REQUESTS; i++)
        cached += other[i].cached_tokens;
    assert_true(cached > 0);
    mixed_assert_same(alone, other, REQUESTS);
    house_fini(&house);
}

static void a_whole_prompt_is_one_slice(void **state)
{
    (void)state;
    answer_alone(1, true);
    struct house house;
    given_requests(other, 1);
    mixed_salt(other, REQUESTS); // there is nothing to share
    house_init(
        &house,
        (struct batch_limits){.batch_tokens = MIXED_PROMPT_MAX, .sequences = 16, .waiting_max = 99},
        true);
    mixed_run(house.engine, other, REQUESTS, CONTEXT);
    mixed_assert_same(alone, other, REQUESTS);
    assert_int_equal(house.fake.whole_slices, REQUESTS); // the fake checks that each is a prompt
    assert_true(house.fake.steps < REQUESTS);            // some went together
    assert_true(house.fake.tokens_max <= MIXED_PROMPT_MAX);
    for (size_t i = 0; i < REQUESTS; i++)
        assert_int_equal(other[i].cached_tokens, 0);
    house_fini(&house);
}

/* One request that ends in `last`, and what came of it. */
static struct mixed when_answered(struct house *house, int32_t last)
{
    struct mixed request;
    mixed_given(&request, 1, FAKE_MODEL_VOCAB);
    mixed_embed(&request, 1, 1);
    request.submit.ids = request.prompt;
    request.prompt[request.submit.id_count - 1] = last;
    mixed_run(house->engine, &request, 1, CONTEXT);
    return request;
}

static void an_answer_that_is_no_number_is_an_error(void **state)
{
    (void)state;
    for (int whole = 0; whole < 2; whole++) {
        struct house house;
        house_init(&house,
                   (struct batch_limits){.batch_tokens = 512, .sequences = 4, .waiting_max = 99},
                   whole);
        house.fake.broken_after = 7;
        house.fake.refuses = 8;
        struct mixed broken = when_answered(&house, 7);
        assert_int_equal(broken.err, ERR_INTERNAL);
        assert_int_equal(broken.finish, WIRE_FINISH_NONE);
        assert_int_equal(broken.vector_size, 0);
        assert_int_equal(when_answered(&house, 8).err, ERR_UNSUPPORTED);
        assert_int_equal(when_answered(&house, 9).err, ERR_OK);
        house_fini(&house);
    }
}

static void a_cancel_finds_a_vector_that_waits(void **state)
{
    (void)state;
    struct house house;
    given_requests(other, 1);
    house_init(&house,
               (struct batch_limits){.batch_tokens = 512, .sequences = 1, .waiting_max = 99}, true);
    for (size_t i = 0; i < 3; i++)
        mixed_submit(house.engine, other, i, CONTEXT);
    engine_cancel(house.engine, 3);
    for (int turn = 0; turn < 3; turn++) {
        engine_turn(house.engine, 0);
        mixed_collect(house.engine, other);
    }
    assert_int_equal(other[0].finish, WIRE_FINISH_STOP);
    assert_int_equal(other[1].finish, WIRE_FINISH_STOP);
    assert_int_equal(other[2].finish, WIRE_FINISH_CANCELED);
    assert_int_equal(other[2].vector_size, 0);
    house_fini(&house);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_vector_does_not_depend_on_its_company),
        cmocka_unit_test(a_vector_begins_behind_what_is_cached),
        cmocka_unit_test(a_whole_prompt_is_one_slice),
        cmocka_unit_test(an_answer_that_is_no_number_is_an_error),
        cmocka_unit_test(a_cancel_finds_a_vector_that_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

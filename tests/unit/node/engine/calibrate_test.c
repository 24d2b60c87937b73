#include "node/engine/calibrate.h"
#include "node/engine/engine.h"
#include "node/engine/kv.h"
#include "tests/support/fake_model.h"
#include "tests/test.h"

#include "base/clock.h"

enum {
    WEIGHTS_US = 200,
    ROW_US = 20
};

/* A backend that takes as long as it is told: reading the weights, or so much a row. */
struct slow {
    uint64_t steps;
    uint32_t rows_max;
    uint32_t logits_max;
};

static void slow_step(void *self, const struct forward_slice *slices, struct seq *const *seqs,
                      size_t count)
{
    (void)seqs;
    struct slow *slow = self;
    assert_int_equal(count, 1);
    assert_true(slices[0].position + slices[0].count <= slices[0].table->token_count);
    if (slices[0].count > slow->rows_max) slow->rows_max = slices[0].count;
    if (slices[0].logit_count > slow->logits_max) slow->logits_max = slices[0].logit_count;
    slow->steps++;
    uint64_t us = WEIGHTS_US > ROW_US * slices[0].count ? WEIGHTS_US : ROW_US * slices[0].count;
    uint64_t end_ns = clock_now_ns() + us * 1000;
    while (clock_now_ns() < end_ns)
        ;
}

static void the_machine_is_known_before_the_first_request(void **state)
{
    (void)state;
    struct kv_pool *pool = fake_model_pool(100);
    struct slow slow = {0};
    struct engine_backend backend = {.self = &slow, .vocab_size = 10, .step = slow_step};
    struct pace pace;
    pace_init(&pace, &(struct pace_options){.stretch_percent = 170});
    struct batch_limits limits = {
        .batch_tokens = 200, .sequences = 16, .logits_max = 20, .pace = &pace};
    calibrate(&backend, pool, &limits, 3000);

    assert_int_equal(kv_blocks_free(pool), 100); // all given back
    assert_true(slow.rows_max <= 200 && slow.rows_max >= 100);
    assert_true(slow.logits_max <= 20 && slow.logits_max >= 10);
    // A busy machine only makes it slower, and the shortest time counts.
    struct pace_step one = {.rows = 1};
    struct pace_step many = {.rows = 128};
    assert_true(pace_predict(&pace, &one) >= WEIGHTS_US / 1e3 * 0.99);
    assert_true(pace_predict(&pace, &one) < WEIGHTS_US / 1e3 * 5);
    assert_true(pace_predict(&pace, &many) > 4 * pace_predict(&pace, &one));
    kv_pool_free(pool);
}

static void a_small_pool_and_a_short_context_are_enough(void **state)
{
    (void)state;
    struct kv_pool *pool = fake_model_pool(2);
    struct slow slow = {0};
    struct engine_backend backend = {.self = &slow, .vocab_size = 10, .step = slow_step};
    struct pace pace;
    pace_init(&pace, &(struct pace_options){.stretch_percent = 170});
    struct batch_limits limits = {.batch_tokens = 256, .sequences = 1, .pace = &pace};
    calibrate(&backend, pool, &limits, 40);
    assert_true(slow.rows_max <= 40 && slow.steps > 0);
    assert_int_equal(kv_blocks_free(pool), 2);
    kv_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_machine_is_known_before_the_first_request),
        cmocka_unit_test(a_small_pool_and_a_short_context_are_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

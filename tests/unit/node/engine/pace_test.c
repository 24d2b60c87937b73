#include "node/engine/pace.h"
#include "tests/test.h"

#include "base/rand.h"

#include <math.h>

/* A machine: what a step really takes. */
struct machine {
    double weights_ms; // to read them
    double row_ms;
    double head_ms; // to read the head's weights, and a row of it
    double depth_ms;
    double slower; // than that
};

static const struct machine small_model = {
    .weights_ms = 10, .row_ms = 0.6, .head_ms = 3, .depth_ms = 0.6 / 2 / 4096, .slower = 1};

static double larger(double a, double b)
{
    return a > b ? a : b;
}

static double takes(const struct machine *machine, const struct pace_step *step)
{
    double body = larger(machine->weights_ms, machine->row_ms * step->rows);
    double head = step->logits ? larger(machine->head_ms, 0.2 * step->logits) : 0;
    double depth = machine->depth_ms * (double)(step->narrow_depth + step->wide_depth);
    return machine->slower * (body + head + depth);
}

static struct pace given_pace(uint32_t stretch_percent, uint32_t step_ms)
{
    struct pace pace;
    pace_init(&pace, &(struct pace_options){stretch_percent, step_ms});
    return pace;
}

static struct pace_step given_decodes(uint32_t count, uint32_t position)
{
    struct pace_step step = {0};
    for (uint32_t i = 0; i < count; i++)
        pace_add(&step, position, 1, 1);
    return step;
}

static void calibrate(struct pace *pace, const struct machine *machine)
{
    for (uint32_t rows = 1; rows <= 256; rows *= 2) {
        struct pace_step step = {.rows = rows};
        pace_calibrate(pace, PACE_BODY, &step, takes(machine, &step));
    }
    for (uint32_t rows = 1; rows <= 16; rows *= 2) {
        struct pace_step step = {.rows = rows, .logits = rows};
        pace_calibrate(pace, PACE_HEAD, &step, takes(machine, &step));
    }
    struct pace_step narrow = {0};
    struct pace_step wide = {0};
    pace_add(&narrow, 2048, 4, 0);
    pace_add(&wide, 2048, 64, 0);
    pace_calibrate(pace, PACE_NARROW, &narrow, takes(machine, &narrow));
    pace_calibrate(pace, PACE_WIDE, &wide, takes(machine, &wide));
}

static double error_of(const struct pace *pace, const struct machine *machine,
                       const struct pace_step *step)
{
    return fabs(pace_predict(pace, step) / takes(machine, step) - 1);
}

static void depth_is_the_sum_of_what_the_rows_see(void **state)
{
    (void)state;
    struct pace_step step = {0};
    pace_add(&step, 100, 1, 1);
    pace_add(&step, 0, 20, 0);
    assert_int_equal(step.rows, 21);
    assert_int_equal(step.logits, 1);
    assert_int_equal(step.narrow_depth, 101);
    assert_int_equal(step.wide_depth, 20 * 21 / 2);
}

static void a_calibrated_pace_predicts_what_it_has_not_seen(void **state)
{
    (void)state;
    struct pace pace = given_pace(170, 0);
    calibrate(&pace, &small_model);
    for (uint32_t decodes = 1; decodes <= 16; decodes++) {
        for (uint32_t position = 64; position <= 4096; position *= 4) {
            struct pace_step step = given_decodes(decodes, position);
            assert_true(error_of(&pace, &small_model, &step) < 0.05);
            pace_add(&step, position, 100, 0);
            assert_true(error_of(&pace, &small_model, &step) < 0.05);
        }
    }
    struct pace_step beyond = {.rows = 1000};
    assert_true(error_of(&pace, &small_model, &beyond) < 0.05);
}

/* Steps as a node has them: decodes with now and then a prompt. Noise of 10 %, and one step in 20 takes 4 times as long.
 */
static void live(struct pace *pace, const struct machine *machine, int steps, uint64_t seed)
{
    struct rand rand;
    rand_init(&rand, seed);
    for (int i = 0; i < steps; i++) {
        uint32_t position = 256 + (uint32_t)rand_below(&rand, 256);
        struct pace_step step = given_decodes(1 + (uint32_t)rand_below(&rand, 8), position);
        if (rand_below(&rand, 3) == 0) {
            uint32_t deep = (uint32_t)rand_below(&rand, 4096);
            pace_add(&step, deep, 16 + (uint32_t)rand_below(&rand, 64), 0);
        }
        double noise = 0.95 + 0.1 * rand_unit(rand_next(&rand));
        if (rand_below(&rand, 20) == 0) noise *= 4;
        pace_learn(pace, &step, takes(machine, &step) * noise);
    }
}

static void a_noisy_machine_is_learned_from_its_steps_alone(void **state)
{
    (void)state;
    struct pace pace = given_pace(170, 0);
    live(&pace, &small_model, 3000, 1);
    for (uint32_t decodes = 1; decodes <= 8; decodes++) {
        struct pace_step step = given_decodes(decodes, 300);
        assert_true(error_of(&pace, &small_model, &step) < 0.15);
        pace_add(&step, 2000, 40, 0);
        assert_true(error_of(&pace, &small_model, &step) < 0.15);
    }
    assert_true(pace.error > 0 && pace.error < 0.15);
}

static void a_machine_that_slows_down_is_followed(void **state)
{
    (void)state;
    struct pace pace = given_pace(170, 0);
    struct machine machine = small_model;
    calibrate(&pace, &machine);
    machine.slower = 2;
    live(&pace, &machine, 300, 2);
    struct pace_step step = given_decodes(8, 300);
    assert_true(error_of(&pace, &machine, &step) < 0.15);
    struct pace_step wide = {.rows = 200}; // not among the steps: only the drift carries it
    assert_true(error_of(&pace, &machine, &wide) < 0.45);
}

static void one_step_in_which_the_machine_was_away_moves_little(void **state)
{
    (void)state;
    struct pace pace = given_pace(170, 0);
    calibrate(&pace, &small_model);
    struct pace_step step = given_decodes(8, 300);
    double before = pace_predict(&pace, &step);
    pace_learn(&pace, &step, 1000 * before);
    assert_true(pace_predict(&pace, &step) < 1.05 * before);
}

static void more_rows_never_cost_less(void **state)
{
    (void)state;
    struct rand rand;
    rand_init(&rand, 4);
    struct pace pace = given_pace(170, 0);
    for (int i = 0; i < 500; i++) { // whatever it is told
        struct pace_step step = {.rows = 1 + (uint32_t)rand_below(&rand, 3000)};
        step.logits = (uint32_t)rand_below(&rand, 20);
        pace_learn(&pace, &step, rand_unit(rand_next(&rand)) * 100);
        double last = 0;
        for (step.rows = 1, step.logits = 0; step.rows < 9000; step.rows += 1 + step.rows / 8) {
            double now = pace_predict(&pace, &step);
            assert_true(now > 0 && now >= last * (1 - 1e-9));
            last = now;
        }
    }
}

static void prefill_beside_answers_keeps_to_the_stretch(void **state)
{
    (void)state;
    struct pace pace = given_pace(170, 0);
    calibrate(&pace, &small_model);
    struct pace_step decodes = given_decodes(8, 300);
    double budget = pace_budget(&pace, &decodes, 1);
    assert_true(fabs(budget / pace_predict(&pace, &decodes) - 1.7) < 1e-9);
    double crowd = pace_budget(&pace, &decodes, 3); // each prompt that waits may add as much
    assert_true(fabs(crowd / pace_predict(&pace, &decodes) - 3.1) < 1e-9);
    assert_true(pace_budget(&pace, &decodes, 999) == pace_budget(&pace, &decodes, PACE_CROWD_MAX));
    uint32_t last = 256;
    for (uint32_t position = 0; position <= 8192; position += 1024) {
        struct pace_ask ask = {.position = position, .most = 248, .first = true, .decoding = true};
        uint32_t rows = pace_rows(&pace, &decodes, budget, &ask);
        assert_true(rows >= PACE_ROWS_LEAST && rows <= last); // the deeper, the fewer
        struct pace_step step = decodes;
        pace_add(&step, position, rows, 0);
        if (rows > PACE_ROWS_LEAST) assert_true(pace_predict(&pace, &step) <= budget);
        if (rows >= 2 * PACE_TILE) assert_int_equal(step.rows % PACE_TILE, 0);
        last = rows;
    }
    assert_true(last < 24);
}

static void prefill_always_moves_on_and_only_the_first_of_a_step(void **state)
{
    (void)state;
    struct pace pace = given_pace(100, 0);
    calibrate(&pace, &small_model);
    struct pace_step decodes = given_decodes(8, 300);
    double budget = 0.5 * pace_predict(&pace, &decodes);
    struct pace_ask ask = {.position = 30000, .most = 248, .first = true, .decoding = true};
    assert_int_equal(pace_rows(&pace, &decodes, budget, &ask), PACE_ROWS_LEAST);
    ask.most = 3;
    assert_int_equal(pace_rows(&pace, &decodes, budget, &ask), 3);
    ask.most = 248;
    ask.first = false;
    assert_int_equal(pace_rows(&pace, &decodes, budget, &ask), 0);
}

static void without_answers_chunks_are_large_but_bounded(void **state)
{
    (void)state;
    struct pace pace = given_pace(170, 0);
    calibrate(&pace, &small_model);
    struct pace_step none = {0};
    double budget = pace_budget(&pace, &none, 1);
    assert_true(budget == PACE_ALONE_MS);
    struct pace_ask ask = {.position = 0, .most = 256, .first = true};
    assert_int_equal(pace_rows(&pace, &none, budget, &ask), 256);

    struct machine huge = small_model;
    huge.slower = 20;
    calibrate(&pace, &huge);
    uint32_t rows = pace_rows(&pace, &none, budget, &ask);
    assert_true(rows >= PACE_ALONE_ROWS && rows < 128);
}

static void a_budget_in_milliseconds_goes_before_the_stretch(void **state)
{
    (void)state;
    struct pace pace = given_pace(170, 50);
    calibrate(&pace, &small_model);
    struct pace_step decodes = given_decodes(8, 300);
    assert_true(pace_budget(&pace, &decodes, 1) == 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(depth_is_the_sum_of_what_the_rows_see),
        cmocka_unit_test(a_calibrated_pace_predicts_what_it_has_not_seen),
        cmocka_unit_test(a_noisy_machine_is_learned_from_its_steps_alone),
        cmocka_unit_test(a_machine_that_slows_down_is_followed),
        cmocka_unit_test(one_step_in_which_the_machine_was_away_moves_little),
        cmocka_unit_test(more_rows_never_cost_less),
        cmocka_unit_test(prefill_beside_answers_keeps_to_the_stretch),
        cmocka_unit_test(prefill_always_moves_on_and_only_the_first_of_a_step),
        cmocka_unit_test(without_answers_chunks_are_large_but_bounded),
        cmocka_unit_test(a_budget_in_milliseconds_goes_before_the_stretch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

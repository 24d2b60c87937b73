/* The engine with its pace on a machine in virtual time: prompts that arrive beside running answers. */
#include "node/engine/engine.h"
#include "node/engine/kv.h"
#include "node/engine/seq.h"
#include "tests/support/fake_model.h"
#include "tests/test.h"

#include "kernels/ops.h"
#include "kernels/select.h"

#include "base/clock.h"
#include "base/rand.h"

#include <stdlib.h>

enum {
    STREAMS = 8,
    PROMPT = 2048,
    CONTEXT = 4096,
    STEPS = 400
};

static uint64_t virtual_ns;

static uint64_t virtual_clock_ns(void)
{
    return virtual_ns;
}

struct machine {
    struct fake_model fake;
    struct engine_backend inner;
    struct rand rand;
    double noise; // a step takes up to so much longer, as a share
};

/* 10 ms to read the weights, 0.8 ms a row from 12 rows on, and attention by depth. */
static void machine_step(void *self, const struct forward_slice *slices, struct seq *const *seqs,
                         size_t count)
{
    struct machine *machine = self;
    double rows = 0;
    double depth = 0;
    for (size_t i = 0; i < count; i++) {
        rows += slices[i].count;
        depth += (double)slices[i].count * (slices[i].position + slices[i].count / 2.0);
    }
    double ms = (rows < 12 ? 10 : 10 + 0.8 * (rows - 12)) + depth * 1e-4;
    ms *= 1 + machine->noise * rand_unit(rand_next(&machine->rand));
    virtual_ns += (uint64_t)(ms * 1e6);
    machine->inner.step(machine->inner.self, slices, seqs, count);
}

static float *machine_logits(void *self, size_t index)
{
    struct machine *machine = self;
    return machine->inner.logits(machine->inner.self, index);
}

static void submit(struct engine *engine, uint64_t ticket, uint32_t length, uint32_t max_tokens)
{
    static int32_t ids[CONTEXT];
    for (uint32_t i = 0; i < length; i++)
        ids[i] = (int32_t)(rand_at(ticket, 0, i) % FAKE_MODEL_VOCAB);
    struct wire_submit request = {
        .ids = ids,
        .id_count = length,
        .prompt_length = length,
        .max_tokens = max_tokens,
        .sampling = {.repetition_penalty = 1},
    };
    engine_submit(engine,
                  seq_new(&request, ticket, 0, &(struct seq_room){.context_max = CONTEXT}, 0));
}

static size_t collect(struct engine *engine)
{
    size_t ended = 0;
    for (struct engine_report *report; (report = engine_take(engine)) != NULL;) {
        for (size_t i = 0; i < report->item_count; i++) {
            if (!report->items[i].end) continue;
            seq_free(report->items[i].seq);
            ended++;
        }
        engine_give(engine, report);
    }
    return ended;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Run so many steps; the 99th percentile of their milliseconds. Every step carries an id of each stream. */
static double p99_ms(struct engine *engine, size_t *ended)
{
    static double ms[STEPS];
    for (size_t i = 0; i < STEPS; i++) {
        uint64_t before_ns = virtual_ns;
        engine_turn(engine, 0);
        ms[i] = (double)(virtual_ns - before_ns) / 1e6;
        *ended += collect(engine);
    }
    qsort(ms, STEPS, sizeof *ms, by_value);
    return ms[STEPS * 99 / 100];
}

static void check_machine(double noise)
{
    struct kv_pool *pool = fake_model_pool(1024);
    struct machine machine = {.noise = noise};
    rand_init(&machine.rand, 1);
    fake_model_init(&machine.fake, pool, STREAMS + 1);
    machine.fake.memory = 1;
    machine.inner = fake_model_backend(&machine.fake);
    struct ops ops;
    ops_select(&ops, 0);
    struct pace pace; // that knows nothing yet
    pace_init(&pace, &(struct pace_options){.stretch_percent = 170});
    struct engine_options options = {
        .backend = {.self = &machine,
                    .vocab_size = FAKE_MODEL_VOCAB,
                    .step = machine_step,
                    .logits = machine_logits,
                    .clock_ns = virtual_clock_ns},
        .ops = &ops,
        .pool = pool,
        .limits = {.batch_tokens = 256, .sequences = STREAMS + 1, .waiting_max = 16, .pace = &pace},
        .orders_max = 100,
    };
    struct engine *engine = engine_new(&options);
    for (uint64_t ticket = 1; ticket <= STREAMS; ticket++)
        submit(engine, ticket, 256, 3000);
    size_t ended = 0;
    for (int i = 0; i < 300; i++) { // all of them decode by then
        engine_turn(engine, 0);
        ended += collect(engine);
    }
    double undisturbed = p99_ms(engine, &ended);
    for (uint64_t i = 0; i < 4; i++)
        submit(engine, STREAMS + 1 + i, PROMPT, 1);
    double disturbed = p99_ms(engine, &ended);
    print_message("p99 %.1f ms, beside prompts %.1f ms\n", undisturbed, disturbed);
    assert_true(disturbed < 2 * undisturbed);
    assert_true(ended >= 2); // and the prompts moved on

    engine_stop(engine);
    engine_turn(engine, 0);
    collect(engine);
    engine_free(engine);
    fake_model_fini(&machine.fake);
    kv_pool_free(pool);
}

static void prompts_beside_answers_keep_their_p99_within_twice(void **state)
{
    (void)state;
    check_machine(0);
    check_machine(0.3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompts_beside_answers_keep_their_p99_within_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

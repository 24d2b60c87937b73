#include "node/engine/batch.h"
#include "node/engine/kv.h"
#include "node/engine/queue.h"
#include "node/engine/seq.h"
#include "tests/support/fake_model.h"
#include "tests/test.h"

#include "base/clock.h"
#include "base/rand.h"

#include <string.h>

enum {
    SEQS_MAX = 400
};

static uint64_t next_ticket = 1;

static struct seq *given_seq(uint32_t prompt_length, uint32_t max_tokens,
                             enum wire_priority priority, uint32_t deadline_ms)
{
    static int32_t ids[4096];
    struct wire_submit submit = {
        .ids = ids,
        .id_count = prompt_length,
        .prompt_length = prompt_length,
        .next_position = prompt_length,
        .max_tokens = max_tokens,
        .priority = priority,
        .deadline_ms = deadline_ms,
        .sampling = {.repetition_penalty = 1},
    };
    return seq_new(&submit, next_ticket++, 0, &(struct seq_room){.context_max = 4096}, 0);
}

/* One of few prompts, for one of two tenants: it meets others that begin as it does. */
static struct seq *given_relative(uint32_t prompt_length, uint32_t max_tokens,
                                  enum wire_priority priority, struct rand *rand)
{
    static int32_t ids[4096];
    struct wire_salt salts[] = {{0, rand_below(rand, 2)}, {2, rand_below(rand, 3)}};
    int32_t kind = (int32_t)rand_below(rand, 2);
    for (uint32_t i = 0; i < prompt_length; i++)
        ids[i] = i < 100 ? kind : (int32_t)rand_below(rand, 2);
    struct wire_submit submit = {
        .ids = ids,
        .id_count = prompt_length,
        .prompt_length = prompt_length,
        .next_position = prompt_length,
        .max_tokens = max_tokens,
        .priority = priority,
        .sampling = {.repetition_penalty = 1},
        .salts = salts,
        .salt_count = 2,
    };
    return seq_new(&submit, next_ticket++, 0, &(struct seq_room){.context_max = 4096}, 0);
}

/* What the engine does after a step: an id for each row that asked, and the ends. Returns how many ended. */
static size_t sample_all(struct batch *batch, const struct batch_step *step)
{
    size_t ended = 0;
    batch_ran(batch);
    for (size_t i = 0; i < step->count; i++) {
        struct seq *seq = step->seqs[i];
        if (step->slices[i].logit_count == 0) continue;
        if (seq_append(seq, 7) == WIRE_FINISH_NONE) continue;
        batch_remove(batch, seq);
        seq_advance(seq, SEQ_FINISHED);
        seq_free(seq);
        ended++;
    }
    return ended;
}

static void a_long_prompt_is_parted_while_others_decode(void **state)
{
    (void)state;
    struct kv_pool *pool = fake_model_pool(64);
    struct batch_limits limits = {.batch_tokens = 16, .sequences = 4, .waiting_max = 8};
    struct batch *batch = batch_new(&limits, pool);
    struct seq *shorter = given_seq(4, 100, WIRE_DEFAULT, 0);
    struct seq *longer = given_seq(50, 100, WIRE_DEFAULT, 0);
    assert_int_equal(batch_add(batch, shorter), ERR_OK);
    assert_int_equal(batch_add(batch, longer), ERR_OK);

    static const uint32_t chunks[] = {12, 15, 15, 8, 1};
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
        const struct batch_step *step = batch_plan(batch);
        assert_int_equal(step->count, 2);
        assert_ptr_equal(step->seqs[0], shorter);
        assert_int_equal(step->slices[0].count, i == 0 ? 4 : 1);
        assert_int_equal(step->slices[0].logit_count, 1);
        assert_int_equal(step->slices[1].count, chunks[i]);
        assert_int_equal(step->slices[1].logit_count, i >= 3);
        sample_all(batch, step);
    }
    assert_int_equal(longer->state, SEQ_DECODE);
    for (struct seq *seq; (seq = batch_any(batch)) != NULL;) {
        batch_remove(batch, seq);
        seq_free(seq);
    }
    assert_int_equal(kv_blocks_free(pool), 64);
    batch_free(batch);
    kv_pool_free(pool);
}

static void add_lesser(struct batch *batch, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_int_equal(batch_add(batch, given_seq(10, 1, WIRE_BATCH, 0)), ERR_OK);
}

/* How many prompts the next step has; they end with it. */
static size_t run_whole(struct batch *batch)
{
    const struct batch_step *step = batch_plan(batch);
    size_t count = step->count;
    assert_int_equal(sample_all(batch, step), count);
    return count;
}

/* A question is embedded, or a search walks, while thousands of documents are embedded: it waits for a short step, not for a long one. */
static void whole_prompts_of_the_batch_class_give_way(void **state)
{
    (void)state;
    struct kv_pool *pool = fake_model_pool(1);
    struct batch_limits limits = {
        .batch_tokens = 100, .sequences = 16, .waiting_max = 64, .whole = true};
    struct batch *batch = batch_new(&limits, pool);
    batch_set_lesser_rows(batch, 25);
    add_lesser(batch, 12);
    assert_int_equal(run_whole(batch), 10); // nobody else is about
    assert_int_equal(run_whole(batch), 2);
    add_lesser(batch, 9);
    assert_int_equal(batch_add(batch, given_seq(5, 1, WIRE_DEFAULT, 0)), ERR_OK);
    assert_int_equal(run_whole(batch), 1); // the urgent one has a step of its own
    assert_int_equal(run_whole(batch), 2);
    assert_int_equal(run_whole(batch), 2);
    batch_set_lesser_rows(batch, 1); // less than a prompt is one
    assert_int_equal(run_whole(batch), 1);
    batch_set_lesser_rows(batch, 0);
    assert_int_equal(run_whole(batch), 4);
    batch_set_lesser_rows(batch, 25);
    add_lesser(batch, 4);
    assert_int_equal(run_whole(batch), 2);
    assert_int_equal(run_whole(batch), 2);
    for (int i = 0; i < BATCH_CALM_STEPS; i++)
        assert_int_equal(run_whole(batch), 0);
    add_lesser(batch, 13);
    assert_int_equal(run_whole(batch), 10); // it has been calm for a while
    batch_stir(batch);
    assert_int_equal(run_whole(batch), 2);
    assert_int_equal(run_whole(batch), 1);
    batch_free(batch);
    kv_pool_free(pool);
}

static void the_urgent_class_goes_first_and_each_class_keeps_its_order(void **state)
{
    (void)state;
    struct kv_pool *pool = fake_model_pool(64);
    struct batch_limits limits = {.batch_tokens = 8, .sequences = 1, .waiting_max = 8};
    struct batch *batch = batch_new(&limits, pool);

    static const enum wire_priority given[] = {WIRE_BATCH, WIRE_DEFAULT, WIRE_INTERACTIVE,
                                               WIRE_DEFAULT, WIRE_INTERACTIVE};

    static const size_t wanted[] = {2, 4, 1, 3, 0};
    struct seq *seqs[5];
    for (size_t i = 0; i < 5; i++) {
        seqs[i] = given_seq(3, 1, given[i], 0);
        assert_int_equal(batch_add(batch, seqs[i]), ERR_OK);
    }
    for (size_t i = 0; i < 5; i++) {
        const struct batch_step *step = batch_plan(batch);
        assert_int_equal(step->count, 1);
        assert_ptr_equal(step->seqs[0], seqs[wanted[i]]);
        assert_int_equal(sample_all(batch, step), 1);
    }
    batch_free(batch);
    kv_pool_free(pool);
}

static void a_full_waiting_room_refuses(void **state)
{
    (void)state;
    struct kv_pool *pool = fake_model_pool(4);
    struct batch_limits limits = {.batch_tokens = 8, .sequences = 1, .waiting_max = 2};
    struct batch *batch = batch_new(&limits, pool);
    struct seq *seqs[3];
    for (size_t i = 0; i < 3; i++) {
        seqs[i] = given_seq(3, 1, WIRE_DEFAULT, 0);
        assert_int_equal(batch_add(batch, seqs[i]), i < 2 ? ERR_OK : ERR_BUSY);
    }
    for (size_t i = 0; i < 3; i++) {
        if (i < 2) batch_remove(batch, seqs[i]);
        seq_free(seqs[i]);
    }
    batch_free(batch);
    kv_pool_free(pool);
}

static void who_runs_and_who_waits_can_be_looked_at(void **state)
{
    (void)state;
    struct kv_pool *pool = fake_model_pool(4);
    struct batch_limits limits = {.batch_tokens = 8, .sequences = 1, .waiting_max = 2};
    struct batch *batch = batch_new(&limits, pool);
    struct seq *first = given_seq(3, 2, WIRE_DEFAULT, 0);
    struct seq *second = given_seq(3, 2, WIRE_DEFAULT, 0);
    assert_int_equal(batch_add(batch, first), ERR_OK);
    assert_int_equal(batch_add(batch, second), ERR_OK);
    batch_plan(batch);
    assert_int_equal(batch_running(batch), 1);
    assert_ptr_equal(batch_running_at(batch, 0), first);
    assert_ptr_equal(queue_next(batch_queue(batch), NULL), second);
    assert_null(queue_next(batch_queue(batch), second));
    batch_ran(batch);
    batch_remove(batch, first);
    batch_remove(batch, second);
    seq_free(first);
    seq_free(second);
    batch_free(batch);
    kv_pool_free(pool);
}

static void only_who_was_never_admitted_expires(void **state)
{
    (void)state;
    struct kv_pool *pool = fake_model_pool(8);
    struct batch_limits limits = {.batch_tokens = 8, .sequences = 1, .waiting_max = 4};
    struct batch *batch = batch_new(&limits, pool);
    struct seq *running = given_seq(3, 5, WIRE_DEFAULT, 10);
    struct seq *late = given_seq(3, 5, WIRE_DEFAULT, 10);
    struct seq *patient = given_seq(3, 5, WIRE_DEFAULT, 0);
    assert_int_equal(batch_add(batch, running), ERR_OK);
    sample_all(batch, batch_plan(batch));
    assert_int_equal(batch_add(batch, late), ERR_OK);
    assert_int_equal(batch_add(batch, patient), ERR_OK);

    assert_null(batch_expire(batch, 10 * CLOCK_MS - 1));
    assert_ptr_equal(batch_expire(batch, 10 * CLOCK_MS), late);
    assert_null(batch_expire(batch, 1000 * CLOCK_MS));

    assert_ptr_equal(batch_find(batch, running->ticket), running);
    assert_ptr_equal(batch_find(batch, patient->ticket), patient);
    assert_null(batch_find(batch, late->ticket));
    batch_remove(batch, running);
    batch_remove(batch, patient);
    seq_free(running);
    seq_free(patient);
    seq_free(late);
    batch_free(batch);
    kv_pool_free(pool);
}

static void the_youngest_gives_way_when_the_pool_is_empty(void **state)
{
    (void)state;
    struct kv_pool *pool = fake_model_pool(4);
    struct batch_limits limits = {.batch_tokens = 64, .sequences = 2, .waiting_max = 4};
    struct batch *batch = batch_new(&limits, pool);
    struct seq *older = given_seq(30, 60, WIRE_DEFAULT, 0); // grows to 3 blocks
    struct seq *younger = given_seq(30, 60, WIRE_DEFAULT, 0);
    assert_int_equal(batch_add(batch, older), ERR_OK);
    assert_int_equal(batch_add(batch, younger), ERR_OK);
    uint32_t preempted = 0;
    size_t ended = 0;
    bool older_first = false;
    for (int i = 0; i < 1000 && ended < 2; i++) {
        const struct batch_step *step = batch_plan(batch);
        preempted += step->preempted;
        size_t now = 0;
        if (ended == 0 && older->id_count == older->id_max - 1) older_first = true;
        now = sample_all(batch, step);
        ended += now;
    }
    assert_int_equal(ended, 2);
    assert_true(older_first);
    assert_int_equal(preempted, 1);
    assert_int_equal(kv_blocks_free(pool), 4);
    batch_free(batch);
    kv_pool_free(pool);
}

/* Histories: chance adds, cancels and steps; what must hold is looked at after every move. */

struct world {
    struct batch *batch;
    struct kv_pool *pool;
    struct batch_limits limits;
    struct rand rand;
    struct seq *alive[SEQS_MAX];
    size_t alive_count;
    size_t ended;
    size_t preempted;
    size_t drafts;
    size_t accepted; // drafts
    struct pace pace;
    bool relatives; // they share blocks
};

static void forget(struct world *world, struct seq *seq)
{
    size_t at = 0;
    while (world->alive[at] != seq)
        at++;
    assert_true(at < world->alive_count);
    world->alive[at] = world->alive[--world->alive_count];
    world->ended++;
    seq_free(seq);
}

/* The salts of all blocks up to this one are the same, and so are all ids. */
static void may_share(const struct seq *a, const struct seq *b, uint32_t index)
{
    assert_true(a->salt_count == 2 && b->salt_count == 2);
    assert_true(a->salts[0].salt == b->salts[0].salt);
    if (index >= 2) assert_true(a->salts[1].salt == b->salts[1].salt);
    assert_memory_equal(a->ids, b->ids, (index + 1) * KV_BLOCK_TOKENS * sizeof *a->ids);
}

static void blocks_in_use_are_those_of_the_tables(const struct world *world)
{
    static const struct seq *holders[SEQS_MAX];
    static uint32_t tables[SEQS_MAX];
    uint32_t used = 0;
    uint32_t running = 0;
    uint32_t waiting = 0;
    memset(holders, 0, sizeof holders);
    memset(tables, 0, sizeof tables);
    for (size_t i = 0; i < world->alive_count; i++) {
        const struct seq *seq = world->alive[i];
        for (uint32_t b = 0; b < seq->table.block_count; b++) {
            const struct seq **holder = &holders[seq->table.blocks[b]];
            used += !*holder;
            tables[seq->table.blocks[b]]++;
            if (*holder) may_share(*holder, seq, b);
            *holder = seq;
        }
        running += seq->state == SEQ_PREFILL || seq->state == SEQ_DECODE;
        waiting += seq->state == SEQ_WAITING;
        if (seq->state == SEQ_WAITING) assert_int_equal(seq->table.block_count, 0);
    }
    for (uint32_t b = 0; b < kv_blocks_total(world->pool); b++)
        assert_int_equal(kv_holders(world->pool, b), tables[b]);
    struct kv_count count = kv_count_blocks(world->pool);
    assert_int_equal(count.held, used);
    assert_int_equal(count.held + count.cached + count.free, kv_blocks_total(world->pool));
    if (!world->relatives) assert_int_equal(count.cached, 0);
    assert_int_equal(batch_running(world->batch), running);
    assert_int_equal(batch_waiting(world->batch), waiting);
    assert_true(running <= world->limits.sequences);
}

/* An id for the rows of a slice, as long as what is drawn was drafted: of three, so that drafts come true. */
static void draw(struct world *world, const struct batch_step *step, size_t index)
{
    struct seq *seq = step->seqs[index];
    for (uint32_t row = 0; row < step->slices[index].logit_count; row++) {
        if (seq_append(seq, (int32_t)rand_below(&world->rand, 3)) != WIRE_FINISH_NONE) {
            batch_remove(world->batch, seq);
            seq_advance(seq, SEQ_FINISHED);
            forget(world, seq);
            return;
        }
        bool goes_on = batch_took(world->batch, index, row);
        assert_int_equal(seq->computed, seq->id_count - !goes_on);
        if (!goes_on) {
            assert_int_equal(seq->table.token_count, seq->computed);
            return;
        }
        world->accepted++;
    }
    fail_msg("a slice has no row behind its last one");
}

static void a_step(struct world *world)
{
    bool decoding[SEQS_MAX];
    uint32_t admissions[SEQS_MAX];
    for (size_t i = 0; i < world->alive_count; i++) {
        decoding[i] = world->alive[i]->state == SEQ_DECODE;
        admissions[i] = world->alive[i]->admissions;
    }
    const struct batch_step *step = batch_plan(world->batch);
    assert_true(step->rows <= world->limits.batch_tokens);
    world->preempted += step->preempted;
    uint32_t rows = 0;
    for (size_t i = 0; i < step->count; i++)
        rows += step->slices[i].count;
    assert_int_equal(rows, step->rows);

    for (size_t i = 0; i < world->alive_count; i++) {
        struct seq *seq = world->alive[i];
        size_t slices = 0;
        for (size_t at = 0; at < step->count; at++)
            slices += step->seqs[at] == seq;
        assert_true(slices <= 1);
        // A decode that waits has lost its blocks; it never waits for another's prefill.
        if (decoding[i]) assert_true(slices == 1 || seq->state == SEQ_WAITING);
        if (admissions[i] == 0 && seq->admissions == 1) {
            assert_true(slices == 1 || world->relatives);
            for (size_t other = 0; other < world->alive_count; other++) {
                const struct seq *waiting = world->alive[other];
                if (waiting->state != SEQ_WAITING || waiting->priority != seq->priority) continue;
                if (waiting->tenant == seq->tenant) assert_true(waiting->ticket > seq->ticket);
            }
        }
    }
    bool any = world->alive_count > 0;
    assert_int_equal(step->count > 0, any);

    batch_ran(world->batch);
    for (size_t i = 0; i < step->count; i++) {
        if (step->slices[i].logit_count > 0) draw(world, step, i);
    }
    world->drafts += step->drafts;
    if (world->limits.pace) // anything: a plan may be slow or fast, never wrong
        pace_learn(world->limits.pace, &step->cost, rand_unit(rand_next(&world->rand)) * 100);
}

static void a_move(struct world *world)
{
    uint64_t dice = rand_below(&world->rand, 10);
    if (dice < 3 && world->alive_count < SEQS_MAX) {
        uint32_t context = kv_blocks_total(world->pool) * KV_BLOCK_TOKENS;
        uint32_t prompt = 1 + (uint32_t)rand_below(&world->rand, context / 2);
        uint32_t answer = 1 + (uint32_t)rand_below(&world->rand, context / 2);
        enum wire_priority priority = (enum wire_priority)rand_below(&world->rand, 3);
        struct seq *seq = world->relatives ? given_relative(prompt, answer, priority, &world->rand)
                                           : given_seq(prompt, answer, priority, 0);
        seq->tenant = rand_below(&world->rand, 3);
        if (batch_add(world->batch, seq) == ERR_OK)
            world->alive[world->alive_count++] = seq;
        else
            seq_free(seq);
    } else if (dice == 3 && world->alive_count > 0) {
        struct seq *seq = world->alive[rand_below(&world->rand, world->alive_count)];
        assert_ptr_equal(batch_find(world->batch, seq->ticket), seq);
        batch_remove(world->batch, seq);
        seq_advance(seq, SEQ_ENDED);
        forget(world, seq);
    } else if (dice == 4 && world->relatives && rand_below(&world->rand, 10) == 0) {
        uint64_t salt = rand_below(&world->rand, 3);
        batch_forget(world->batch, &salt);
    } else {
        a_step(world);
    }
    blocks_in_use_are_those_of_the_tables(world);
}

/* Adds up what happened on the way. */
struct history {
    bool relatives;
    bool drafts;
    bool paced;
};

struct sums {
    struct batch_stats stats;
    size_t drafts;
    size_t accepted;
};

static void a_history(uint64_t seed, struct history history, struct sums *sums)
{
    struct world world = {.relatives = history.relatives};
    rand_init(&world.rand, seed);
    world.pool = fake_model_pool(2 + (uint32_t)rand_below(&world.rand, 30));
    world.limits.sequences = 1 + (uint32_t)rand_below(&world.rand, 8);
    world.limits.batch_tokens = world.limits.sequences + (uint32_t)rand_below(&world.rand, 64);
    world.limits.waiting_max = 1 + (uint32_t)rand_below(&world.rand, 20);
    if (history.drafts) {
        world.limits.drafts_max = 1 + (uint32_t)rand_below(&world.rand, 8);
        world.limits.logits_max = world.limits.sequences + (uint32_t)rand_below(&world.rand, 20);
    }
    pace_init(&world.pace, &(struct pace_options){.stretch_percent = 170});
    if (history.paced) world.limits.pace = &world.pace;
    world.batch = batch_new(&world.limits, world.pool);
    for (int i = 0; i < 400; i++)
        a_move(&world);
    for (int i = 0; i < 200000 && world.alive_count > 0; i++) {
        a_step(&world);
        blocks_in_use_are_those_of_the_tables(&world);
    }
    assert_int_equal(world.alive_count, 0); // every one came to its end
    assert_int_equal(kv_blocks_available(world.pool), kv_blocks_total(world.pool));
    sums->stats.preemptions += world.preempted;
    sums->stats.hit_tokens += batch_stats(world.batch)->hit_tokens;
    sums->drafts += world.drafts;
    sums->accepted += world.accepted;
    batch_free(world.batch);
    kv_pool_free(world.pool);
}

static void any_history_keeps_the_promises(void **state)
{
    (void)state;
    struct sums sums = {0};
    for (uint64_t seed = 1; seed <= 60; seed++)
        a_history(seed, (struct history){0}, &sums);
    assert_true(sums.stats.preemptions > 100);
    assert_int_equal(sums.stats.hit_tokens, 0);
    assert_int_equal(sums.drafts, 0);
}

static void any_history_of_relatives_does_too(void **state)
{
    (void)state;
    struct sums sums = {0};
    for (uint64_t seed = 1; seed <= 100; seed++)
        a_history(seed, (struct history){.relatives = true}, &sums);
    assert_true(sums.stats.preemptions > 100 && sums.stats.hit_tokens > 10000);
}

static void any_history_with_drafts_and_a_pace_does_too(void **state)
{
    (void)state;
    struct sums sums = {0};
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct history history = {
            .relatives = seed % 2, .drafts = seed % 4 < 3, .paced = seed % 3 < 2};
        a_history(seed, history, &sums);
    }
    assert_true(sums.stats.preemptions > 100 && sums.stats.hit_tokens > 1000);
    assert_true(sums.accepted > 500 && sums.drafts > sums.accepted * 2);
}

/* A pace that knows: 10 ms to read the weights, 1 ms a row beyond 8. */
static struct pace given_pace(void)
{
    struct pace pace;
    pace_init(&pace, &(struct pace_options){.stretch_percent = 170});
    for (uint32_t rows = 1; rows <= 256; rows *= 2) {
        struct pace_step step = {.rows = rows};
        pace_calibrate(&pace, PACE_BODY, &step, rows <= 8 ? 10 : 2 + rows);
    }
    return pace;
}

static void short_prompts_that_wait_stretch_a_step_together(void **state)
{
    (void)state;
    struct pace pace = given_pace();
    struct kv_pool *pool = fake_model_pool(128);
    struct batch_limits limits = {
        .batch_tokens = 256, .sequences = 8, .waiting_max = 8, .pace = &pace};
    struct batch *batch = batch_new(&limits, pool);
    struct seq *running = given_seq(20, 1000, WIRE_DEFAULT, 0);
    assert_int_equal(batch_add(batch, running), ERR_OK);
    sample_all(batch, batch_plan(batch));
    struct seq *all[4];
    uint32_t rows[2];
    for (size_t crowd = 0; crowd < 2;
         crowd++) { // one that is long, then three short ones beside it
        size_t count = crowd ? 4 : 1;
        for (size_t i = 0; i < count; i++) {
            all[i] = given_seq(i ? 100 : 900, 10, WIRE_DEFAULT, 0);
            assert_int_equal(batch_add(batch, all[i]), ERR_OK);
        }
        const struct batch_step *step = batch_plan(batch);
        rows[crowd] = step->rows;
        sample_all(batch, step);
        for (size_t i = 0; i < count; i++) {
            batch_remove(batch, all[i]);
            seq_free(all[i]);
        }
    }
    assert_true(rows[1] >= rows[0] + PACE_TILE / 2);
    batch_remove(batch, running);
    seq_free(running);
    batch_free(batch);
    kv_pool_free(pool);
}

static void prefill_beside_decodes_keeps_to_the_budget_and_rests_at_times(void **state)
{
    (void)state;
    struct pace pace = given_pace();
    struct kv_pool *pool = fake_model_pool(128);
    struct batch_limits limits = {
        .batch_tokens = 256, .sequences = 4, .waiting_max = 8, .pace = &pace};
    struct batch *batch = batch_new(&limits, pool);
    struct seq *running = given_seq(20, 1000, WIRE_DEFAULT, 0);
    assert_int_equal(batch_add(batch, running), ERR_OK);
    sample_all(batch, batch_plan(batch));
    const struct batch_step *step = batch_plan(batch);
    double alone_ms = pace_predict(&pace, &step->cost);
    sample_all(batch, step);

    struct seq *prompt = given_seq(1000, 10, WIRE_DEFAULT, 0);
    struct seq *behind = given_seq(1000, 10, WIRE_DEFAULT, 0);
    assert_int_equal(batch_add(batch, prompt), ERR_OK);
    assert_int_equal(batch_add(batch, behind), ERR_OK);
    for (uint32_t i = 0; i < 2 * PACE_BESIDE_MAX + 2; i++) {
        step = batch_plan(batch);
        assert_ptr_equal(step->seqs[0], running);
        assert_int_equal(step->slices[0].count, 1);
        bool rests = i % (PACE_BESIDE_MAX + 1) == PACE_BESIDE_MAX;
        assert_int_equal(step->count, rests ? 1 : 2); // the first prompt has all of the budget
        if (!rests) {
            assert_ptr_equal(step->seqs[1], prompt);
            assert_true(step->slices[1].count >= PACE_ROWS_LEAST && step->rows < 32);
            assert_true(pace_predict(&pace, &step->cost) < 1.8 * alone_ms);
        }
        sample_all(batch, step);
    }
    batch_remove(batch, running);
    seq_free(running);
    step = batch_plan(batch); // nobody is decoding: large chunks
    assert_true(step->rows > 200);
    sample_all(batch, step);
    for (struct seq *seq; (seq = batch_any(batch)) != NULL;) {
        batch_remove(batch, seq);
        seq_free(seq);
    }
    batch_free(batch);
    kv_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_prompt_is_parted_while_others_decode),
        cmocka_unit_test(whole_prompts_of_the_batch_class_give_way),
        cmocka_unit_test(the_urgent_class_goes_first_and_each_class_keeps_its_order),
        cmocka_unit_test(a_full_waiting_room_refuses),
        cmocka_unit_test(who_runs_and_who_waits_can_be_looked_at),
        cmocka_unit_test(only_who_was_never_admitted_expires),
        cmocka_unit_test(the_youngest_gives_way_when_the_pool_is_empty),
        cmocka_unit_test(any_history_keeps_the_promises),
        cmocka_unit_test(any_history_of_relatives_does_too),
        cmocka_unit_test(any_history_with_drafts_and_a_pace_does_too),
        cmocka_unit_test(short_prompts_that_wait_stretch_a_step_together),
        cmocka_unit_test(prefill_beside_decodes_keeps_to_the_budget_and_rests_at_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

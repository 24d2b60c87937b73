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
    ANN = 100, // tenants
    BEN,
    CAT
};

static uint64_t next_ticket = 1;

static struct seq *given_seq(uint64_t tenant, uint32_t weight, enum wire_priority priority,
                             uint32_t prompt, uint32_t answer)
{
    static int32_t ids[4096];
    struct wire_submit submit = {
        .ids = ids,
        .id_count = prompt,
        .prompt_length = prompt,
        .next_position = prompt,
        .max_tokens = answer,
        .tenant = tenant,
        .tenant_weight = weight,
        .priority = priority,
        .deadline_ms = 10,
        .sampling = {.repetition_penalty = 1},
    };
    return seq_new(&submit, next_ticket++, 0, 4096, 0);
}

static struct queue *given_queue(uint32_t tenants_max)
{
    return queue_new(&(struct queue_limits){.requests_max = 1000, .tenants_max = tenants_max});
}

/* One more waits, of the default class. */
static struct seq *comes(struct queue *queue, uint64_t tenant, uint32_t prompt)
{
    struct seq *seq = given_seq(tenant, 1, WIRE_DEFAULT, prompt, 100);
    assert_int_equal(queue_add(queue, seq), ERR_OK);
    return seq;
}

static struct seq *comes_as(struct queue *queue, uint64_t tenant, enum wire_priority priority,
                            uint32_t prompt)
{
    struct seq *seq = given_seq(tenant, 1, priority, prompt, 100);
    assert_int_equal(queue_add(queue, seq), ERR_OK);
    return seq;
}

static void runs(struct queue *queue, struct seq *seq)
{
    queue_take(queue, seq);
    seq_advance(seq, SEQ_ADMITTED);
    seq->admissions++;
    queue_pay_prompt(queue, seq, seq->id_count);
}

static void draws(struct queue *queue, struct seq *seq, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        seq_append(seq, 7);
    queue_pay_drawn(queue, seq);
}

static void goes(struct queue *queue, struct seq *seq)
{
    queue_leave(queue, seq);
    seq_free(seq);
}

/* The next one is admitted and ends at once. */
static uint64_t serve_next(struct queue *queue)
{
    struct seq *seq = queue_first(queue);
    uint64_t tenant = seq->tenant;
    runs(queue, seq);
    goes(queue, seq);
    return tenant;
}

static void empty(struct queue *queue)
{
    for (struct seq *seq; (seq = queue_next(queue, NULL)) != NULL;)
        goes(queue, seq);
    assert_int_equal(queue_count(queue), 0);
    assert_int_equal(queue_tokens(queue), 0);
    queue_free(queue);
}

static void the_tenant_that_was_served_least_is_next(void **state)
{
    (void)state;
    struct queue *queue = given_queue(0);
    for (int i = 0; i < 6; i++)
        comes(queue, ANN, 30);
    for (int i = 0; i < 6; i++)
        comes(queue, BEN, 10);

    static const uint64_t wanted[] = {ANN, BEN, BEN, BEN, ANN, BEN, BEN, BEN, ANN, ANN};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        assert_int_equal(serve_next(queue), wanted[i]);
    empty(queue);
}

static void of_equal_ones_the_earlier_is_next(void **state)
{
    (void)state;
    struct queue *queue = given_queue(0);
    static const uint64_t order[] = {CAT, ANN, BEN};
    for (size_t i = 0; i < 9; i++)
        comes(queue, order[i % 3], 10);
    for (size_t i = 0; i < 9; i++)
        assert_int_equal(serve_next(queue), order[i % 3]);
    empty(queue);
}

static void an_id_that_is_drawn_costs_twice_an_id_of_the_prompt(void **state)
{
    (void)state;
    struct queue *queue = given_queue(0);
    struct seq *seq = comes(queue, ANN, 10);
    struct seq *heavy = given_seq(BEN, 4, WIRE_DEFAULT, 10, 100);
    assert_int_equal(queue_add(queue, heavy), ERR_OK);
    runs(queue, seq);
    runs(queue, heavy);
    assert_true(queue_served(seq) == 10);
    draws(queue, seq, 5);
    draws(queue, heavy, 5);
    assert_true(queue_served(seq) == 20);
    assert_true(queue_served(heavy) == 5);
    queue_pay_drawn(queue, seq); // nothing new
    assert_true(queue_served(seq) == 20);
    goes(queue, seq);
    goes(queue, heavy);
    empty(queue);
}

static void a_weight_is_a_share(void **state)
{
    (void)state;
    struct queue *queue = given_queue(0);
    uint32_t served[2] = {0};
    for (int i = 0; i < 8; i++) {
        bool heavy = i % 2;
        struct seq *seq =
            given_seq(heavy ? BEN : ANN, heavy ? 3 : 0, WIRE_DEFAULT, 10, 1); // no weight: 1
        assert_int_equal(queue_add(queue, seq), ERR_OK);
    }
    for (int i = 0; i < 400; i++) {
        uint64_t tenant = serve_next(queue);
        served[tenant == BEN]++;
        struct seq *seq = given_seq(tenant, tenant == BEN ? 3 : 0, WIRE_DEFAULT, 10, 1);
        assert_int_equal(queue_add(queue, seq), ERR_OK);
    }
    assert_in_range(served[0], 99, 101);
    assert_in_range(served[1], 299, 301);
    empty(queue);
}

static void idle_time_is_not_saved_up(void **state)
{
    (void)state;
    struct queue *queue = given_queue(0);
    for (int i = 0; i < 60; i++)
        comes(queue, ANN, 10);
    struct seq *early = comes(queue, BEN, 10);
    goes(queue, early); // it was here, and had nothing
    for (int i = 0; i < 50; i++)
        assert_int_equal(serve_next(queue), ANN);
    for (int i = 0; i < 5; i++)
        comes(queue, BEN, 10);
    for (int i = 0; i < 10; i++) // by turns, though ANN has had 500 before
        assert_int_equal(serve_next(queue), i % 2 ? BEN : ANN);
    empty(queue);
}

static void who_comes_to_an_empty_room_is_lifted_to_the_last_who_left(void **state)
{
    (void)state;
    struct queue *queue = given_queue(0);
    for (int i = 0; i < 50; i++)
        comes(queue, ANN, 10);
    while (queue_count(queue) > 0)
        serve_next(queue);
    struct seq *seq = comes(queue, BEN, 10);
    assert_true(queue_served(seq) == 490); // as ANN had when its last one left
    comes(queue, ANN, 10);
    assert_int_equal(serve_next(queue), BEN);
    empty(queue);
}

static void one_that_goes_out_of_the_line_changes_nothing_for_others(void **state)
{
    (void)state;
    for (size_t gone = 0; gone < 4; gone++) {
        struct queue *queue = given_queue(0);
        struct seq *seqs[4];
        for (size_t i = 0; i < 4; i++)
            seqs[i] = comes(queue, ANN, 10);
        struct seq *other = comes(queue, BEN, 10);
        goes(queue, seqs[gone]);
        comes(queue, ANN, 11);
        assert_int_equal(queue_count(queue), 5);
        assert_int_equal(queue_tokens(queue), 51);
        for (size_t i = 0; i < 4; i++) {
            if (i == gone) continue;
            struct seq *next = queue_first(queue);
            if (next == other) {
                goes(queue, other);
                other = NULL;
                next = queue_first(queue);
            }
            assert_ptr_equal(next, seqs[i]);
            runs(queue, next);
            goes(queue, next);
        }
        if (other) goes(queue, other);
        assert_int_equal(queue_first(queue)->id_count, 11);
        empty(queue);
    }
}

static void only_who_was_never_admitted_is_late(void **state)
{
    (void)state;
    struct queue *queue = given_queue(0);
    struct seq *back = comes(queue, ANN, 10);
    runs(queue, back);
    seq_advance(back, SEQ_PREEMPTED);
    queue_return(queue, back);
    struct seq *late = comes_as(queue, BEN, WIRE_BATCH, 10);
    assert_null(queue_late(queue, 10 * CLOCK_MS - 1));
    assert_ptr_equal(queue_late(queue, 10 * CLOCK_MS), late);
    goes(queue, late);
    assert_null(queue_late(queue, 10 * CLOCK_MS));
    empty(queue);
}

static void the_preempted_come_back_to_the_front_and_pay_once(void **state)
{
    (void)state;
    struct queue *queue = given_queue(0);
    struct seq *seqs[3];
    for (size_t i = 0; i < 3; i++)
        seqs[i] = comes(queue, ANN, 10);
    runs(queue, seqs[0]);
    runs(queue, seqs[1]);
    draws(queue, seqs[0], 3);
    for (size_t i = 2; i-- > 0;) { // the younger first
        seq_advance(seqs[i], SEQ_PREEMPTED);
        queue_return(queue, seqs[i]);
    }
    assert_int_equal(queue_tokens(queue), 33);
    for (size_t i = 0; i < 2; i++) {
        assert_ptr_equal(queue_first(queue), seqs[i]);
        runs(queue, seqs[i]);
        assert_true(queue_served(seqs[i]) == 26);
        goes(queue, seqs[i]);
    }
    assert_ptr_equal(queue_first(queue), seqs[2]);
    empty(queue);
}

static void a_full_room_refuses_newcomers_alone(void **state)
{
    (void)state;
    struct queue_limits limits = {.requests_max = 3, .tokens_max = 100};
    struct queue *queue = queue_new(&limits);
    struct seq *large =
        comes(queue, ANN, 150); // nobody waits: who is larger than the room is taken
    struct seq *seq = given_seq(BEN, 1, WIRE_INTERACTIVE, 1, 1);
    assert_int_equal(queue_add(queue, seq), ERR_BUSY);
    runs(queue, large);

    comes(queue, ANN, 60);
    assert_int_equal(queue_add(queue, seq), ERR_OK);
    struct seq *more = given_seq(CAT, 1, WIRE_DEFAULT, 40, 1);
    assert_int_equal(queue_add(queue, more), ERR_BUSY);
    goes(queue, seq);
    assert_int_equal(queue_add(queue, more), ERR_OK); // 100 of 100

    seq_advance(large, SEQ_PREEMPTED);
    queue_return(queue, large);
    assert_int_equal(queue_tokens(queue), 250);
    goes(queue, more);
    goes(queue, large);

    comes(queue, ANN, 1);
    comes(queue, ANN, 1);
    struct seq *fourth = given_seq(CAT, 1, WIRE_DEFAULT, 1, 1);
    assert_int_equal(queue_add(queue, fourth), ERR_BUSY);
    seq_free(fourth);
    empty(queue);
}

static void a_tenant_alone_does_not_fill_the_room(void **state)
{
    (void)state;
    struct queue_limits limits = {.requests_max = 1000, .tokens_max = 900};
    struct queue *queue = queue_new(&limits);
    struct seq *seq;
    while (seq = given_seq(ANN, 1, WIRE_DEFAULT, 10, 1), queue_add(queue, seq) == ERR_OK)
        ;
    seq_free(seq);
    assert_int_equal(queue_tokens(queue), 800);
    for (int i = 0; i < 5; i++)
        comes(queue, BEN, 10);
    struct seq *first = queue_first(queue);
    runs(queue, first);
    goes(queue, first);
    seq = given_seq(ANN, 1, WIRE_DEFAULT, 10, 1);
    assert_int_equal(queue_add(queue, seq), ERR_BUSY); // what is free is for others
    seq_free(seq);
    comes(queue, CAT, 10);
    empty(queue);
}

static void the_longest_idle_tenant_makes_place_for_a_new_one(void **state)
{
    (void)state;
    struct queue *queue = given_queue(3);
    struct seq *guard = comes(queue, CAT, 1); // the least, so that nobody is lifted
    for (uint64_t tenant = 1; tenant <= 2; tenant++) {
        struct seq *seq = comes(queue, tenant, 10);
        runs(queue, seq);
        goes(queue, seq);
    }
    struct seq *seq = comes(queue, 1, 10); // now 2 has rested for longest
    goes(queue, seq);
    seq = comes(queue, 3, 10);
    goes(queue, seq);
    seq = comes(queue, 1, 10);
    assert_true(queue_served(seq) == 10); // remembered
    goes(queue, seq);
    seq = comes(queue, 2, 10);
    assert_true(queue_served(seq) == 0); // as new
    assert_true(queue_served(guard) == 0);
    empty(queue);
}

static void tenants_beyond_the_table_share_a_line(void **state)
{
    (void)state;
    struct queue *queue = given_queue(2);
    for (int i = 0; i < 20; i++) {
        comes(queue, 1, 10);
        comes(queue, 2, 10);
        comes(queue, 3 + (uint64_t)i % 5, 10);
    }
    uint32_t served[3] = {0};
    uint64_t shared = 3;
    for (int i = 0; i < 30; i++) {
        uint64_t tenant = serve_next(queue);
        served[tenant < 3 ? tenant - 1 : 2]++;
        if (tenant < 3) continue;
        assert_int_equal(tenant, shared); // first come, first served among them
        shared = shared == 7 ? 3 : shared + 1;
    }
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(served[i], 10);
    empty(queue);
}

static void an_urgent_class_goes_first_and_no_class_starves(void **state)
{
    (void)state;
    struct queue *queue = given_queue(0);
    uint64_t cost[QUEUE_CLASSES] = {0};
    uint32_t before_first[QUEUE_CLASSES] = {0};
    for (int i = 0; i < 3; i++)
        for (int class = 0; class < QUEUE_CLASSES; class ++)
            comes_as(queue, ANN, (enum wire_priority) class, 40);
    for (int i = 0; i < 4000; i++) {
        struct seq *seq = queue_first(queue);
        enum wire_priority priority = seq->priority;
        comes_as(queue, ANN, priority, 40);
        runs(queue, seq);
        draws(queue, seq, 30);
        goes(queue, seq);
        cost[priority] += 100;
        if (cost[WIRE_DEFAULT] == 0) before_first[WIRE_DEFAULT]++;
        if (cost[WIRE_BATCH] == 0) before_first[WIRE_BATCH]++;
    }
    assert_in_range(before_first[WIRE_DEFAULT], 40, 45); // QUEUE_PATIENCE
    assert_in_range(before_first[WIRE_BATCH], 40, 45);
    for (int class = WIRE_DEFAULT; class <= WIRE_BATCH; class ++)
        assert_in_range(cost[class], 400000 / 17 - 4000, 400000 / 17 + 1000);
    empty(queue);
}

static void a_class_saves_up_no_more_than_its_patience(void **state)
{
    (void)state;
    struct queue *queue = given_queue(0);
    struct seq *running = given_seq(ANN, 1, WIRE_INTERACTIVE, 10, 4000);
    assert_int_equal(queue_add(queue, running), ERR_OK);
    runs(queue, running);
    for (int i = 0; i < 5; i++)
        comes_as(queue, BEN, WIRE_BATCH, 2000);
    for (int i = 0; i < 39; i++) // there is no place for a long time
        draws(queue, running, 100);
    for (int i = 0; i < 300; i++)
        comes_as(queue, ANN, WIRE_INTERACTIVE, 100);
    struct seq *due = queue_first(queue);
    assert_int_equal(due->priority, WIRE_BATCH);
    runs(queue, due);
    for (int i = 0; i < 300; i++) // 2000 * 16 units later it is due again
        assert_int_equal(serve_next(queue), ANN);
    goes(queue, due);
    goes(queue, running);
    empty(queue);
}

/* With the batch, on a real pool. */

static void whom_the_queue_chose_last_gives_way_first(void **state)
{
    (void)state;
    struct kv_pool *pool = fake_model_pool(5);
    struct batch_limits limits = {.batch_tokens = 100, .sequences = 3, .waiting_max = 8};
    struct batch *batch = batch_new(&limits, pool);
    struct seq *first = given_seq(ANN, 1, WIRE_DEFAULT, 30, 60);
    struct seq *third = given_seq(ANN, 1, WIRE_DEFAULT, 30, 60);
    struct seq *second = given_seq(BEN, 1, WIRE_DEFAULT, 30, 60); // it came last
    assert_int_equal(batch_add(batch, first), ERR_OK);
    assert_int_equal(batch_add(batch, third), ERR_OK);
    assert_int_equal(batch_add(batch, second), ERR_OK);
    const struct batch_step *step = batch_plan(batch);
    assert_int_equal(step->count, 3);
    assert_ptr_equal(step->seqs[1], second);
    assert_ptr_equal(step->seqs[2], third);
    for (;;) {
        batch_ran(batch);
        for (size_t i = 0; i < step->count; i++)
            seq_append(step->seqs[i], 7);
        step = batch_plan(batch);
        assert_true(queue_served(second) == 30 + 2 * seq_emitted(second)); // as it draws
        if (step->preempted > 0) break;
    }
    assert_int_equal(second->state, SEQ_DECODE);
    assert_int_equal(third->state, SEQ_WAITING);
    batch_ran(batch);
    for (struct seq *seq; (seq = batch_any(batch)) != NULL;) {
        batch_remove(batch, seq);
        seq_free(seq);
    }
    batch_free(batch);
    kv_pool_free(pool);
}

static struct seq *given_sharer(uint64_t tenant, int32_t kind, uint32_t prompt)
{
    static int32_t ids[4096];
    struct wire_salt salt = {0, 1};
    for (uint32_t i = 0; i < prompt; i++)
        ids[i] = kind;
    struct wire_submit submit = {
        .ids = ids,
        .id_count = prompt,
        .prompt_length = prompt,
        .next_position = prompt,
        .max_tokens = 1,
        .tenant = tenant,
        .tenant_weight = 1,
        .priority = WIRE_DEFAULT,
        .salts = &salt,
        .salt_count = 1,
        .sampling = {.repetition_penalty = 1},
    };
    return seq_new(&submit, next_ticket++, 0, 4096, 0);
}

/* Runs what waits until all of it has ended. Returns the counter of the last one at its end. */
static double run_out(struct batch *batch)
{
    double served = 0;
    for (;;) {
        const struct batch_step *step = batch_plan(batch);
        batch_ran(batch);
        if (step->count == 0) return served;
        for (size_t i = 0; i < step->count; i++) {
            struct seq *seq = step->seqs[i];
            if (step->slices[i].logit_count == 0) continue;
            assert_int_equal(seq_append(seq, 7), WIRE_FINISH_LENGTH);
            served = queue_served(seq);
            batch_remove(batch, seq);
            seq_free(seq);
        }
    }
}

static void what_the_prefix_cache_has_is_free(void **state)
{
    (void)state;
    struct kv_pool *pool = fake_model_pool(64);
    struct batch_limits limits = {.batch_tokens = 512, .sequences = 4, .waiting_max = 8};
    struct batch *batch = batch_new(&limits, pool);
    assert_int_equal(batch_add(batch, given_sharer(ANN, 1, 100)), ERR_OK);
    assert_true(run_out(batch) == 100); // the end is paid for at removal
    struct seq *warm = given_sharer(ANN, 1, 100);
    struct seq *cold = given_sharer(BEN, 2, 100);
    assert_int_equal(batch_add(batch, warm), ERR_OK);
    batch_plan(batch);
    batch_ran(batch);
    assert_true(queue_served(warm) == 102 + 100 - 3 * KV_BLOCK_TOKENS);
    assert_int_equal(batch_add(batch, cold), ERR_OK);
    struct seq *twin = given_sharer(CAT, 2, 100); // what another computes now, it does not pay for
    assert_int_equal(batch_add(batch, twin), ERR_OK);
    seq_append(warm, 7);
    batch_remove(batch, warm);
    seq_free(warm);
    batch_plan(batch);
    batch_ran(batch);
    assert_true(cold->computed == 100);
    assert_true(queue_served(twin) < queue_served(cold));
    assert_true(queue_served(cold) - queue_served(twin) >= 3 * KV_BLOCK_TOKENS);
    for (struct seq *seq; (seq = batch_any(batch)) != NULL;) {
        batch_remove(batch, seq);
        seq_free(seq);
    }
    batch_free(batch);
    kv_pool_free(pool);
}

/* Histories: some tenants always have someone waiting, others come and go, in any class, and chance cancels. What each
 * was served is added up here, from what the steps compute and draw. */

enum {
    TENANTS = 5,
    STEPS = 3000,
    ALIVE_MAX = 400,
    PROMPT_MAX = 160,
    ANSWER_MAX = 90
};

struct tenant {
    uint32_t weight;
    uint32_t depth; // it keeps so many waiting in the default class; 0: it comes and goes
    uint32_t waiting[QUEUE_CLASSES];
    double served[QUEUE_CLASSES];
};

/* Since when two of them have both waited in a class. */
struct pair {
    bool both;
    double low;
    double high;
};

struct world {
    struct batch *batch;
    struct batch_limits limits;
    struct rand rand;
    bool blind; // the queue sees one tenant
    struct tenant tenants[TENANTS];
    struct pair pairs[QUEUE_CLASSES][TENANTS][TENANTS];
    struct seq *alive[ALIVE_MAX];
    uint32_t owner[ALIVE_MAX];
    bool admitted[ALIVE_MAX];
    size_t alive_count;
    uint32_t preempted;
    double worst; // gap over bound
};

static void arrive(struct world *world, uint32_t index, enum wire_priority priority)
{
    const struct tenant *tenant = &world->tenants[index];
    uint32_t prompt = 1 + (uint32_t)rand_below(&world->rand, PROMPT_MAX);
    uint32_t answer = 1 + (uint32_t)rand_below(&world->rand, ANSWER_MAX);
    struct seq *seq = given_seq(world->blind ? 0 : index + 1, world->blind ? 1 : tenant->weight,
                                priority, prompt, answer);
    assert_true(world->alive_count < ALIVE_MAX);
    assert_int_equal(batch_add(world->batch, seq), ERR_OK);
    world->owner[world->alive_count] = index;
    world->admitted[world->alive_count] = false;
    world->alive[world->alive_count++] = seq;
    world->tenants[index].waiting[priority]++;
}

/* Who has nobody waiting is not owed anything, even if somebody of its comes back before the next look. */
static void stop_waiting(struct world *world, uint32_t index, int class)
{
    if (--world->tenants[index].waiting[class] > 0) return;
    for (uint32_t i = 0; i < TENANTS; i++)
        world->pairs[class][index][i].both = world->pairs[class][i][index].both = false;
}

static void depart(struct world *world, size_t at)
{
    struct seq *seq = world->alive[at];
    if (seq->state == SEQ_WAITING) stop_waiting(world, world->owner[at], (int)seq->priority);
    batch_remove(world->batch, seq);
    seq_free(seq);
    world->alive_count--;
    world->alive[at] = world->alive[world->alive_count];
    world->owner[at] = world->owner[world->alive_count];
    world->admitted[at] = world->admitted[world->alive_count];
}

static void count_waiting(struct world *world)
{
    for (uint32_t i = 0; i < TENANTS; i++)
        memset(world->tenants[i].waiting, 0, sizeof world->tenants[i].waiting);
    for (size_t i = 0; i < world->alive_count; i++) {
        const struct seq *seq = world->alive[i];
        struct tenant *tenant = &world->tenants[world->owner[i]];
        tenant->waiting[seq->priority] += seq->state == SEQ_WAITING;
        if (seq->admissions == 0 || world->admitted[i]) continue;
        world->admitted[i] = true;
        tenant->served[seq->priority] += seq->id_count * QUEUE_INPUT;
    }
}

/* What may come on top of the least counter: a prompt, and what all that run may still draw. No more than what all
 * ids of those that run would cost. */
static double most_ahead(const struct world *world)
{
    return PROMPT_MAX * QUEUE_INPUT + world->limits.sequences * ANSWER_MAX * QUEUE_OUTPUT;
}

static void look_at_pair(struct world *world, int class, uint32_t a, uint32_t b)
{
    const struct tenant *one = &world->tenants[a];
    const struct tenant *two = &world->tenants[b];
    struct pair *pair = &world->pairs[class][a][b];
    bool both = one->waiting[class] > 0 && two->waiting[class] > 0;
    double gap = one->served[class] / one->weight - two->served[class] / two->weight;
    if (both && !pair->both) pair->low = pair->high = gap;
    pair->both = both;
    if (!both) return;
    if (gap < pair->low) pair->low = gap;
    if (gap > pair->high) pair->high = gap;
    double bound = most_ahead(world) / one->weight + most_ahead(world) / two->weight;
    double part = (pair->high - pair->low) / bound;
    if (part > world->worst) world->worst = part;
}

static void come_and_go(struct world *world)
{
    for (uint32_t i = 0; i < TENANTS; i++) {
        const struct tenant *tenant = &world->tenants[i];
        for (uint32_t have = tenant->waiting[WIRE_DEFAULT]; have < tenant->depth; have++)
            arrive(world, i, WIRE_DEFAULT);
        if (rand_below(&world->rand, 30) > 0) continue;
        uint64_t count = rand_below(&world->rand, 4);
        enum wire_priority priority = (enum wire_priority)rand_below(&world->rand, 3);
        if (tenant->depth > 0 && priority == WIRE_DEFAULT) continue;
        if (world->alive_count > ALIVE_MAX / 2) continue;
        for (uint64_t k = 0; k < count; k++)
            arrive(world, i, priority);
    }
    if (rand_below(&world->rand, 20) == 0 && world->alive_count > 0)
        depart(world, rand_below(&world->rand, world->alive_count));
}

static size_t place_of(const struct world *world, const struct seq *seq)
{
    size_t at = 0;
    while (world->alive[at] != seq)
        at++;
    return at;
}

static void a_step(struct world *world)
{
    const struct batch_step *step = batch_plan(world->batch);
    world->preempted += step->preempted;
    count_waiting(world);
    for (int class = 0; class < QUEUE_CLASSES; class ++)
        for (uint32_t a = 0; a < TENANTS; a++)
            for (uint32_t b = 0; b < a; b++)
                look_at_pair(world, class, a, b);
    batch_ran(world->batch);
    for (size_t i = 0; i < step->count; i++) {
        if (step->slices[i].logit_count == 0) continue;
        struct seq *seq = step->seqs[i];
        size_t at = place_of(world, seq);
        world->tenants[world->owner[at]].served[seq->priority] += QUEUE_OUTPUT;
        if (seq_append(seq, 7) != WIRE_FINISH_NONE) depart(world, at);
    }
}

/* How far two tenants came apart, of the bound. */
static double a_history(uint64_t seed, bool weighted, bool blind, uint32_t *preempted)
{
    static struct world world;
    world = (struct world){.blind = blind};
    rand_init(&world.rand, seed);
    struct kv_pool *pool = fake_model_pool(8 + (uint32_t)rand_below(&world.rand, 24));
    world.limits.sequences = 1 + (uint32_t)rand_below(&world.rand, 8);
    world.limits.batch_tokens = world.limits.sequences + (uint32_t)rand_below(&world.rand, 100);
    world.limits.waiting_max = ALIVE_MAX;
    world.batch = batch_new(&world.limits, pool);
    for (uint32_t i = 0; i < TENANTS; i++) {
        static const uint32_t depths[TENANTS] = {40, 3, 9, 0, 0};
        static const uint32_t weights[] = {1, 2, 5};
        world.tenants[i].depth = depths[i];
        world.tenants[i].weight = weighted ? weights[rand_below(&world.rand, 3)] : 1;
    }
    for (int i = 0; i < STEPS; i++) {
        come_and_go(&world);
        a_step(&world);
    }
    while (world.alive_count > 0)
        depart(&world, 0);
    assert_int_equal(kv_blocks_free(pool), kv_blocks_total(pool));
    *preempted += world.preempted;
    batch_free(world.batch);
    kv_pool_free(pool);
    return world.worst;
}

static void no_two_who_wait_come_apart_by_more_than_the_bound(void **state)
{
    (void)state;
    uint32_t preempted = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        double part = a_history(seed, seed % 2 == 0, false, &preempted);
        if (part > 1) fail_msg("seed %u: %.2f of the bound", (unsigned)seed, part);
    }
    assert_true(preempted > 100);
}

/* The same histories, when the queue knows of one tenant only: the test sees what it is there to see. */
static void first_come_first_served_breaks_the_bound(void **state)
{
    (void)state;
    uint32_t preempted = 0;
    int broken = 0;
    for (uint64_t seed = 1; seed <= 20; seed++)
        broken += a_history(seed, seed % 2 == 0, true, &preempted) > 1;
    assert_true(broken > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tenant_that_was_served_least_is_next),
        cmocka_unit_test(of_equal_ones_the_earlier_is_next),
        cmocka_unit_test(an_id_that_is_drawn_costs_twice_an_id_of_the_prompt),
        cmocka_unit_test(a_weight_is_a_share),
        cmocka_unit_test(idle_time_is_not_saved_up),
        cmocka_unit_test(who_comes_to_an_empty_room_is_lifted_to_the_last_who_left),
        cmocka_unit_test(one_that_goes_out_of_the_line_changes_nothing_for_others),
        cmocka_unit_test(only_who_was_never_admitted_is_late),
        cmocka_unit_test(the_preempted_come_back_to_the_front_and_pay_once),
        cmocka_unit_test(a_full_room_refuses_newcomers_alone),
        cmocka_unit_test(a_tenant_alone_does_not_fill_the_room),
        cmocka_unit_test(the_longest_idle_tenant_makes_place_for_a_new_one),
        cmocka_unit_test(tenants_beyond_the_table_share_a_line),
        cmocka_unit_test(an_urgent_class_goes_first_and_no_class_starves),
        cmocka_unit_test(a_class_saves_up_no_more_than_its_patience),
        cmocka_unit_test(whom_the_queue_chose_last_gives_way_first),
        cmocka_unit_test(what_the_prefix_cache_has_is_free),
        cmocka_unit_test(no_two_who_wait_come_apart_by_more_than_the_bound),
        cmocka_unit_test(first_come_first_served_breaks_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "node/engine/queue.h"
#include "node/engine/seq.h"
#include "tests/test.h"
#include "tests/unit/node/engine/queue_seq.h"

#include "base/clock.h"

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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

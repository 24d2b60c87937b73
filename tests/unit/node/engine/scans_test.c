/* Searches through the engine, by a scanner that a test can reason about: each walk takes some turns, and the answer of
 * a search is the number that its query has. */
#include "node/engine/engine.h"
#include "node/engine/kv.h"
#include "node/engine/seq.h"
#include "tests/support/fake_model.h"
#include "tests/support/mixed.h"
#include "tests/test.h"

#include "kernels/ops.h"
#include "kernels/select.h"

#include "base/clock.h"

#include <string.h>

enum {
    SEARCHES_MAX = 32,
    CONTEXT = 256,
    TURNS = 3 // of a walk
};

struct house {
    struct kv_pool *pool;
    struct fake_model fake;
    struct ops ops;
    struct engine *engine;

    // The scanner.
    struct seq *walking[ENGINE_SCANS];
    size_t count;
    size_t walks;
    size_t most; // of one walk
    uint32_t left;

    // What came back, in order.
    uint64_t ended[SEARCHES_MAX];
    size_t ended_count;
    size_t picks; // ids of mixed requests
};

static void begin(void *self, struct seq *const *seqs, size_t count)
{
    struct house *house = self;
    assert_true(count > 0 && count <= ENGINE_SCANS);
    memcpy(house->walking, seqs, count * sizeof(struct seq *));
    house->count = count;
    house->walks++;
    if (count > house->most) house->most = count;
    house->left = TURNS;
}

static bool go_on(void *self, uint64_t bytes)
{
    struct house *house = self;
    assert_int_equal(bytes, ENGINE_SCAN_BYTES);
    assert_true(house->left > 0);
    return --house->left == 0;
}

static void leave(void *self, size_t index)
{
    struct house *house = self;
    assert_non_null(house->walking[index]);
    house->walking[index] = NULL;
}

static void answer(void *self, size_t index, struct seq *seq)
{
    const struct house *house = self;
    assert_ptr_equal(house->walking[index], seq);
    seq->answer.rows[0] = (int32_t)seq->scan->query[0];
    seq->answer.scores[0] = 0.5f;
    seq->answer.row_count = 1;
}

static void house_init(struct house *house, uint32_t sequences, uint32_t waiting_max)
{
    memset(house, 0, sizeof *house);
    house->pool = fake_model_pool(300);
    fake_model_init(&house->fake, house->pool, sequences);
    ops_select(&house->ops, 0);
    struct engine_options options = {
        .backend = fake_model_backend(&house->fake),
        .ops = &house->ops,
        .pool = house->pool,
        .limits = {.batch_tokens = 64, .sequences = sequences, .waiting_max = waiting_max},
        .scanner = {house, begin, go_on, leave, answer},
        .orders_max = 1000,
    };
    house->engine = engine_new(&options);
}

static void house_fini(struct house *house)
{
    assert_int_equal(kv_blocks_available(house->pool), kv_blocks_total(house->pool));
    engine_free(house->engine);
    fake_model_fini(&house->fake);
    kv_pool_free(house->pool);
}

/* What each search looks for; kept while it is in the air. */
static float queries[SEARCHES_MAX];
static struct seq_scan scans[SEARCHES_MAX];

static void search(struct house *house, uint64_t ticket, struct wire_submit submit, uint64_t rows)
{
    submit.kind = WIRE_SCAN;
    submit.top_count = 1;
    struct seq_room room = {.context_max = CONTEXT};
    struct seq *seq = seq_new(&submit, ticket, ticket, &room, 0);
    queries[ticket] = (float)ticket;
    scans[ticket] = (struct seq_scan){.query = &queries[ticket], .query_size = 1, .rows = rows};
    seq->scan = &scans[ticket];
    engine_submit(house->engine, seq);
}

static void turn(struct house *house, uint64_t now_ns)
{
    engine_turn(house->engine, now_ns);
    for (struct engine_report *report; (report = engine_take(house->engine)) != NULL;) {
        for (size_t i = 0; i < report->item_count; i++) {
            struct engine_item *item = &report->items[i];
            house->picks += item->sampled;
            if (!item->end) continue;
            assert_int_equal(item->seq->state, SEQ_DONE);
            if (item->answered) {
                assert_int_equal(item->seq->finish, WIRE_FINISH_STOP);
                assert_int_equal(item->seq->answer.row_count, 1);
                assert_int_equal(item->seq->answer.rows[0], item->seq->ticket);
            }
            house->ended[house->ended_count++] =
                item->seq->ticket + (item->answered || !item->seq->scan ? 0 : 1000);
            seq_free(item->seq);
        }
        engine_give(house->engine, report);
    }
}

static void searches_walk_together_and_are_answered_in_turn(void **state)
{
    (void)state;
    struct house house;
    house_init(&house, 2, 99);
    for (uint64_t i = 0; i < 11; i++)
        search(&house, i, (struct wire_submit){0}, 10);
    for (int i = 0; i < TURNS; i++) {
        assert_int_equal(house.ended_count, 0);
        turn(&house, 1);
    }
    assert_int_equal(house.ended_count, ENGINE_SCANS);
    for (int i = 0; i < TURNS; i++)
        turn(&house, 1);
    assert_int_equal(house.ended_count, 11);
    for (uint64_t i = 0; i < 11; i++)
        assert_int_equal(house.ended[i], i);
    assert_int_equal(house.walks, 2);
    assert_false(engine_turn(house.engine, 1)); // nothing is left to do
    house_fini(&house);
}

static void a_node_full_of_answers_still_searches_and_a_search_stops_no_answer(void **state)
{
    (void)state;
    static struct mixed requests[2];
    struct house house;
    house_init(&house, 1, 99);
    mixed_given(requests, 2, FAKE_MODEL_VOCAB);
    for (size_t i = 0; i < 2; i++) { // one runs, the other waits for it
        requests[i].submit.max_tokens = 50;
        requests[i].submit.stop_id_count = 0;
        mixed_submit(house.engine, requests, i, CONTEXT);
    }
    while (house.picks == 0)
        turn(&house, 1);
    search(&house, 20, (struct wire_submit){0}, 10);
    size_t picks = house.picks;
    for (int i = 0; i < TURNS; i++)
        turn(&house, 1);
    assert_int_equal(house.ended_count, 1);
    assert_int_equal(house.ended[0], 20);
    assert_int_equal(house.picks, picks + TURNS);
    engine_cancel(house.engine, 0);
    engine_cancel(house.engine, 1);
    for (int i = 0; i < 200 && house.ended_count < 3; i++)
        turn(&house, 1);
    house_fini(&house);
}

static void a_canceled_search_leaves_its_walk_and_the_others_go_on(void **state)
{
    (void)state;
    struct house house;
    house_init(&house, 2, 99);
    for (uint64_t i = 1; i <= 3; i++)
        search(&house, i, (struct wire_submit){0}, 10);
    turn(&house, 1);
    search(&house, 4, (struct wire_submit){0}, 10);
    engine_cancel(house.engine, 2);
    engine_cancel(house.engine, 4); // waits
    turn(&house, 1);
    assert_int_equal(house.ended_count, 2);
    assert_int_equal(house.ended[0], 1002);
    assert_int_equal(house.ended[1], 1004);
    turn(&house, 1);
    assert_int_equal(house.ended_count, 4);
    assert_int_equal(house.ended[2], 1);
    assert_int_equal(house.ended[3], 3);
    // When all leave, the walk is over, and the next one is another.
    search(&house, 5, (struct wire_submit){0}, 10);
    turn(&house, 1);
    engine_cancel(house.engine, 5);
    search(&house, 6, (struct wire_submit){0}, 10);
    for (int i = 0; i < TURNS; i++)
        turn(&house, 1);
    assert_int_equal(house.ended[4], 1005);
    assert_int_equal(house.ended[5], 6);
    house_fini(&house);
}

static void a_search_that_waits_past_its_deadline_ends(void **state)
{
    (void)state;
    struct house house;
    house_init(&house, 2, 99);
    for (uint64_t i = 0; i < ENGINE_SCANS; i++)
        search(&house, i, (struct wire_submit){0}, 10);
    turn(&house, 1);
    search(&house, 30, (struct wire_submit){.deadline_ms = 5}, 10);
    turn(&house, 4 * CLOCK_MS);
    assert_int_equal(house.ended_count, 0);
    turn(&house, 5 * CLOCK_MS);
    assert_int_equal(house.ended[0], 1030);
    assert_int_equal(house.ended_count, 1 + ENGINE_SCANS);
    house_fini(&house);
}

static void tenants_and_classes_have_their_turn_by_the_rows_they_search(void **state)
{
    (void)state;
    struct house house;
    house_init(&house, 2, 99);
    // Tenant 1 asks for much, many times; tenant 2 for little; and somebody is urgent.
    for (uint64_t i = 0; i < 12; i++)
        search(&house, i, (struct wire_submit){.tenant = 1, .priority = WIRE_DEFAULT}, 100000);
    for (uint64_t i = 20; i < 24; i++)
        search(&house, i, (struct wire_submit){.tenant = 2, .priority = WIRE_DEFAULT}, 1000);
    search(&house, 30, (struct wire_submit){.tenant = 1, .priority = WIRE_INTERACTIVE}, 1000);
    for (int i = 0; i < TURNS; i++)
        turn(&house, 1);
    static const uint64_t want[] = {30, 0, 20, 21, 22, 23, 1, 2};
    assert_int_equal(house.ended_count, 8);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(house.ended[i], want[i]);
    for (int i = 0; i < 2 * TURNS; i++)
        turn(&house, 1);
    assert_int_equal(house.ended_count, 17);
    house_fini(&house);
}

static void a_full_room_is_an_answer_and_a_stop_gives_all_back(void **state)
{
    (void)state;
    struct house house;
    house_init(&house, 2, 9);
    for (uint64_t i = 0; i < 10; i++)
        search(&house, i, (struct wire_submit){0}, 10);
    turn(&house, 1);
    assert_int_equal(house.ended_count, 1);
    assert_int_equal(house.ended[0], 1009);
    engine_stop(house.engine);
    turn(&house, 1);
    assert_int_equal(house.ended_count, 10);
    house_fini(&house);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(searches_walk_together_and_are_answered_in_turn),
        cmocka_unit_test(a_node_full_of_answers_still_searches_and_a_search_stops_no_answer),
        cmocka_unit_test(a_canceled_search_leaves_its_walk_and_the_others_go_on),
        cmocka_unit_test(a_search_that_waits_past_its_deadline_ends),
        cmocka_unit_test(tenants_and_classes_have_their_turn_by_the_rows_they_search),
        cmocka_unit_test(a_full_room_is_an_answer_and_a_stop_gives_all_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

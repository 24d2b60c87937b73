/* Recommendations by a real engine and, over a real link, by the service. The test plays the scheduler. Waits have a limit after
 * which they fail; nothing depends on how long a thing takes. */
#include "node/engine/engine.h"
#include "node/engine/kv.h"
#include "node/engine/seq.h"
#include "node/recommender.h"
#include "node/service/service.h"
#include "tests/support/tiny_sasrec.h"
#include "tests/test.h"
#include "tests/unit/node/service/caller.h"

#include "kernels/cpu.h"
#include "kernels/ops.h"
#include "kernels/select.h"
#include "kernels/team.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/rand.h"

#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    ITEMS = 700,
    DIM = 32,
    CONTEXT = 12,
    USERS = 150,
    TOP_MAX = 30,
    CREDITS = 4
};

static char path[TINY_MODEL_PATH_MAX];
static struct ops ops;
static struct team *team;
static struct recommender *recommender;
static struct kv_pool *pool;
static struct wire_model facts;

static int set_up(void **state)
{
    (void)state;
    struct tiny_sasrec options = {.items = ITEMS,
                                  .dim = DIM,
                                  .context = CONTEXT,
                                  .blocks = 1,
                                  .ffn = 64,
                                  .heads = 2,
                                  .seed = 4};
    struct kv_shape shape = {.layer_count = 1, .kv_head_count = 1, .head_dim = 8, .block_count = 1};
    tiny_sasrec_file(path, &options);
    ops_select(&ops, cpu_features());
    if (team_new(&team, 2) || kv_pool_new(&pool, &shape)) return 1;
    if (recommender_new(&recommender, path, &ops, team)) return 1;
    facts = recommender_facts(recommender);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    recommender_free(recommender);
    kv_pool_free(pool);
    team_free(team);
    unlink(path);
    return 0;
}

static struct engine *given_engine(uint32_t sequences)
{
    struct engine_options options = {
        .backend = recommender_backend(recommender),
        .ops = &ops,
        .team = team,
        .pool = pool,
        .limits = {.batch_tokens = recommender_batch_tokens(recommender),
                   .sequences = sequences,
                   .waiting_max = USERS},
        .orders_max = 2 * USERS + 2,
    };
    return engine_new(&options);
}

/* Requests of all sorts, the same ones each time. */
static struct wire_submit given_submit(uint32_t number, int32_t ids[CONTEXT], int32_t excluded[50])
{
    struct rand chance;
    rand_init(&chance, number);
    uint32_t count = 1 + (uint32_t)rand_below(&chance, CONTEXT);
    for (uint32_t i = 0; i < count; i++)
        ids[i] = (int32_t)rand_below(&chance, ITEMS);
    size_t excluded_count = rand_below(&chance, 50);
    for (size_t i = 0; i < excluded_count; i++)
        excluded[i] = (int32_t)rand_below(&chance, ITEMS);
    return (struct wire_submit){
        .protocol = WIRE_PROTOCOL,
        .kind = WIRE_RECOMMEND,
        .key = {.request = number},
        .model = facts.model,
        .numerics = facts.numerics,
        .ids = ids,
        .id_count = count,
        .prompt_length = count,
        .next_position = count,
        .sampling = {.repetition_penalty = 1},
        .tenant_weight = 1,
        .top_count = 1 + (uint32_t)rand_below(&chance, TOP_MAX),
        .excluded = excluded,
        .excluded_count = excluded_count,
        .explain = number % 3 == 0,
        .want_vector = number % 5 == 0,
        .row_begin = number % 7 == 0 ? 100 : 0,
        .row_end = number % 7 == 0 ? 500 : 0,
    };
}

/* Each answer's bytes, by the number of its request. */
static void answer_all(uint32_t sequences, struct buf answers[USERS])
{
    struct engine *engine = given_engine(sequences);
    struct seq_room room = {.context_max = CONTEXT, .vector_size = DIM};
    for (uint32_t i = 0; i < USERS; i++) {
        int32_t ids[CONTEXT];
        int32_t excluded[50];
        struct wire_submit submit = given_submit(i, ids, excluded);
        engine_submit(engine, seq_new(&submit, i + 1, 0, &room, 0));
    }
    size_t ended = 0;
    while (ended < USERS) {
        (void)engine_turn(engine, 0);
        for (struct engine_report *report; (report = engine_take(engine)) != NULL;) {
            for (size_t i = 0; i < report->item_count; i++) {
                struct engine_item *item = &report->items[i];
                struct seq *seq = item->seq;
                assert_true(item->answered && item->end && !item->sampled);
                assert_int_equal(seq->finish, WIRE_FINISH_STOP);
                const struct answer *answer = &seq->answer;
                struct buf *out = &answers[seq->key.request];
                buf_add(out, answer->rows, answer->row_count * sizeof *answer->rows);
                buf_add(out, answer->scores, answer->row_count * sizeof *answer->scores);
                buf_add(out, answer->weights, answer->weight_count * sizeof *answer->weights);
                buf_add(out, answer->vector, answer->vector_size * sizeof *answer->vector);
                seq_free(seq);
                ended++;
            }
            engine_give(engine, report);
        }
    }
    engine_free(engine);
}

static void answers_are_the_same_bytes_at_batch_1_8_and_64(void **state)
{
    (void)state;
    struct buf alone[USERS] = {0};
    answer_all(1, alone);
    static const uint32_t batches[] = {8, 64};
    for (size_t b = 0; b < 2; b++) {
        struct buf answers[USERS] = {0};
        answer_all(batches[b], answers);
        for (size_t i = 0; i < USERS; i++) {
            assert_true(answers[i].size > 0 && answers[i].size == alone[i].size);
            assert_memory_equal(answers[i].data, alone[i].data, alone[i].size);
            buf_fini(&answers[i]);
        }
    }
    for (size_t i = 0; i < USERS; i++)
        buf_fini(&alone[i]);
}

/* The service. */

struct stage {
    struct caller caller;
    struct engine *engine;
    struct service *service;
    int stop_fd;
    pthread_t engine_thread;
    pthread_t service_thread;
};

static void *serve(void *argument)
{
    struct stage *stage = argument;
    service_run(stage->service, stage->stop_fd, 1000);
    return NULL;
}

static void open_stage(struct stage *stage, struct service_options *options)
{
    char url[WIRE_URL_MAX];
    const char *urls[] = {url};
    caller_open(&stage->caller, url);
    stage->engine = given_engine(RECOMMENDER_SEQUENCES);
    const struct buf *pack = sasrec_pack(recommender_model(recommender));
    *options = (struct service_options){
        .engine = stage->engine,
        .silence_ms = 60000, // a test that is busy lives
        .hello = {.protocol = WIRE_PROTOCOL,
                  .node = {"node", 4},
                  .instance = 5,
                  .models = &facts,
                  .model_count = 1,
                  .credits = CREDITS,
                  .block_tokens = KV_BLOCK_TOKENS,
                  .kv_blocks = 1,
                  .threads = 2},
        .pack = (const uint8_t *)pack->data,
        .pack_size = pack->size,
        .schedulers = urls,
        .scheduler_count = 1,
        .requests_max = USERS,
    };
    assert_int_equal(service_new(&stage->service, options), ERR_OK);
    stage->stop_fd = eventfd(0, EFD_NONBLOCK);
    assert_int_equal(pthread_create(&stage->engine_thread, NULL, engine_run, stage->engine), 0);
    assert_int_equal(pthread_create(&stage->service_thread, NULL, serve, stage), 0);
    struct wire_message hello = caller_await(&stage->caller);
    assert_int_equal(hello.hello.models[0].kinds, 1u << WIRE_RECOMMEND);
    assert_int_equal(hello.hello.models[0].vocab_size, ITEMS);
    assert_int_equal(hello.hello.models[0].vector_size, DIM);
}

static void close_stage(struct stage *stage)
{
    uint64_t one = 1;
    assert_int_equal(write(stage->stop_fd, &one, sizeof one), sizeof one);
    pthread_join(stage->service_thread, NULL);
    pthread_join(stage->engine_thread, NULL);
    service_free(stage->service);
    for (struct engine_report *report; (report = engine_take(stage->engine)) != NULL;)
        engine_give(stage->engine, report);
    engine_free(stage->engine);
    caller_close(&stage->caller);
    close(stage->stop_fd);
}

static void a_list_crosses_the_wire_with_its_weights_and_vector(struct stage *stage)
{
    int32_t ids[CONTEXT];
    int32_t excluded[50];
    struct wire_submit submit = given_submit(15, ids, excluded); // explained, and with its vector
    caller_submit(&stage->caller, &submit);
    struct wire_message message = caller_message(&stage->caller, WIRE_RESULT);
    assert_int_equal(message.result.key.request, 15);
    assert_int_equal(message.result.id_count, submit.top_count);
    assert_int_equal(message.result.position, submit.prompt_length);
    assert_int_equal(message.result.weight_count, submit.id_count);
    assert_int_equal(message.result.vector_size, DIM);
    for (size_t i = 1; i < message.result.id_count; i++)
        assert_true(message.result.logprobs[i] <= message.result.logprobs[i - 1]);
    message = caller_message(&stage->caller, WIRE_DONE);
    assert_int_equal(message.done.finish, WIRE_FINISH_STOP);
    assert_int_equal(message.done.err, ERR_OK);
}

static void a_filter_is_sent_once_and_named_from_then_on(struct stage *stage)
{
    uint8_t bits[ITEMS / 8 + 1] = {0};
    bits[3] = 0x81; // rows 24 and 31
    bits[80] = 0x01;
    int32_t ids[CONTEXT];
    int32_t excluded[50];
    struct wire_submit submit = given_submit(2, ids, excluded);
    submit.top_count = 20;
    submit.excluded_count = 0;
    submit.filter = digest_of(bits, sizeof bits);
    caller_submit(&stage->caller, &submit);
    struct wire_message message = caller_message(&stage->caller, WIRE_DONE);
    assert_int_equal(message.done.err, ERR_NOT_FOUND);
    assert_int_equal(message.done.note.size, 6);
    assert_memory_equal(message.done.note.text, "filter", 6);
    for (uint32_t attempt = 1; attempt < 3; attempt++) {
        submit.key.attempt = attempt;
        submit.filter_bits = attempt == 1 ? bits : NULL;
        submit.filter_size = attempt == 1 ? sizeof bits : 0;
        caller_submit(&stage->caller, &submit);
        message = caller_message(&stage->caller, WIRE_RESULT);
        assert_int_equal(message.result.id_count, 3);
        for (size_t i = 0; i < 3; i++) {
            int32_t row = message.result.ids[i];
            assert_true(row == 24 || row == 31 || row == 640);
        }
        (void)caller_message(&stage->caller, WIRE_DONE);
    }
}

static void candidates_alone_are_in_the_list(struct stage *stage)
{
    static const int32_t candidates[] = {640, 24, 31, 31};
    int32_t ids[CONTEXT];
    int32_t excluded[50];
    struct wire_submit submit = given_submit(2, ids, excluded);
    submit.top_count = 20;
    submit.excluded_count = 0;
    submit.candidates = candidates;
    submit.candidate_count = 4;
    caller_submit(&stage->caller, &submit);
    struct wire_message message = caller_message(&stage->caller, WIRE_RESULT);
    assert_int_equal(message.result.id_count, 3);
    for (size_t i = 0; i < 3; i++) {
        int32_t row = message.result.ids[i];
        assert_true(row == 24 || row == 31 || row == 640);
        assert_true(i == 0 || message.result.logprobs[i] <= message.result.logprobs[i - 1]);
    }
    (void)caller_message(&stage->caller, WIRE_DONE);
    static const int32_t strange[] = {ITEMS};
    submit.key.attempt = 1;
    submit.candidates = strange;
    submit.candidate_count = 1;
    caller_submit(&stage->caller, &submit);
    assert_int_equal(caller_message(&stage->caller, WIRE_DONE).done.err, ERR_INVALID);
}

static void a_kind_that_the_model_does_not_do_is_refused(struct stage *stage)
{
    int32_t ids[CONTEXT];
    int32_t excluded[50];
    struct wire_submit submit = given_submit(4, ids, excluded);
    submit.kind = WIRE_GENERATE;
    caller_submit(&stage->caller, &submit);
    struct wire_message message = caller_message(&stage->caller, WIRE_DONE);
    assert_int_equal(message.done.err, ERR_UNSUPPORTED);
}

static void the_service_recommends(void **state)
{
    (void)state;
    struct stage stage = {0};
    struct service_options options;
    open_stage(&stage, &options);
    a_list_crosses_the_wire_with_its_weights_and_vector(&stage);
    a_filter_is_sent_once_and_named_from_then_on(&stage);
    candidates_alone_are_in_the_list(&stage);
    a_kind_that_the_model_does_not_do_is_refused(&stage);
    close_stage(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_the_same_bytes_at_batch_1_8_and_64),
        cmocka_unit_test(the_service_recommends),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* The service between a real link and a real engine (the echo: it says the prompt again). The test plays the
 * scheduler. Waits have a limit after which they fail; nothing depends on how long a thing takes. */
#include "node/engine/echo.h"
#include "node/engine/engine.h"
#include "node/engine/kv.h"
#include "node/service/service.h"
#include "tests/test.h"

#include "kernels/ops.h"
#include "kernels/select.h"
#include "wire/block.h"
#include "wire/link.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mailbox.h"
#include "base/mem.h"

#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>

enum {
    PATIENCE_S = 60,
    CREDITS = 3,
    CONTEXT = 128,
    BLOCKS = 16,
    VOCAB = 260,
    ARENA = 1 << 20
};

struct stage {
    struct mailbox *inbox; // the scheduler's
    struct links *links;
    uint64_t link;
    uint64_t heard_ns;        // when our last heartbeat went
    struct link_event *event; // of the message that was read last
    struct arena arena;

    struct buf pack;
    struct wire_model model;
    struct kv_pool *pool;
    struct echo *echo;
    struct ops ops;
    struct engine *engine;
    struct service *service;
    int stop_fd;
    uint64_t drain_ms;
    pthread_t engine_thread;
    pthread_t service_thread;
};

static void *serve(void *argument)
{
    struct stage *stage = argument;
    service_run(stage->service, stage->stop_fd, stage->drain_ms);
    return NULL;
}

static void pulse(struct stage *stage)
{
    uint64_t now_ns = clock_now_ns();
    if (!stage->link || now_ns < stage->heard_ns + 50 * CLOCK_MS) return;
    stage->heard_ns = now_ns;
    struct wire_message message = {.type = WIRE_HEARTBEAT};
    (void)link_send(stage->links, stage->link, &message, true);
}

/* The next event; it lives until the one after it is asked for. */
static struct link_event *next_event(struct stage *stage)
{
    uint64_t end_ns = clock_now_ns() + PATIENCE_S * CLOCK_SECOND;
    link_event_free(stage->event);
    stage->event = NULL;
    while (clock_now_ns() < end_ns) {
        pulse(stage);
        stage->event = mailbox_take(stage->inbox);
        if (stage->event) return stage->event;
        links_resume(stage->links);
        mailbox_wait(stage->inbox, 20 * CLOCK_MS);
    }
    fail_msg("nothing happened");
    return NULL;
}

/* The next message that is no heartbeat, load or delta of the cache, unless one of those is what is waited for. */
static struct wire_message next_message(struct stage *stage, enum wire_type type)
{
    struct wire_message message = {0};
    for (;;) {
        struct link_event *event = next_event(stage);
        if (event->kind != LINK_FRAME) fail_msg("the link went down: %s", event->reason);
        bool rhythm = event->type == WIRE_HEARTBEAT || event->type == WIRE_LOAD ||
                      event->type == WIRE_CACHE_DELTA;
        if (rhythm && event->type != type) continue;
        if (event->type != type)
            fail_msg("%s came where %s was due", wire_type_name(event->type), wire_type_name(type));
        arena_reset(&stage->arena);
        assert_int_equal(
            message_decode(&message, event->type, event->body, event->size, &stage->arena), ERR_OK);
        return message;
    }
}

static void await_link(struct stage *stage)
{
    while (next_event(stage)->kind != LINK_UP)
        ;
    stage->link = stage->event->link;
    struct wire_message hello = next_message(stage, WIRE_HELLO);
    assert_int_equal(hello.hello.protocol, WIRE_PROTOCOL);
    assert_int_equal(hello.hello.credits, CREDITS);
    assert_int_equal(hello.hello.model_count, 1);
    assert_true(digest_equal(&hello.hello.models[0].pack, &stage->model.pack));
    assert_int_equal(hello.hello.models[0].context_length, CONTEXT);
    struct wire_message welcome = {.type = WIRE_WELCOME,
                                   .welcome = {.protocol = WIRE_PROTOCOL, .instance = 1}};
    assert_int_equal(link_send(stage->links, stage->link, &welcome, false), ERR_OK);
}

static void open_node(struct stage *stage, uint32_t delay_ms, const char *url)
{
    struct kv_shape shape = {
        .layer_count = 1, .kv_head_count = 1, .head_dim = 8, .block_count = BLOCKS};
    assert_int_equal(kv_pool_new(&stage->pool, &shape), ERR_OK);
    struct batch_limits limits = {.batch_tokens = 64, .sequences = 2, .waiting_max = 16};
    ops_select(&stage->ops, 0);
    stage->echo = echo_new(limits.sequences, delay_ms);
    struct engine_options engine = {.backend = echo_backend(stage->echo),
                                    .ops = &stage->ops,
                                    .pool = stage->pool,
                                    .limits = limits,
                                    .orders_max = 64};
    stage->engine = engine_new(&engine);

    echo_write_pack(&stage->pack);
    stage->model = (struct wire_model){
        .name = {"echo", 4},
        .kinds = UINT32_C(1) << WIRE_GENERATE,
        .pack = digest_of(stage->pack.data, stage->pack.size),
        .model = digest_of("m", 1),
        .numerics = digest_of("n", 1),
        .context_length = CONTEXT,
        .vocab_size = engine.backend.vocab_size,
    };
    assert_int_equal(stage->model.vocab_size, VOCAB);
    const char *schedulers[] = {url};
    struct service_options options = {
        .engine = stage->engine,
        .hello = {.protocol = WIRE_PROTOCOL,
                  .node = {"node-under-test", 15},
                  .instance = 42,
                  .models = &stage->model,
                  .model_count = 1,
                  .credits = CREDITS,
                  .block_tokens = KV_BLOCK_TOKENS,
                  .kv_blocks = BLOCKS,
                  .threads = 1},
        .pack = (const uint8_t *)stage->pack.data,
        .pack_size = stage->pack.size,
        .schedulers = schedulers,
        .scheduler_count = 1,
        .requests_max = 16,
    };
    assert_int_equal(service_new(&stage->service, &options), ERR_OK);
}

static struct stage *given_stage(uint32_t delay_ms, uint64_t drain_ms)
{
    char url[WIRE_URL_MAX];
    struct stage *stage = mem_new(1, sizeof *stage);
    arena_init(&stage->arena, mem_new(1, ARENA), ARENA);
    stage->inbox = mailbox_new(4096);
    stage->drain_ms = drain_ms;
    assert_int_equal(links_new(&stage->links, stage->inbox), ERR_OK);
    assert_int_equal(links_listen(stage->links, "tcp://127.0.0.1:0", url), ERR_OK);
    open_node(stage, delay_ms, url);
    stage->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_true(stage->stop_fd >= 0);
    assert_int_equal(pthread_create(&stage->engine_thread, NULL, engine_run, stage->engine), 0);
    assert_int_equal(pthread_create(&stage->service_thread, NULL, serve, stage), 0);
    await_link(stage);
    return stage;
}

static void ask_stop(const struct stage *stage)
{
    uint64_t one = 1;
    assert_int_equal(write(stage->stop_fd, &one, sizeof one), sizeof one);
}

static void end_stage(struct stage *stage)
{
    ask_stop(stage);
    ask_stop(stage);
    pthread_join(stage->service_thread, NULL);
    pthread_join(stage->engine_thread, NULL);
    assert_int_equal(kv_blocks_free(stage->pool), BLOCKS);
    service_free(stage->service);
    engine_free(stage->engine);
    echo_free(stage->echo);
    kv_pool_free(stage->pool);
    links_free(stage->links);
    link_event_free(stage->event);
    for (struct link_event *event; (event = mailbox_take(stage->inbox)) != NULL;)
        link_event_free(event);
    mailbox_free(stage->inbox);
    close(stage->stop_fd);
    buf_fini(&stage->pack);
    mem_free(stage->arena.bytes);
    mem_free(stage);
}

static int32_t prompt_ids[CONTEXT + 10];

static struct wire_submit given_submit(const struct stage *stage, uint64_t request,
                                       uint32_t prompt_length)
{
    for (uint32_t i = 0; i < prompt_length; i++)
        prompt_ids[i] = (int32_t)(i % 250);
    return (struct wire_submit){
        .protocol = WIRE_PROTOCOL,
        .kind = WIRE_GENERATE,
        .key = {.request = request, .choice = 1, .attempt = 2},
        .model = stage->model.model,
        .numerics = stage->model.numerics,
        .ids = prompt_ids,
        .id_count = prompt_length,
        .prompt_length = prompt_length,
        .next_position = prompt_length,
        .max_tokens = 1000,
        .priority = WIRE_DEFAULT,
        .sampling = {.temperature = 1, .top_p = 1, .repetition_penalty = 1},
    };
}

static void tell(struct stage *stage, const struct wire_message *message)
{
    assert_int_equal(link_send(stage->links, stage->link, message, false), ERR_OK);
}

static void submit(struct stage *stage, const struct wire_submit *submit)
{
    struct wire_message message = {.type = WIRE_SUBMIT, .submit = *submit};
    tell(stage, &message);
}

static void cancel(struct stage *stage, const struct wire_submit *submit)
{
    struct wire_message message = {.type = WIRE_CANCEL, .cancel = {.key = submit->key}};
    tell(stage, &message);
}

/* Results may come until the DONE; how many ids they brought. */
static uint32_t await_done(struct stage *stage, struct wire_done *done)
{
    uint32_t ids = 0;
    for (;;) {
        struct link_event *event = next_event(stage);
        if (event->kind != LINK_FRAME) fail_msg("the link went down: %s", event->reason);
        if (event->type != WIRE_RESULT && event->type != WIRE_DONE) continue;
        struct wire_message message;
        arena_reset(&stage->arena);
        assert_int_equal(
            message_decode(&message, event->type, event->body, event->size, &stage->arena), ERR_OK);
        if (event->type == WIRE_DONE) {
            *done = message.done;
            return ids;
        }
        ids += (uint32_t)message.result.id_count;
    }
}

static void a_submit_is_answered_by_results_and_one_done(void **state)
{
    (void)state;
    struct stage *stage = given_stage(0, 0);
    struct wire_submit asked = given_submit(stage, 7, 40);
    asked.max_tokens = 5;
    asked.sampling.logprobs = true;
    asked.sampling.top_logprobs = 2;
    submit(stage, &asked);
    for (uint32_t i = 0; i < 5; i++) {
        struct wire_message got = next_message(stage, WIRE_RESULT);
        assert_int_equal(got.result.key.request, 7);
        assert_int_equal(got.result.key.choice, 1);
        assert_int_equal(got.result.key.attempt, 2);
        assert_int_equal(got.result.position, 40 + i);
        assert_int_equal(got.result.id_count, 1);
        assert_int_equal(got.result.ids[0], prompt_ids[i]);
        assert_true(got.result.logprobs && got.result.logprobs[0] == 0);
        assert_int_equal(got.result.top_count, 2);
        assert_int_equal(got.result.tops[0].id, prompt_ids[i]);
    }
    struct wire_message done = next_message(stage, WIRE_DONE);
    assert_int_equal(done.done.finish, WIRE_FINISH_LENGTH);
    assert_int_equal(done.done.err, ERR_OK);
    assert_int_equal(done.done.prompt_tokens, 40);
    assert_int_equal(done.done.completion_tokens, 5);

    // The second attempt brings two of the ids: what follows is the same.
    asked.key.request = 8;
    prompt_ids[40] = prompt_ids[0];
    prompt_ids[41] = prompt_ids[1];
    asked.id_count = asked.next_position = 42;
    submit(stage, &asked);
    struct wire_message got = next_message(stage, WIRE_RESULT);
    assert_int_equal(got.result.position, 42);
    assert_int_equal(got.result.ids[0], prompt_ids[2]);
    struct wire_done end;
    assert_int_equal(await_done(stage, &end), 2);
    assert_int_equal(end.completion_tokens, 5);

    // And an answer that was whole already needs no step.
    asked.key.request = 9;
    asked.max_tokens = 2;
    submit(stage, &asked);
    done = next_message(stage, WIRE_DONE);
    assert_int_equal(done.done.finish, WIRE_FINISH_LENGTH);
    end_stage(stage);
}

static void the_pack_comes_whole_to_whoever_wants_it(void **state)
{
    (void)state;
    struct stage *stage = given_stage(0, 0);
    struct wire_message want = {.type = WIRE_PACK_WANT, .pack_want = {.pack = stage->model.pack}};
    struct buf got = {0};
    tell(stage, &want);
    do {
        struct wire_message part = next_message(stage, WIRE_PACK_PART);
        assert_int_equal(part.pack_part.total, stage->pack.size);
        assert_int_equal(part.pack_part.offset, got.size);
        buf_add(&got, part.pack_part.bytes, part.pack_part.size);
    } while (got.size < stage->pack.size);
    struct digest digest = digest_of(got.data, got.size);
    assert_true(digest_equal(&digest, &stage->model.pack));
    buf_fini(&got);
    end_stage(stage);
}

static void what_cannot_be_done_is_refused_with_its_reason(void **state)
{
    (void)state;
    struct stage *stage = given_stage(0, 0);
    struct wire_bias bias = {.id = VOCAB, .bias = 1};

    enum {
        CASES = 9
    };
    struct wire_submit cases[CASES];
    enum err wanted[CASES];
    for (size_t i = 0; i < CASES; i++) {
        cases[i] = given_submit(stage, 100 + i, 10);
        wanted[i] = ERR_INVALID;
    }
    cases[0].kind = WIRE_EMBED;
    wanted[0] = ERR_UNSUPPORTED;
    cases[1].protocol = WIRE_PROTOCOL + 1;
    wanted[1] = ERR_UNSUPPORTED;
    cases[2].model = digest_of("other", 5);
    wanted[2] = ERR_UNAVAILABLE;
    cases[3].adapter = digest_of("other", 5);
    wanted[3] = ERR_UNAVAILABLE;
    cases[4].numerics = digest_of("other", 5);
    wanted[4] = ERR_UNAVAILABLE;
    cases[5] = given_submit(stage, 105, CONTEXT);
    wanted[5] = ERR_TOO_LONG;
    cases[6].grammar_digest = digest_of("g", 1);
    wanted[6] = ERR_UNSUPPORTED;
    cases[7].sampling.bias = &bias;
    cases[7].sampling.bias_count = 1;
    int32_t outside[] = {1, VOCAB, 2};
    cases[8].ids = outside;
    cases[8].id_count = cases[8].next_position = cases[8].prompt_length = 3;
    for (size_t i = 0; i < CASES; i++) {
        submit(stage, &cases[i]);
        struct wire_message got = next_message(stage, WIRE_DONE);
        assert_int_equal(got.done.key.request, cases[i].key.request);
        assert_int_equal(got.done.err, wanted[i]);
        assert_int_equal(got.done.finish, WIRE_FINISH_NONE);
        assert_true(got.done.note.size > 0);
    }
    struct wire_submit good = given_submit(stage, 1, 10);
    good.max_tokens = 3;
    struct wire_done done;
    submit(stage, &good);
    assert_int_equal(await_done(stage, &done), 3);
    end_stage(stage);
}

static void nothing_follows_a_cancel_but_one_done(void **state)
{
    (void)state;
    struct stage *stage = given_stage(5, 0);
    struct wire_submit asked = given_submit(stage, 3, 60);
    submit(stage, &asked);
    (void)next_message(stage, WIRE_RESULT);
    cancel(stage, &asked);
    struct wire_done done;
    uint32_t ids = await_done(stage, &done);
    assert_true(ids < 59);
    assert_int_equal(done.finish, WIRE_FINISH_CANCELED);
    assert_int_equal(done.err, ERR_OK);

    cancel(stage, &asked); // it has ended: nothing
    struct wire_submit next = given_submit(stage, 4, 10);
    next.max_tokens = 1;
    submit(stage, &next);
    assert_int_equal(next_message(stage, WIRE_RESULT).result.key.request, 4);
    assert_int_equal(next_message(stage, WIRE_DONE).done.key.request, 4);
    end_stage(stage);
}

static void a_key_in_the_air_is_not_taken_twice(void **state)
{
    (void)state;
    struct stage *stage = given_stage(1, 0);
    struct wire_submit asked = given_submit(stage, 3, 20);
    asked.max_tokens = 10;
    submit(stage, &asked);
    submit(stage, &asked);
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(next_message(stage, WIRE_RESULT).result.position, 20 + i);
    assert_int_equal(next_message(stage, WIRE_DONE).done.completion_tokens, 10);

    struct wire_submit next = given_submit(stage, 4, 10);
    next.max_tokens = 1;
    submit(stage, &next); // the next thing that is said is about this one
    assert_int_equal(next_message(stage, WIRE_RESULT).result.key.request, 4);
    end_stage(stage);
}

static void beyond_the_credits_the_node_is_busy(void **state)
{
    (void)state;
    struct stage *stage = given_stage(20, 0);
    for (uint64_t i = 0; i <= CREDITS; i++) {
        struct wire_submit asked = given_submit(stage, i, 60);
        submit(stage, &asked);
    }
    struct link_event *event;
    do
        event = next_event(stage);
    while (event->kind == LINK_FRAME && event->type != WIRE_BUSY);
    struct wire_message busy;
    arena_reset(&stage->arena);
    assert_int_equal(message_decode(&busy, event->type, event->body, event->size, &stage->arena),
                     ERR_OK);
    assert_int_equal(busy.busy.key.request, CREDITS);
    assert_true(busy.busy.retry_ms > 0);

    // Each of the others ends once: canceled, and the credits are whole again.
    for (uint64_t i = 0; i < CREDITS; i++) {
        struct wire_submit asked = given_submit(stage, i, 60);
        cancel(stage, &asked);
    }
    struct wire_done done;
    for (uint64_t i = 0; i < CREDITS; i++) {
        await_done(stage, &done);
        assert_int_equal(done.finish, WIRE_FINISH_CANCELED);
    }
    for (uint64_t i = 0; i < CREDITS; i++) {
        struct wire_submit asked = given_submit(stage, 50 + i, 5);
        asked.max_tokens = 1;
        submit(stage, &asked);
    }
    for (uint64_t i = 0; i < CREDITS; i++) {
        await_done(stage, &done);
        assert_int_equal(done.finish, WIRE_FINISH_LENGTH);
    }
    end_stage(stage);
}

static void a_draining_node_says_so_and_takes_nothing(void **state)
{
    (void)state;
    struct stage *stage = given_stage(0, 0);
    struct wire_message drain = {.type = WIRE_DRAIN, .drain = {.on = true}};
    tell(stage, &drain);
    while (!next_message(stage, WIRE_HEARTBEAT).heartbeat.draining)
        ;
    struct wire_submit asked = given_submit(stage, 1, 10);
    asked.max_tokens = 1;
    submit(stage, &asked);
    struct wire_done refused = next_message(stage, WIRE_DONE).done;
    assert_int_equal(refused.key.request, 1);
    assert_int_equal(refused.err, ERR_UNAVAILABLE); // which sends it elsewhere, as often as needed
    drain.drain.on = false;
    tell(stage, &drain);
    submit(stage, &asked);
    assert_int_equal(next_message(stage, WIRE_RESULT).result.key.request, 1);
    end_stage(stage);
}

static void a_link_that_goes_down_takes_its_requests_along(void **state)
{
    (void)state;
    struct stage *stage = given_stage(10, 0);
    struct wire_submit asked = given_submit(stage, 1, 100);
    submit(stage, &asked);
    (void)next_message(stage, WIRE_RESULT);
    uint64_t old = stage->link;
    link_close(stage->links, old, "test");
    stage->link = 0;
    await_link(stage); // it dials again
    assert_true(stage->link != old);
    struct wire_load load;
    do
        load = next_message(stage, WIRE_LOAD).load;
    while (load.running > 0 || load.kv_blocks_used > 0);
    assert_int_equal(load.kv_blocks, BLOCKS);
    end_stage(stage);
}

static void a_stop_lets_end_what_is_in_the_air(void **state)
{
    (void)state;
    struct stage *stage = given_stage(2, 3600 * 1000);
    struct wire_submit asked = given_submit(stage, 1, 20);
    submit(stage, &asked);
    (void)next_message(stage, WIRE_RESULT);
    ask_stop(stage);
    struct wire_done done;
    // 20 ids again, then the end id; the first was read above, and no stop id was named.
    assert_int_equal(await_done(stage, &done), CONTEXT - 20 - 1);
    assert_int_equal(done.finish, WIRE_FINISH_LENGTH);
    end_stage(stage);
}

static void a_stopping_node_says_so_at_once_and_refuses_what_comes(void **state)
{
    (void)state;
    struct stage *stage = given_stage(20, 3600 * 1000);
    struct wire_submit asked = given_submit(stage, 1, 100), late = given_submit(stage, 2, 10);
    submit(stage, &asked);
    (void)next_message(stage, WIRE_RESULT);
    ask_stop(stage);
    while (!next_message(stage, WIRE_HEARTBEAT).heartbeat.draining)
        ;
    submit(stage, &late);
    struct wire_done refused = next_message(stage, WIRE_DONE).done;
    assert_int_equal(refused.key.request, 2);
    assert_int_equal(refused.err, ERR_UNAVAILABLE);
    end_stage(stage);
}

static void a_stop_that_cannot_wait_says_that_the_node_goes_away(void **state)
{
    (void)state;
    struct stage *stage = given_stage(20, 0);
    struct wire_submit asked = given_submit(stage, 1, 100);
    submit(stage, &asked);
    (void)next_message(stage, WIRE_RESULT);
    ask_stop(stage);
    struct wire_done done;
    await_done(stage, &done);
    assert_int_equal(done.err, ERR_UNAVAILABLE);
    assert_int_equal(done.finish, WIRE_FINISH_NONE);
    end_stage(stage);
}

/* How many tokens of the same prompt of 100 are cached, as RESULT and DONE say. */
static uint32_t cached_under(struct stage *stage, uint64_t salt)
{
    struct wire_salt salts[] = {{0, salt}};
    struct wire_submit asked = given_submit(stage, 1, 100);
    asked.max_tokens = 2;
    asked.salts = salts;
    asked.salt_count = 1;
    submit(stage, &asked);
    uint32_t cached = next_message(stage, WIRE_RESULT).result.cached_tokens;
    assert_int_equal(next_message(stage, WIRE_RESULT).result.cached_tokens, cached);
    assert_int_equal(next_message(stage, WIRE_DONE).done.cached_tokens, cached);
    return cached;
}

static void what_is_cached_is_told_and_can_be_evicted(void **state)
{
    (void)state;
    struct stage *stage = given_stage(0, 0);
    assert_int_equal(cached_under(stage, 5), 0);
    assert_int_equal(cached_under(stage, 6), 0);
    assert_int_equal(cached_under(stage, 5), 96);
    struct wire_load load;
    do
        load = next_message(stage, WIRE_LOAD).load;
    while (load.running > 0 || load.kv_blocks_used > 0 || load.kv_blocks_cached < 6);
    assert_int_equal(load.kv_blocks_cached, 6);
    assert_int_equal(load.prefill_tokens, 204);
    assert_int_equal(load.prefix_hit_tokens, 96);
    struct wire_message evict = {.type = WIRE_EVICT, .evict = {.salt = 5}};
    tell(stage, &evict);
    assert_int_equal(cached_under(stage, 5), 0);
    assert_int_equal(cached_under(stage, 6), 96);
    evict.evict.salt = 6;
    tell(stage, &evict);
    evict.evict.salt = 5;
    tell(stage, &evict);
    do
        load = next_message(stage, WIRE_LOAD).load;
    while (load.kv_blocks_used + load.kv_blocks_cached > 0);
    end_stage(stage);
}

/* The next of the cache's deltas, whatever else comes. */
static struct wire_cache_delta next_delta(struct stage *stage)
{
    struct wire_message message;
    while (next_event(stage)->type != WIRE_CACHE_DELTA) {
    }
    arena_reset(&stage->arena);
    assert_int_equal(message_decode(&message, WIRE_CACHE_DELTA, stage->event->body,
                                    stage->event->size, &stage->arena),
                     ERR_OK);
    return message.cache_delta;
}

static void every_block_that_comes_and_goes_is_told(void **state)
{
    (void)state;
    struct stage *stage = given_stage(0, 0);
    struct wire_cache_delta delta = next_delta(stage);
    assert_true(delta.sequence == 0 && delta.reset && delta.added_count == 0);
    struct wire_salt salts[] = {{0, 5}};
    struct wire_submit asked = given_submit(stage, 1, 100);
    asked.max_tokens = 2;
    asked.salts = salts;
    asked.salt_count = 1;
    submit(stage, &asked);
    uint64_t hash = 0; // the root of this pool
    size_t added = 0;
    for (uint64_t sequence = 1; added < 3; sequence++) { // of 102 ids
        delta = next_delta(stage);
        assert_true(delta.sequence == sequence && !delta.reset && delta.removed_count == 0);
        for (size_t i = 0; i < delta.added_count; i++, added++) {
            hash = block_hash(hash, 5, asked.ids + added * WIRE_BLOCK_TOKENS);
            assert_true(delta.added[i] == hash);
        }
    }
    struct wire_message evict = {.type = WIRE_EVICT, .evict = {.salt = 5}};
    tell(stage, &evict);
    size_t removed = 0;
    while (removed < 3)
        removed += next_delta(stage).removed_count;
    assert_int_equal(removed, 3);
    end_stage(stage);
}

static void bytes_that_are_no_message_close_the_link(void **state)
{
    (void)state;
    struct stage *stage = given_stage(0, 0);
    struct wire_message wrong = {.type = WIRE_LOAD};
    tell(stage, &wrong); // only a node says that
    while (next_event(stage)->kind != LINK_DOWN)
        ;
    stage->link = 0;
    await_link(stage);
    end_stage(stage);
}

int main(void)
{
    log_set_level(LOG_LEVEL_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_submit_is_answered_by_results_and_one_done),
        cmocka_unit_test(the_pack_comes_whole_to_whoever_wants_it),
        cmocka_unit_test(what_cannot_be_done_is_refused_with_its_reason),
        cmocka_unit_test(nothing_follows_a_cancel_but_one_done),
        cmocka_unit_test(a_key_in_the_air_is_not_taken_twice),
        cmocka_unit_test(beyond_the_credits_the_node_is_busy),
        cmocka_unit_test(a_draining_node_says_so_and_takes_nothing),
        cmocka_unit_test(a_link_that_goes_down_takes_its_requests_along),
        cmocka_unit_test(a_stop_lets_end_what_is_in_the_air),
        cmocka_unit_test(a_stopping_node_says_so_at_once_and_refuses_what_comes),
        cmocka_unit_test(a_stop_that_cannot_wait_says_that_the_node_goes_away),
        cmocka_unit_test(what_is_cached_is_told_and_can_be_evicted),
        cmocka_unit_test(every_block_that_comes_and_goes_is_told),
        cmocka_unit_test(bytes_that_are_no_message_close_the_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

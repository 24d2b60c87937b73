#include "tests/unit/node/service/stage.h"

#include "node/engine/echo.h"
#include "node/engine/engine.h"
#include "node/engine/kv.h"
#include "node/scanner.h"
#include "node/service/service.h"
#include "node/shelf/shelf.h"
#include "tests/test.h"

#include "kernels/ops.h"
#include "kernels/select.h"
#include "wire/link.h"

#include "base/buf.h"
#include "base/mem.h"

#include <pthread.h>
#include <sys/eventfd.h>

int32_t prompt_ids[CONTEXT + 10];

static void *serve(void *argument)
{
    struct stage *stage = argument;
    while (!service_run(stage->service, stage->stop_fd, stage->drain_ms))
        stage->pauses++;
    return NULL;
}

struct link_event *next_event(struct stage *stage)
{
    return caller_event(&stage->caller);
}

struct wire_message next_message(struct stage *stage, enum wire_type type)
{
    return caller_message(&stage->caller, type);
}

void await_link(struct stage *stage)
{
    struct wire_message hello = caller_await(&stage->caller);
    assert_int_equal(hello.hello.protocol, WIRE_PROTOCOL);
    assert_int_equal(hello.hello.credits, CREDITS);
    assert_int_equal(hello.hello.model_count, 1);
    assert_true(digest_equal(&hello.hello.models[0].pack, &stage->model.pack));
    assert_int_equal(hello.hello.models[0].context_length, CONTEXT);
    struct wire_message welcome = {.type = WIRE_WELCOME,
                                   .welcome = {.protocol = WIRE_PROTOCOL, .instance = 1}};
    caller_tell(&stage->caller, &welcome);
}

static void open_node(struct stage *stage, uint32_t delay_ms, const char *url)
{
    struct kv_shape shape = {
        .layer_count = 1, .kv_head_count = 1, .head_dim = 8, .block_count = BLOCKS};
    assert_int_equal(kv_pool_new(&stage->pool, &shape), ERR_OK);
    struct batch_limits limits = {.batch_tokens = 64, .sequences = 2, .waiting_max = 16};
    ops_select(&stage->ops, 0);
    assert_int_equal(scanner_new(&stage->scanner, &stage->ops, NULL), ERR_OK);
    stage->shelf = shelf_new(SHELF_MEMORY);
    stage->echo = echo_new(limits.sequences, delay_ms);
    struct engine_options engine = {.backend = echo_backend(stage->echo),
                                    .ops = &stage->ops,
                                    .pool = stage->pool,
                                    .limits = limits,
                                    .scanner = scanner_table(stage->scanner),
                                    .orders_max = 64};
    stage->engine = engine_new(&engine);

    echo_write_pack(&stage->pack);
    stage->model = (struct wire_model){
        .name = {"echo", 4},
        .kinds = 1u << WIRE_GENERATE | 1u << WIRE_EMBED | 1u << WIRE_SCORE | 1u << WIRE_SCAN,
        .pack = digest_of(stage->pack.data, stage->pack.size),
        .model = digest_of("m", 1),
        .numerics = digest_of("n", 1),
        .context_length = CONTEXT,
        .vocab_size = engine.backend.vocab_size,
        .vector_size = ECHO_VECTOR,
    };
    assert_int_equal(stage->model.vocab_size, VOCAB);
    const char *schedulers[] = {url};
    struct service_options options = {
        .engine = stage->engine,
        .shelf = stage->shelf,
        .silence_ms = 60000, // a test that is busy lives
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
        .pause_bell = stage->pause_fd,
    };
    assert_int_equal(service_new(&stage->service, &options), ERR_OK);
}

struct stage *given_stage(uint32_t delay_ms, uint64_t drain_ms)
{
    char url[WIRE_URL_MAX];
    struct stage *stage = mem_new(1, sizeof *stage);
    stage->drain_ms = drain_ms;
    caller_open(&stage->caller, url);
    stage->pause_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_true(stage->pause_fd > 0);
    open_node(stage, delay_ms, url);
    stage->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_true(stage->stop_fd >= 0);
    assert_int_equal(pthread_create(&stage->engine_thread, NULL, engine_run, stage->engine), 0);
    assert_int_equal(pthread_create(&stage->service_thread, NULL, serve, stage), 0);
    await_link(stage);
    return stage;
}

void ask_stop(const struct stage *stage)
{
    uint64_t one = 1;
    assert_int_equal(write(stage->stop_fd, &one, sizeof one), sizeof one);
}

void ask_pause(const struct stage *stage)
{
    uint64_t one = 1;
    assert_int_equal(write(stage->pause_fd, &one, sizeof one), sizeof one);
}

void end_stage(struct stage *stage)
{
    ask_stop(stage);
    ask_stop(stage);
    pthread_join(stage->service_thread, NULL);
    pthread_join(stage->engine_thread, NULL);
    assert_int_equal(kv_blocks_free(stage->pool), BLOCKS);
    service_free(stage->service);
    engine_free(stage->engine);
    echo_free(stage->echo);
    scanner_free(stage->scanner);
    shelf_free(stage->shelf);
    kv_pool_free(stage->pool);
    caller_close(&stage->caller);
    close(stage->stop_fd);
    close(stage->pause_fd);
    buf_fini(&stage->pack);
    mem_free(stage);
}

struct wire_submit given_submit(const struct stage *stage, uint64_t request, uint32_t prompt_length)
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

void tell(struct stage *stage, const struct wire_message *message)
{
    caller_tell(&stage->caller, message);
}

void submit(struct stage *stage, const struct wire_submit *submit)
{
    caller_submit(&stage->caller, submit);
}

void cancel(struct stage *stage, const struct wire_submit *submit)
{
    struct wire_message message = {.type = WIRE_CANCEL, .cancel = {.key = submit->key}};
    tell(stage, &message);
}

/* Results may come until the DONE; how many ids they brought. */
uint32_t await_done(struct stage *stage, struct wire_done *done)
{
    uint32_t ids = 0;
    for (;;) {
        struct link_event *event = next_event(stage);
        if (event->kind != LINK_FRAME) fail_msg("the link went down: %s", event->reason);
        if (event->type != WIRE_RESULT && event->type != WIRE_DONE) continue;
        struct wire_message message;
        arena_reset(&stage->caller.arena);
        assert_int_equal(
            message_decode(&message, event->type, event->body, event->size, &stage->caller.arena),
            ERR_OK);
        if (event->type == WIRE_DONE) {
            *done = message.done;
            return ids;
        }
        ids += (uint32_t)message.result.id_count;
    }
}

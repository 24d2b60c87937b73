/* qiao-node: token ids in, token ids out.
 *
 *      thread      owns                                            is told by
 *      main        the service: links, shelf, what is in the air   signals, links, engine
 *      engine      model, pool, batch, sequences; leads the team   orders
 *      team 1..    a slice of one step                             the engine
 *      NNG's       nothing of ours
 *
 * SIGTERM or SIGINT drains: what is in the air may end for --drain-ms; once more ends at once. */
#include "node/compute.h"
#include "node/engine/calibrate.h"
#include "node/engine/kv.h"
#include "node/scanner.h"
#include "node/service/dials.h"
#include "node/service/service.h"
#include "node/settings.h"
#include "node/shelf/shelf.h"
#include "node/stop.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/rand.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

struct node {
    struct settings settings;
    char name[WIRE_NAME_MAX];
    struct compute *compute;
    struct wire_model model; // what compute says, and SCAN
    struct scanner *scanner;
    struct shelf *shelf;
    struct pace pace; // the engine's, once it runs
    struct engine *engine;
    pthread_t engine_thread;
    bool engine_runs;
    struct service *service;
    int stop; // readable when a signal asked for it
};

/* Prompts and answers are in this process's memory: none of it may reach a core file. */
static void forbid_cores(void)
{
    struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0);
}

static void choose_name(struct node *node)
{
    char host[64] = "node";
    (void)gethostname(host, sizeof host - 1);
    snprintf(node->name, sizeof node->name, "%s-%ld", host, (long)getpid());
    if (*node->settings.name) snprintf(node->name, sizeof node->name, "%s", node->settings.name);
}

/* How long steps take, for a decoder; an echo sleeps as it was told, and whole prompts are not cut. */
static void set_pace(struct node *node, struct batch_limits *limits)
{
    const struct settings *s = &node->settings;
    if (!compute_paced(node->compute)) return;
    pace_init(&node->pace, &(struct pace_options){.stretch_percent = (uint32_t)s->step_stretch,
                                                  .step_ms = (uint32_t)s->step_ms});
    limits->pace = &node->pace;
    limits->drafts_max = (uint32_t)s->speculate;
    limits->logits_max = settings_logits(s);
    struct engine_backend backend = compute_backend(node->compute);
    calibrate(&backend, compute_pool(node->compute), limits,
              compute_model(node->compute)->context_length);
}

static enum err start_engine(struct node *node)
{
    const struct settings *s = &node->settings;
    TRY(scanner_new(&node->scanner, compute_ops(node->compute), compute_team(node->compute)));
    struct compute_room room = compute_room(node->compute);
    struct engine_options options = {
        .backend = compute_backend(node->compute),
        .ops = compute_ops(node->compute),
        .team = compute_team(node->compute),
        .pool = compute_pool(node->compute),
        .limits = {.batch_tokens = room.batch_tokens,
                   .sequences = room.sequences,
                   .waiting_max = (uint32_t)s->requests,
                   .waiting_tokens_max =
                       settings_waiting_tokens(s, compute_model(node->compute)->context_length)},
        .scanner = scanner_table(node->scanner),
        .orders_max = 2 * (uint32_t)s->requests + 2, // a submit and a cancel for each, a stop
    };
    set_pace(node, &options.limits);
    node->engine = engine_new(&options);
    int failed = pthread_create(&node->engine_thread, NULL, engine_run, node->engine);
    if (failed) return err_note(ERR_IO, "the engine's thread: %s", strerror(failed));
    node->engine_runs = true;
    return ERR_OK;
}

static enum err open_service(struct node *node)
{
    const struct settings *s = &node->settings;
    const struct buf *pack = compute_pack(node->compute);
    node->model = *compute_model(node->compute);
    node->model.kinds |= UINT32_C(1) << WIRE_SCAN; // whatever the model is
    node->shelf = shelf_new(s->shard_memory);
    struct service_options options = {
        .engine = node->engine,
        .shelf = node->shelf,
        .hello = {.protocol = WIRE_PROTOCOL,
                  .node = {node->name, strlen(node->name)},
                  .instance = rand_entropy(),
                  .region = {s->region, strlen(s->region)},
                  .models = &node->model,
                  .model_count = 1,
                  .credits = (uint32_t)s->credits,
                  .block_tokens = KV_BLOCK_TOKENS,
                  .kv_blocks = kv_blocks_total(compute_pool(node->compute)),
                  .threads = compute_threads(node->compute)},
        .pack = (const uint8_t *)pack->data,
        .pack_size = pack->size,
        .schedulers = (const char *const *)s->scheduler.items,
        .scheduler_count = s->scheduler.count,
        .gone_ms = DIALS_GONE_MS,
        .requests_max = (uint32_t)s->requests,
    };
    return service_new(&node->service, &options);
}

static enum err run(struct node *node)
{
    uint64_t started_ns = clock_now_ns();
    log_set_level((enum log_level)log_level_parse(node->settings.log_level));
    choose_name(node);
    TRY(stop_open(&node->stop));
    TRY(compute_new(&node->compute, &node->settings));
    TRY(start_engine(node));
    TRY(open_service(node));
    const struct wire_model *model = compute_model(node->compute);
    log_info("node_ready",
             "node=%s model=%.*s context=%" PRIu32 " vocabulary=%" PRIu32 " kv_blocks=%" PRIu32
             " threads=%" PRIu32 " kernels=%s load_ms=%" PRIu64,
             node->name, (int)model->name.size, model->name.text, model->context_length,
             model->vocab_size, kv_blocks_total(compute_pool(node->compute)),
             compute_threads(node->compute), compute_rung(node->compute),
             (clock_now_ns() - started_ns) / CLOCK_MS);
    service_run(node->service, node->stop, node->settings.drain_ms);
    return ERR_OK;
}

/* In the reverse order, as far as it came. */
static void tear_down(struct node *node, enum err err)
{
    if (node->engine_runs) {
        if (err) engine_stop(node->engine); // service_run() did not
        pthread_join(node->engine_thread, NULL);
        log_info("node_stopped", "node=%s", node->name);
    }
    service_free(node->service);
    engine_free(node->engine);
    scanner_free(node->scanner);
    shelf_free(node->shelf);
    compute_free(node->compute);
    conf_fini(&settings_table, &node->settings);
}

int main(int argc, char **argv)
{
    forbid_cores();
    struct node node = {0};
    int rest = argc;
    enum conf_next next = CONF_GO;
    enum err err = conf_load(&settings_table, &node.settings, argc, argv, &rest, &next);
    if (!err && rest < argc)
        err = err_note(ERR_INVALID, "'%s' is not expected: settings are flags", argv[rest]);
    if (!err && next == CONF_GO) {
        err = settings_check(&node.settings);
        if (!err) err = run(&node);
    }
    if (err) fprintf(stderr, "qiao-node: %s\n", err_text());
    tear_down(&node, err);
    return err ? 1 : 0;
}

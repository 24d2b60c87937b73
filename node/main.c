/* qiao-node: token ids in, token ids out.
 *
 *      thread      owns                                            is told by
 *      main        the service: links, shelf, what is in the air   signals, links, engine
 *      engine      model, pool, batch, sequences; leads the team   orders
 *      team 1..    a slice of one step                             the engine
 *      NNG's       nothing of ours
 *
 *      swapper     a newer model, while it is loaded              SIGHUP, schedulers, the file's change
 *      leaving     the old model's service, once a newer one runs  its time
 *
 * SIGTERM or SIGINT drains: what is in the air may end for --drain-ms; once more ends at once. A newer model is served beside the
 * old one until everybody knows it (swap.h): the node introduces itself anew, under its name, before the old self leaves. */
#include "node/compute.h"
#include "node/engine/calibrate.h"
#include "node/engine/kv.h"
#include "node/scanner.h"
#include "node/service/dials.h"
#include "node/service/service.h"
#include "node/settings.h"
#include "node/shelf/shelf.h"
#include "node/stop.h"
#include "node/swap.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/private.h"
#include "base/rand.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
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
    bool engine_runs, drained; // service_run() has ended, and told the engine to
    struct service *service;
    uint64_t instance, replaces; // of HELLO
    int stop; // readable when a signal asked for it; of one that leaves, when its time has come
    struct program *program;
};

/* What outlives a model. */
struct program {
    struct settings settings;
    int stop, reload, swapped; // bells: of signals, and of the swapper
    struct swapper *swapper;
    atomic_bool loaded; // a newer model, whose turn has not come yet
    atomic_int leaving;
    int leave_timer; // of the one that leaves
};

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
                  .instance = node->instance,
                  .region = {s->region, strlen(s->region)},
                  .models = &node->model,
                  .model_count = 1,
                  .credits = (uint32_t)s->credits,
                  .block_tokens = KV_BLOCK_TOKENS,
                  .kv_blocks = kv_blocks_total(compute_pool(node->compute)),
                  .threads = compute_threads(node->compute),
                  .replaces = node->replaces},
        .pack = (const uint8_t *)pack->data,
        .pack_size = pack->size,
        .schedulers = (const char *const *)s->scheduler.items,
        .scheduler_count = s->scheduler.count,
        .gone_ms = DIALS_GONE_MS,
        .requests_max = (uint32_t)s->requests,
        .reload_bell = node->program->reload,
        .pause_bell = node->program->swapped,
    };
    return service_new(&node->service, &options);
}

/* In the reverse order, as far as it came. */
static void tear_down(struct node *node)
{
    if (node->engine_runs && !node->drained) engine_stop(node->engine);
    if (node->engine_runs) pthread_join(node->engine_thread, NULL);
    service_free(node->service);
    engine_free(node->engine);
    scanner_free(node->scanner);
    shelf_free(node->shelf);
    compute_free(node->compute);
    mem_free(node);
}

/* The model is loaded, and its engine waits for work. NULL: a failure with a note. */
static struct node *open_node(struct program *program)
{
    struct node *node = mem_new(1, sizeof *node);
    node->settings = program->settings; // the program's texts
    node->program = program;
    node->stop = program->stop;
    node->instance = rand_entropy();
    choose_name(node);
    enum err err = compute_new(&node->compute, &node->settings);
    if (!err) err = start_engine(node);
    if (!err) return node;
    tear_down(node);
    return NULL;
}

static void say_ready(const struct node *node, uint64_t started_ns)
{
    const struct wire_model *model = compute_model(node->compute);
    log_info("node_ready",
             "node=%s model=%.*s context=%" PRIu32 " vocabulary=%" PRIu32 " kv_blocks=%" PRIu32
             " threads=%" PRIu32 " kernels=%s load_ms=%" PRIu64,
             node->name, (int)model->name.size, model->name.text, model->context_length,
             model->vocab_size, kv_blocks_total(compute_pool(node->compute)),
             compute_threads(node->compute), compute_rung(node->compute),
             (clock_now_ns() - started_ns) / CLOCK_MS);
}

// ---- a newer model -----------------------------------------------------------------------------

static void rest(void)
{
    const struct timespec pause = {.tv_nsec = 10000000L};
    nanosleep(&pause, NULL);
}

/* The swapper's: at most two models at a time. One that leaves looks at the bells, too: nothing is rung for before it has gone. */
static void *load_next(void *argument)
{
    struct program *program = argument;
    while ((atomic_load(&program->loaded) || atomic_load(&program->leaving) > 0) && !stop_asked())
        rest();
    if (stop_asked()) {
        err_note(ERR_CANCELED, "the node ends");
        return NULL;
    }
    struct node *next = open_node(program);
    atomic_store(&program->loaded, next != NULL);
    return next;
}

static void unload(void *loaded)
{
    tear_down(loaded);
}

static void set_timer(int timer, uint64_t ns)
{
    struct itimerspec due = {
        .it_value = {.tv_sec = (time_t)(ns / CLOCK_SECOND), .tv_nsec = (long)(ns % CLOCK_SECOND)}};
    (void)timerfd_settime(timer, 0, &due, NULL);
}

static void *leave(void *argument)
{
    struct node *node = argument;
    struct program *program = node->program;
    node->drained = service_run(node->service, node->stop, node->settings.drain_ms);
    log_info("node_left", "node=%s model=%.*s", node->name,
             (int)compute_model(node->compute)->name.size, compute_model(node->compute)->name.text);
    tear_down(node);
    atomic_fetch_sub(&program->leaving, 1);
    return NULL;
}

/* The old one goes on in a thread of its own until its time has come. */
static enum err let_leave(struct program *program, struct node *node)
{
    pthread_t thread;
    if (program->leave_timer < 0)
        program->leave_timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (program->leave_timer < 0) return err_note(ERR_IO, "timerfd: %s", strerror(errno));
    set_timer(program->leave_timer, SWAP_OVERLAP_MS * CLOCK_MS);
    node->stop = program->leave_timer;
    atomic_fetch_add(&program->leaving, 1);
    int failed = pthread_create(&thread, NULL, leave, node);
    if (!failed) failed = pthread_detach(thread);
    if (!failed) return ERR_OK;
    atomic_fetch_sub(&program->leaving, 1);
    node->stop = program->stop;
    return err_note(ERR_IO, "the thread of the model that leaves: %s", strerror(failed));
}

/* `node`, or the newer one that stands in for it. */
static struct node *swap(struct program *program, struct node *node)
{
    struct node *next = swapper_take(program->swapper);
    if (!next) return node;
    next->replaces = node->instance;
    enum err err = open_service(next);
    if (!err) err = let_leave(program, node);
    atomic_store(&program->loaded, false); // one leaves by now
    if (!err) return next;
    log_error("model_refused", "serving=\"the old one\" reason=\"%s\"", err_text());
    tear_down(next);
    return node;
}

// ---- birth and death ---------------------------------------------------------------------------

static enum err serve(struct program *program)
{
    uint64_t started_ns = clock_now_ns();
    struct node *node = open_node(program);
    if (!node) return ERR_INVALID; // with the note of whatever failed
    enum err err = open_service(node);
    if (!err) say_ready(node, started_ns);
    while (!err && !service_run(node->service, program->stop, program->settings.drain_ms)) {
        node = swap(program, node);
        say_ready(node, clock_now_ns());
    }
    if (!err) log_info("node_stopped", "node=%s", node->name);
    node->drained = !err;
    tear_down(node);
    return err;
}

static enum err run(struct program *program)
{
    log_set_level((enum log_level)log_level_parse(program->settings.log_level));
    TRY(private_lock(program->settings.swap));
    TRY(stop_open(&program->stop, &program->reload));
    program->swapped = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (program->swapped < 0) return err_note(ERR_IO, "eventfd: %s", strerror(errno));
    struct swapper_options options = {.path = program->settings.model,
                                      .watch = program->settings.watch,
                                      .reload = program->reload,
                                      .bell = program->swapped,
                                      .load = load_next,
                                      .unload = unload,
                                      .argument = program};
    TRY(swapper_new(&program->swapper, &options));
    enum err err = serve(program);
    if (atomic_load(&program->leaving) > 0) set_timer(program->leave_timer, 1);
    while (atomic_load(&program->leaving) > 0)
        rest();
    return err;
}

int main(int argc, char **argv)
{
    private_forbid_cores();
    struct program program = {.leave_timer = -1};
    int rest_at = argc;
    enum conf_next next = CONF_GO;
    enum err err = conf_load(&settings_table, &program.settings, argc, argv, &rest_at, &next);
    if (!err && rest_at < argc)
        err = err_note(ERR_INVALID, "'%s' is not expected: settings are flags", argv[rest_at]);
    if (!err && next == CONF_GO) {
        err = settings_check(&program.settings);
        if (!err) err = run(&program);
    }
    if (err) fprintf(stderr, "qiao-node: %s\n", err_text());
    swapper_free(program.swapper);
    conf_fini(&settings_table, &program.settings);
    return err ? 1 : 0;
}

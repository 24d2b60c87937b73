#include "node/compute.h"

#include "node/engine/echo.h"
#include "node/engine/kv.h"
#include "node/model/forward.h"
#include "node/model/model.h"
#include "node/settings.h"

#include "kernels/cpu.h"
#include "kernels/ops.h"
#include "kernels/select.h"
#include "kernels/team.h"
#include "wire/block.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

struct compute {
    struct kv_pool *pool;
    struct wire_model facts;
    const struct buf *pack;

    struct ops ops;

    struct team *team; // of a model; nothing of an echo
    struct model *model;
    struct forward *forward;

    struct echo *echo;
    struct buf echo_pack;
};

/* What was asked for, or a share of the memory. */
static uint64_t pool_bytes(const struct settings *settings)
{
    uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    return settings->kv_bytes > 0 ? settings->kv_bytes : memory / 100 * settings->kv_share;
}

/* A share is taken as far as sequences can use it, and a prefix cache of the same size. */
static uint64_t most_blocks(const struct settings *settings, uint32_t context)
{
    uint64_t useful = 2 * (uint64_t)kv_blocks_for(context) * settings->sequences;
    return settings->kv_bytes > 0 || useful > KV_BLOCKS_MAX ? KV_BLOCKS_MAX : useful;
}

/* The pool, and the context that it can hold, in *context (the model's own at first). */
static enum err open_pool(struct compute *compute, struct kv_shape *shape,
                          const struct settings *settings, uint32_t *context)
{
    uint64_t block_size = kv_block_size(shape);
    uint64_t bytes = pool_bytes(settings);
    uint64_t blocks = bytes / block_size;
    if (blocks > most_blocks(settings, *context)) blocks = most_blocks(settings, *context);
    if (blocks == 0) {
        return err_note(ERR_INVALID, "kv_bytes: %" PRIu64 ", one block of %d tokens takes %" PRIu64,
                        bytes, KV_BLOCK_TOKENS, block_size);
    }
    if (blocks < kv_blocks_for(*context)) {
        if (settings->context > 0) {
            return err_note(ERR_INVALID,
                            "kv_bytes: %" PRIu64 " hold %" PRIu64 " tokens, a context of %" PRIu32
                            " was asked for",
                            bytes, blocks * KV_BLOCK_TOKENS, *context);
        }
        uint32_t held = (uint32_t)blocks * KV_BLOCK_TOKENS;
        log_warn("context_cut", "trained=%" PRIu32 " pool_holds=%" PRIu32, *context, held);
        *context = held;
    }
    shape->block_count = (uint32_t)blocks;
    return kv_pool_new(&compute->pool, shape);
}

static enum err choose_ops(struct compute *compute)
{
    uint32_t features;
    TRY(cpu_choose_env(&features));
    ops_select(&compute->ops, features);
    return ERR_OK;
}

/* A large model takes a while: a line a second, and one at the end. */
struct progress {
    uint64_t said_ns;
};

static void say_progress(void *argument, uint64_t done, uint64_t total)
{
    struct progress *progress = argument;
    uint64_t now_ns = clock_now_ns();
    if (done < total && now_ns - progress->said_ns < CLOCK_SECOND) return;
    progress->said_ns = now_ns;
    log_info("model_loading", "bytes=%" PRIu64 " of=%" PRIu64, done, total);
}

static enum err load_model(struct compute *compute, const struct settings *settings)
{
    TRY(team_new(&compute->team, settings->threads ? (uint32_t)settings->threads : team_cores()));
    struct progress progress = {.said_ns = clock_now_ns()};
    struct model_options options = {
        .ops = &compute->ops,
        .team = compute->team,
        .float_gemm =
            strcmp(settings->float_gemm, "blas") == 0 ? MODEL_FLOAT_BLAS : MODEL_FLOAT_EXACT,
        .kv = strcmp(settings->kv, "int8") == 0 ? KV_INT8 : KV_F16,
        .context_max = (uint32_t)settings->context,
        .progress = say_progress,
        .progress_argument = &progress,
    };
    return model_load(&compute->model, settings->model, &options);
}

/* Cached prefixes of one model are no other's; adapters will be part of this. */
static uint64_t root_of(const struct digest *model)
{
    const struct digest none = {0};
    return block_root(model, &none);
}

static enum err open_model(struct compute *compute, const struct settings *settings)
{
    TRY(load_model(compute, settings));
    const struct model_shape *shape = model_shape(compute->model);
    struct kv_shape kv_shape = {.layer_count = shape->layer_count,
                                .kv_head_count = shape->kv_head_count,
                                .head_dim = shape->head_dim,
                                .root = root_of(model_digest(compute->model)),
                                .kind = model_kv(compute->model)};
    uint32_t context = shape->context_length;
    TRY(open_pool(compute, &kv_shape, settings, &context));
    struct forward_limits limits = {.rows_max = (uint32_t)settings->batch_tokens,
                                    .logits_max = settings_logits(settings),
                                    .context_max = context};
    TRY(forward_new(&compute->forward, compute->model, compute->pool, compute->team, &limits));
    compute->pack = model_pack(compute->model);
    compute->facts = (struct wire_model){
        .name = {shape->name, strlen(shape->name)},
        .kinds = UINT32_C(1) << WIRE_GENERATE,
        .pack = digest_of(compute->pack->data, compute->pack->size),
        .model = *model_digest(compute->model),
        .numerics = *model_numerics(compute->model),
        .context_length = context,
        .vocab_size = shape->vocab_size,
    };
    return ERR_OK;
}

static enum err open_echo(struct compute *compute, const struct settings *settings)
{
    static const char what[] = "echo 1"; // its answers are a function of the prompt alone
    const struct digest model = digest_of(what, sizeof what);
    struct kv_shape shape = {
        .layer_count = 1, .kv_head_count = 1, .head_dim = 8, .root = root_of(&model)};
    uint32_t context = ECHO_CONTEXT;
    if (settings->context > 0 && settings->context < context) context = (uint32_t)settings->context;
    TRY(open_pool(compute, &shape, settings, &context));
    compute->echo = echo_new((uint32_t)settings->sequences, (uint32_t)settings->echo_delay_ms);
    echo_write_pack(&compute->echo_pack);
    compute->pack = &compute->echo_pack;
    compute->facts = (struct wire_model){
        .name = {"echo", 4},
        .kinds = UINT32_C(1) << WIRE_GENERATE,
        .pack = digest_of(compute->pack->data, compute->pack->size),
        .model = model,
        .numerics = digest_of(what, sizeof what),
        .context_length = context,
        .vocab_size = echo_backend(compute->echo).vocab_size,
    };
    return ERR_OK;
}

enum err compute_new(struct compute **out, const struct settings *settings)
{
    struct compute *compute = mem_new(1, sizeof *compute);
    bool echo = strcmp(settings->engine, "echo") == 0;
    enum err err = choose_ops(compute);
    if (!err) err = echo ? open_echo(compute, settings) : open_model(compute, settings);
    if (err) {
        compute_free(compute);
        return err;
    }
    *out = compute;
    return ERR_OK;
}

void compute_free(struct compute *compute)
{
    if (!compute) return;
    forward_free(compute->forward);
    echo_free(compute->echo);
    kv_pool_free(compute->pool);
    model_free(compute->model);
    team_free(compute->team);
    buf_fini(&compute->echo_pack);
    mem_free(compute);
}

static void model_step(void *self, const struct forward_slice *slices, struct seq *const *seqs,
                       size_t count)
{
    (void)seqs; // ids, positions and tables are all that a transformer reads
    forward_step(self, slices, count);
}

static float *model_logits(void *self, size_t index)
{
    return forward_logits(self, index);
}

struct engine_backend compute_backend(const struct compute *compute)
{
    if (compute->echo) return echo_backend(compute->echo);
    return (struct engine_backend){.self = compute->forward,
                                   .vocab_size = compute->facts.vocab_size,
                                   .step = model_step,
                                   .logits = model_logits};
}

struct kv_pool *compute_pool(const struct compute *compute)
{
    return compute->pool;
}

const struct wire_model *compute_model(const struct compute *compute)
{
    return &compute->facts;
}

const struct buf *compute_pack(const struct compute *compute)
{
    return compute->pack;
}

uint32_t compute_threads(const struct compute *compute)
{
    return compute->team ? team_size(compute->team) : 1;
}

const char *compute_rung(const struct compute *compute)
{
    return compute->ops.name;
}

const struct ops *compute_ops(const struct compute *compute)
{
    return &compute->ops;
}

struct team *compute_team(const struct compute *compute)
{
    return compute->team;
}

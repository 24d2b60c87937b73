#include "node/compute.h"

#include "node/compute_parts.h"
#include "node/settings.h"

#include "kernels/cpu.h"
#include "kernels/select.h"
#include "kernels/team.h"
#include "wire/block.h"

#include "base/clock.h"
#include "base/gguf.h"
#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

/* Who opens a model, by its general.architecture; a decoder is what all others are taken for, and says itself what
 * it does not run. */
typedef enum err open_fn(struct compute *compute, const struct settings *settings);

static const struct {
    const char *architecture;
    open_fn *open;
} kinds[] = {
    {"bert", compute_open_bert},
    {"sasrec", compute_open_recommender},
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

enum err compute_open_pool(struct compute *compute, struct kv_shape *shape,
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

enum err compute_open_no_pool(struct compute *compute)
{
    struct kv_shape shape = {.layer_count = 1, .kv_head_count = 1, .head_dim = 8, .block_count = 1};
    return kv_pool_new(&compute->pool, &shape);
}

static enum err choose_ops(struct compute *compute)
{
    uint32_t features;
    TRY(cpu_choose_env(&features));
    ops_select(&compute->ops, features);
    return ERR_OK;
}

void compute_say_progress(void *argument, uint64_t done, uint64_t total)
{
    uint64_t *said_ns = argument;
    uint64_t now_ns = clock_now_ns();
    if (done < total && now_ns - *said_ns < CLOCK_SECOND) return;
    *said_ns = now_ns;
    log_info("model_loading", "bytes=%" PRIu64 " of=%" PRIu64, done, total);
}

uint64_t compute_root(const struct digest *model)
{
    const struct digest none = {0}; // adapters will be part of this
    return block_root(model, &none);
}

static bool is_named(struct gguf_string name, const char *architecture)
{
    return name.size == strlen(architecture) && memcmp(name.text, architecture, name.size) == 0;
}

static enum err open_model(struct compute *compute, const struct settings *settings)
{
    struct gguf *gguf;
    struct gguf_string name;
    open_fn *open = compute_open_decoder;
    TRY(gguf_open(&gguf, settings->model));
    enum err err = gguf_get_string(gguf, "general.architecture", &name);
    for (size_t i = 0; !err && i < sizeof kinds / sizeof *kinds; i++)
        if (is_named(name, kinds[i].architecture)) open = kinds[i].open;
    gguf_close(gguf);
    if (err) return err;
    TRY(team_new(&compute->team, settings->threads ? (uint32_t)settings->threads : team_cores()));
    return open(compute, settings);
}

enum err compute_new(struct compute **out, const struct settings *settings)
{
    struct compute *compute = mem_new(1, sizeof *compute);
    compute->room = (struct compute_room){.batch_tokens = (uint32_t)settings->batch_tokens,
                                          .sequences = (uint32_t)settings->sequences};
    bool echo = strcmp(settings->engine, "echo") == 0;
    enum err err = choose_ops(compute);
    if (!err) err = echo ? compute_open_echo(compute, settings) : open_model(compute, settings);
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
    if (compute->close) compute->close(compute->part);
    kv_pool_free(compute->pool);
    team_free(compute->team);
    mem_free(compute);
}

struct engine_backend compute_backend(const struct compute *compute)
{
    return compute->backend;
}

struct compute_room compute_room(const struct compute *compute)
{
    return compute->room;
}

bool compute_paced(const struct compute *compute)
{
    return compute->paced;
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

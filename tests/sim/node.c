#include "tests/sim/node.h"

#include "node/engine/engine.h"
#include "node/engine/seq.h"
#include "node/service/dials.h"
#include "node/service/service.h"
#include "tests/sim/check.h"
#include "tests/sim/net.h"
#include "tests/sim/world.h"

#include "kernels/ops.h"
#include "kernels/select.h"
#include "wire/block.h"

#include "base/clock.h"
#include "base/mailbox.h"
#include "base/mem.h"
#include "base/must.h"

#include <stdio.h>
#include <string.h>

enum {
    NODES_MAX = 2048,
    BATCH_TOKENS = 256,
    REQUESTS_MAX = 256,
    MEMORY_IDS = 4 // of a sequence, that its next id depends on
};

/* A step: its own time, and more by rows and by what attention reads. Some 2,000 tokens/s of prefill, 60 answers of 16. */
#define STEP_NS  UINT64_C(8000000)
#define ROW_NS   UINT64_C(450000)
#define DEPTH_NS UINT64_C(60)

struct sim_node {
    uint32_t number;
    char name[16];
    bool up;
    uint32_t life; // counts starts: what was set for an earlier one means nothing
    double speed;
    uint64_t hung_until_ns;
    bool listens; // a wake of the service is set
    uint64_t wake_ns;
    bool computes; // a step is under way
    uint64_t step_ns;
    struct kv_pool *pool;
    struct engine *engine;
    struct service *service;
    struct check *check; // NULL: a history for figures
    float *logits;
};

static struct sim_node nodes[NODES_MAX];
static struct plan plan;
static struct ops ops;

int32_t sim_next_id(uint64_t seed, const int32_t *ids, size_t count)
{
    uint64_t hash = rand_at(seed, 1, count);
    for (size_t i = count > MEMORY_IDS ? count - MEMORY_IDS : 0; i < count; i++)
        hash = rand_at(hash, 2, (uint32_t)ids[i]);
    return hash % 97 == 0 ? SIM_STOP_ID : 1 + (int32_t)(hash % (SIM_VOCAB - 1));
}

/* The backend. */

static void step(void *self, const struct forward_slice *slices, struct seq *const *seqs,
                 size_t count)
{
    struct sim_node *node = self;
    uint64_t rows = 0, depth = 0;
    size_t logits = 0;
    if (node->check) check_step(node->check);
    for (size_t i = 0; i < count; i++) {
        const struct forward_slice *slice = &slices[i];
        rows += slice->count;
        depth += (uint64_t)slice->count * (slice->position + slice->count / 2);
        if (slice->logit_count == 0) continue;
        must(slice->logit_count == 1 && logits < plan.sequences);
        size_t known = slice->position + slice->count;
        must(known == seqs[i]->id_count);
        float *row = node->logits + logits++ * SIM_VOCAB;
        memset(row, 0, SIM_VOCAB * sizeof *row);
        row[sim_next_id(seqs[i]->sampling.seed, seqs[i]->ids, known)] = 9;
    }
    node->step_ns = (uint64_t)((double)(STEP_NS + rows * ROW_NS + depth * DEPTH_NS) / node->speed);
}

static float *logits_of(void *self, size_t index)
{
    struct sim_node *node = self;
    return node->logits + index * SIM_VOCAB;
}

/* The engine measures its step between two looks at this clock. */
static struct sim_node *stepping;
static bool step_begun;

static uint64_t step_clock_ns(void)
{
    step_begun = !step_begun;
    return world_now_ns() + (step_begun ? 0 : stepping->step_ns);
}

/* Its life. */

static struct wire_model model_of(void)
{
    struct wire_model model = {.name = {"m", 1},
                               .kinds = 1u << WIRE_GENERATE,
                               .context_length = SIM_CONTEXT,
                               .vocab_size = SIM_VOCAB};
    model.model.bytes[0] = 1;
    model.numerics.bytes[0] = 1;
    return model;
}

static void start(struct sim_node *node)
{
    static const uint8_t pack[] = {0};
    static struct wire_model model;
    static char urls[64][16];
    const char *schedulers[64];
    model = model_of();
    struct kv_shape shape = {.layer_count = 1,
                             .kv_head_count = 1,
                             .head_dim = 8,
                             .block_count = plan.kv_blocks,
                             .root = block_root(&model.model, &model.adapter)};
    must(kv_pool_new(&node->pool, &shape) == ERR_OK);
    struct engine_options engine = {
        .backend = {.self = node,
                    .vocab_size = SIM_VOCAB,
                    .step = step,
                    .logits = logits_of,
                    .clock_ns = step_clock_ns},
        .ops = &ops,
        .pool = node->pool,
        .limits = {.batch_tokens = BATCH_TOKENS,
                   .sequences = plan.sequences,
                   .waiting_max = plan.waiting_max,
                   .waiting_tokens_max = plan.waiting_tokens_max},
        .orders_max = 2 * REQUESTS_MAX + 2,
    };
    node->engine = engine_new(&engine);
    if (plan.chaos) node->check = check_new(node->engine, node->pool, &engine.limits);
    for (uint32_t i = 0; i < plan.schedulers; i++) {
        snprintf(urls[i], sizeof urls[i], "sim:%u", i);
        schedulers[i] = urls[i];
    }
    struct service_options service = {
        .engine = node->engine,
        .hello = {.protocol = WIRE_PROTOCOL,
                  .node = {node->name, strlen(node->name)},
                  .instance = rand_next(world_rand()),
                  .models = &model,
                  .model_count = 1,
                  .credits = 64,
                  .block_tokens = KV_BLOCK_TOKENS,
                  .kv_blocks = plan.kv_blocks,
                  .threads = 1},
        .pack = pack,
        .pack_size = sizeof pack,
        .schedulers = schedulers,
        .scheduler_count = plan.schedulers,
        .gone_ms = DIALS_GONE_MS,
        .requests_max = REQUESTS_MAX,
    };
    net_set_owner(1000 + node->number);
    must(service_new(&node->service, &service) == ERR_OK);
    node->up = true;
    node->life++;
    node->computes = node->listens = false;
    node->hung_until_ns = 0;
    sim_node_wake(node->number);
}

/* Everything in it ends, and nobody hears of it. */
static void stop(struct sim_node *node)
{
    engine_stop(node->engine);
    stepping = node;
    step_begun = false;
    engine_turn(node->engine, world_now_ns());
    service_tell(node->service);
    must(kv_count_blocks(node->pool).held == 0);
    service_free(node->service);
    check_free(node->check);
    node->check = NULL;
    engine_free(node->engine);
    kv_pool_free(node->pool);
    node->up = false;
}

void sim_node_starves(void)
{
    service_tell(stepping->service);
}

static uint64_t key_of(const struct sim_node *node)
{
    return (uint64_t)node->life << 16 | node->number;
}

static struct sim_node *node_of(uint64_t key)
{
    struct sim_node *node = &nodes[key & 0xffff];
    return node->up && node->life == key >> 16 ? node : NULL;
}

static void listen(void *argument, uint64_t key);
static void compute(void *argument, uint64_t key);

static void listen_at(struct sim_node *node, uint64_t at_ns)
{
    if (at_ns < node->hung_until_ns) at_ns = node->hung_until_ns;
    if (node->listens && node->wake_ns <= at_ns) return;
    node->listens = true;
    node->wake_ns = at_ns;
    world_at(at_ns, listen, NULL, key_of(node));
}

void sim_node_wake(uint32_t number)
{
    struct sim_node *node = &nodes[number];
    if (node->up) listen_at(node, world_now_ns());
}

static void compute_at(struct sim_node *node, uint64_t at_ns)
{
    node->computes = true;
    world_at(at_ns, compute, NULL, key_of(node));
}

static void listen(void *argument, uint64_t key)
{
    struct sim_node *node = node_of(key);
    (void)argument;
    if (!node || !node->listens || node->wake_ns > world_now_ns()) return; // another was set
    node->listens = false;
    if (world_now_ns() < node->hung_until_ns) {
        listen_at(node, node->hung_until_ns);
        return;
    }
    service_hear(node->service);
    if (!node->computes) compute_at(node, world_now_ns());
    listen_at(node, service_wake_ns(node->service));
}

/* What the step before gave is told; the next one begins. */
static void compute(void *argument, uint64_t key)
{
    struct sim_node *node = node_of(key);
    (void)argument;
    if (!node) return;
    if (world_now_ns() < node->hung_until_ns) {
        compute_at(node, node->hung_until_ns);
        return;
    }
    service_tell(node->service);
    stepping = node;
    step_begun = false;
    node->step_ns = 0;
    bool busy = engine_turn(node->engine, world_now_ns());
    if (node->check) check_blocks(node->check);
    node->computes = busy;
    if (busy)
        compute_at(node, world_now_ns() + node->step_ns);
    else
        service_tell(node->service);
    listen_at(node, service_wake_ns(node->service));
}

static void restart(void *argument, uint64_t number)
{
    (void)argument;
    if (number < plan.nodes && !nodes[number].up) start(&nodes[number]);
}

void sim_node_crash(uint32_t number, bool silently)
{
    struct sim_node *node = &nodes[number];
    if (silently)
        net_vanish(1000 + number);
    else
        net_kill(1000 + number);
    stop(node);
    world_at(world_now_ns() + world_between(500, 6000) * CLOCK_MS, restart, NULL, number);
}

void sim_node_hang(uint32_t number, uint64_t for_ns)
{
    nodes[number].hung_until_ns = world_now_ns() + for_ns;
}

void sim_node_slow(uint32_t number, double speed)
{
    nodes[number].speed = speed;
}

bool sim_node_is_up(uint32_t number)
{
    return nodes[number].up;
}

const char *sim_node_name(uint32_t number)
{
    return nodes[number].name;
}

void sim_nodes_heal(void)
{
    for (uint32_t i = 0; i < plan.nodes; i++) {
        nodes[i].speed = 1;
        if (!nodes[i].up) start(&nodes[i]);
    }
}

void sim_nodes_begin(const struct plan *what)
{
    plan = *what;
    must(plan.nodes <= NODES_MAX && plan.schedulers <= 64);
    ops_select(&ops, 0);
    for (uint32_t i = 0; i < plan.nodes; i++) {
        struct sim_node *node = &nodes[i];
        *node = (struct sim_node){.number = i, .speed = 1, .life = node->life};
        snprintf(node->name, sizeof node->name, "n%u", i);
        node->logits = mem_new(plan.sequences * SIM_VOCAB, sizeof *node->logits);
        start(node);
    }
}

void sim_nodes_end(void)
{
    for (uint32_t i = 0; i < plan.nodes; i++) {
        struct sim_node *node = &nodes[i];
        if (node->up) {
            must(kv_count_blocks(node->pool).held == 0);
            stop(node);
        }
        mem_free(node->logits);
    }
    plan.nodes = 0; // who was to come back does not
}

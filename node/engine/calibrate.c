#include "node/engine/calibrate.h"

#include "node/engine/engine.h"
#include "node/engine/kv.h"
#include "node/engine/pace.h"
#include "node/engine/seq.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"

enum {
    NARROW = 4, // rows of the slices at depth
    WIDE = 64
};

struct trial {
    const struct engine_backend *backend;
    struct pace *pace;
    struct seq *seq;
    uint64_t end_ns;
};

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Zeros for `count` positions. The blocks are there: nobody else is yet. */
static struct seq *new_seq(struct kv_pool *pool, uint32_t count)
{
    int32_t *ids = mem_new(count, sizeof *ids);
    struct wire_submit submit = {
        .ids = ids,
        .id_count = count,
        .prompt_length = count,
        .sampling = {.repetition_penalty = 1},
    };
    struct seq *seq = seq_new(&submit, 0, 0, &(struct seq_room){.context_max = count}, 0);
    enum err err = kv_extend(pool, &seq->table, count);
    must(err == ERR_OK);
    mem_free(ids);
    return seq;
}

static uint64_t step_clock_ns(const struct engine_backend *backend)
{
    return backend->clock_ns ? backend->clock_ns() : clock_now_ns();
}

/* The shortest of a few runs; 0 when time is up. */
static double time_ms(const struct trial *trial, const struct forward_slice *slice)
{
    uint64_t best_ns = UINT64_MAX;
    for (int run = 0; run < CALIBRATE_RUNS; run++) {
        if (clock_now_ns() >= trial->end_ns) break;
        uint64_t started_ns = step_clock_ns(trial->backend);
        trial->backend->step(trial->backend->self, slice, &trial->seq, 1);
        uint64_t took_ns = step_clock_ns(trial->backend) - started_ns;
        if (took_ns < best_ns) best_ns = took_ns;
    }
    return best_ns == UINT64_MAX ? 0 : (double)best_ns / 1e6;
}

static void try_slice(const struct trial *trial, enum pace_part part, uint32_t position,
                      uint32_t count, uint32_t logits)
{
    struct forward_slice slice = {
        .ids = trial->seq->ids + position,
        .count = count,
        .position = position,
        .table = &trial->seq->table,
        .logit_count = logits,
    };
    struct pace_step step = {0};
    pace_add(&step, position, count, logits);
    double ms = time_ms(trial, &slice);
    if (ms > 0) pace_calibrate(trial->pace, part, &step, ms);
}

void calibrate(const struct engine_backend *backend, struct kv_pool *pool,
               const struct batch_limits *limits, uint32_t context)
{
    uint32_t deep =
        least(context, least(CALIBRATE_DEPTH, kv_count_blocks(pool).free * KV_BLOCK_TOKENS));
    uint32_t rows_max = least(limits->batch_tokens, deep);
    uint32_t logits_max = least(limits->logits_max ? limits->logits_max : limits->sequences, deep);
    struct trial trial = {
        .backend = backend,
        .pace = limits->pace,
        .seq = new_seq(pool, deep),
        .end_ns = clock_now_ns() + CALIBRATE_MS * CLOCK_MS,
    };
    for (uint32_t rows = 1; rows <= rows_max; rows *= 2)
        try_slice(&trial, PACE_BODY, 0, rows, 0);
    for (uint32_t rows = 1; rows <= least(logits_max, rows_max); rows *= 4)
        try_slice(&trial, PACE_HEAD, 0, rows, rows);
    if (deep > 2 * WIDE && rows_max >= WIDE) {
        try_slice(&trial, PACE_NARROW, deep - NARROW, NARROW, 0);
        try_slice(&trial, PACE_WIDE, deep - WIDE, WIDE, 0);
    }
    kv_release(pool, &trial.seq->table);
    seq_free(trial.seq);
}

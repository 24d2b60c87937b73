#include "node/engine/batch.h"

#include "node/engine/kv.h"
#include "node/engine/queue.h"
#include "node/engine/seq.h"
#include "node/engine/speculate.h"

#include "base/mem.h"
#include "base/must.h"

#include <string.h>

struct batch {
    struct batch_limits limits;
    struct kv_pool *pool;
    struct queue *queue;
    struct seq **running; // [sequences], in seq_before() order
    uint32_t running_count;
    uint64_t turns; // sequences that were admitted, since the start
    struct batch_step step;
    struct batch_stats stats;
    bool planned;                // the step has not run yet
    double budget_ms;            // of the step; with a pace
    bool prefilling;             // a slice of the step is prefill
    uint32_t beside;             // steps in a row of decodes and prefill
    bool spent;                  // a chunk was cut to the budget: no other goes in
    uint32_t lesser_rows;        // 0: no bound
    uint32_t calm;               // steps since somebody urgent was about
    bool stirred;                // such a one is in the step
    struct speculate *speculate; // NULL: no drafts
};

struct batch *batch_new(const struct batch_limits *limits, struct kv_pool *pool)
{
    must(limits->sequences > 0 && limits->batch_tokens >= limits->sequences);
    struct batch *batch = mem_new(1, sizeof *batch);
    batch->limits = *limits;
    batch->pool = pool;
    batch->queue = queue_new(&(struct queue_limits){.requests_max = limits->waiting_max,
                                                    .tokens_max = limits->waiting_tokens_max,
                                                    .tenants_max = limits->tenants_max});
    batch->calm = BATCH_CALM_STEPS;
    batch->running = mem_new(limits->sequences, sizeof(struct seq *));
    batch->step.slices = mem_new(limits->sequences, sizeof *batch->step.slices);
    batch->step.seqs = mem_new(limits->sequences, sizeof *batch->step.seqs);
    if (limits->drafts_max == 0) return batch;
    batch->speculate = speculate_new(&(struct speculate_limits){
        .sequences = limits->sequences,
        .drafts_max = limits->drafts_max,
        .logits_max = limits->logits_max ? limits->logits_max : limits->sequences,
        .rows_max = limits->batch_tokens,
    });
    return batch;
}

void batch_free(struct batch *batch)
{
    if (!batch) return;
    must(batch->running_count == 0);
    queue_free(batch->queue);
    speculate_free(batch->speculate);
    mem_free(batch->running);
    mem_free(batch->step.slices);
    mem_free(batch->step.seqs);
    mem_free(batch);
}

/* The waiting room. */

enum err batch_add(struct batch *batch, struct seq *seq)
{
    return queue_add(batch->queue, seq);
}

struct seq *batch_expire(struct batch *batch, uint64_t now_ns)
{
    struct seq *seq = queue_late(batch->queue, now_ns);
    if (seq) queue_leave(batch->queue, seq);
    return seq;
}

/* The running. */

static uint32_t running_place(const struct batch *batch, const struct seq *seq)
{
    uint32_t at = 0;
    while (at < batch->running_count && seq_before(batch->running[at], seq))
        at++;
    return at;
}

static void start_running(struct batch *batch, struct seq *seq)
{
    must(batch->running_count < batch->limits.sequences);
    uint32_t at = running_place(batch, seq);
    memmove(&batch->running[at + 1], &batch->running[at],
            (batch->running_count - at) * sizeof(struct seq *));
    batch->running[at] = seq;
    batch->running_count++;
    if (batch->speculate) speculate_enter(batch->speculate, seq);
}

static void stop_running(struct batch *batch, struct seq *seq)
{
    uint32_t at = running_place(batch, seq);
    must(at < batch->running_count && batch->running[at] == seq);
    batch->running_count--;
    memmove(&batch->running[at], &batch->running[at + 1],
            (batch->running_count - at) * sizeof(struct seq *));
    if (batch->speculate) speculate_leave(batch->speculate, seq);
    kv_release(batch->pool, &seq->table);
    seq->computed = 0;
}

static void preempt(struct batch *batch, struct seq *seq)
{
    queue_pay_drawn(batch->queue, seq);
    stop_running(batch, seq);
    seq_advance(seq, SEQ_PREEMPTED);
    queue_return(batch->queue, seq);
    batch->step.preempted++;
    batch->stats.preemptions++;
}

void batch_remove(struct batch *batch, struct seq *seq)
{
    must(!batch->planned);
    if (seq->state != SEQ_WAITING) {
        queue_pay_drawn(batch->queue, seq);
        stop_running(batch, seq);
    }
    queue_leave(batch->queue, seq);
}

struct seq *batch_find(struct batch *batch, uint64_t ticket)
{
    for (uint32_t i = 0; i < batch->running_count; i++) {
        if (batch->running[i]->ticket == ticket) return batch->running[i];
    }
    struct seq *seq = queue_next(batch->queue, NULL);
    while (seq && seq->ticket != ticket)
        seq = queue_next(batch->queue, seq);
    return seq;
}

struct seq *batch_any(struct batch *batch)
{
    return batch->running_count > 0 ? batch->running[0] : queue_next(batch->queue, NULL);
}

void batch_forget(struct batch *batch, const uint64_t *salt)
{
    must(!batch->planned);
    struct queue *queue = batch->queue;
    for (struct seq *seq = queue_next(queue, NULL); seq; seq = queue_next(queue, seq))
        seq->secluded |= seq_has_salt(seq, salt);
    for (uint32_t i = batch->running_count; i-- > 0;) {
        struct seq *seq = batch->running[i];
        if (!seq_has_salt(seq, salt)) continue;
        seq->secluded = true;
        if (seq->state == SEQ_PREFILL) preempt(batch, seq);
    }
    kv_forget(batch->pool, salt);
}

bool batch_has_salt(const struct batch *batch, uint64_t salt, uint64_t before)
{
    for (uint32_t i = 0; i < batch->running_count; i++) {
        const struct seq *seq = batch->running[i];
        if (seq->ticket < before && seq_has_salt(seq, &salt)) return true;
    }
    const struct seq *seq = queue_next(batch->queue, NULL);
    for (; seq; seq = queue_next(batch->queue, seq))
        if (seq->ticket < before && seq_has_salt(seq, &salt)) return true;
    return false;
}

/* The plan. */

static void add_slice(struct batch *batch, struct seq *seq, uint32_t count)
{
    struct batch_step *step = &batch->step;
    must(count > 0 && step->rows + count <= batch->limits.batch_tokens);
    step->slices[step->count] = (struct forward_slice){
        .ids = seq->ids + seq->computed,
        .count = count,
        .position = seq->computed,
        .table = batch->limits.whole ? NULL : &seq->table,
        .logit_count = seq->computed + count == seq->id_count,
        .hidden = !seq_generates(seq),
    };
    pace_add(&step->cost, seq->computed, count, step->slices[step->count].logit_count);
    if (batch->speculate) speculate_skip(batch->speculate, step->count);
    step->seqs[step->count++] = seq;
    step->rows += count;
}

/* Each decode takes room for the id that it feeds. Those behind it in order give way, the last one first, and
 * they have no slice yet. False: it gave way itself. */
static bool make_room(struct batch *batch, struct seq *seq)
{
    while (kv_extend(batch->pool, &seq->table, 1) != ERR_OK) {
        struct seq *last = batch->running[batch->running_count - 1];
        must(last != seq || batch->running_count > 1); // the pool holds one whole context
        preempt(batch, last);
        if (last == seq) return false;
    }
    return true;
}

static void plan_decodes(struct batch *batch)
{
    for (uint32_t i = 0; i < batch->running_count; i++) {
        struct seq *seq = batch->running[i];
        if (seq->state == SEQ_DECODE && make_room(batch, seq)) add_slice(batch, seq, 1);
    }
}

/* Ids that it need not compute, since their keys and values are there. */
static void skip_to(struct batch *batch, struct seq *seq, uint32_t computed)
{
    batch->stats.hit_tokens += computed - seq->computed;
    seq->computed = computed;
}

static bool is_planned(const struct batch *batch, const struct seq *seq)
{
    for (size_t i = 0; i < batch->step.count; i++) {
        if (batch->step.seqs[i] == seq) return true;
    }
    return false;
}

/* Will `other` compute what both need? It does if it goes first, or has a slice already. */
static bool is_ahead(const struct batch *batch, const struct seq *other, const struct seq *seq)
{
    return other != seq && other->state == SEQ_PREFILL &&
           (seq_before(other, seq) || is_planned(batch, other));
}

/* Is there one ahead of it that will compute its next block? */
static bool awaits_block(const struct batch *batch, const struct seq *seq)
{
    if (!kv_is_awaited(batch->pool, &seq->table, seq->computed)) return false;
    uint32_t index = seq->computed / KV_BLOCK_TOKENS;
    for (uint32_t i = 0; i < batch->running_count; i++) {
        const struct seq *other = batch->running[i];
        if (index < other->table.block_count &&
            other->table.blocks[index] == seq->table.blocks[index] && is_ahead(batch, other, seq))
            return true;
    }
    return false;
}

/* Does `other` know all ids that are left to `seq` but the last, so that it can lend their block? */
static bool is_twin(const struct seq *other, const struct seq *seq)
{
    uint32_t from = seq->computed;
    uint32_t end = seq->id_count - 1;
    struct kv_path path = seq_path(seq);
    struct kv_path other_path = seq_path(other);
    return other != seq && other->id_count >= end &&
           kv_is_twin(&other->table, &other_path, &seq->table, &path, from) &&
           memcmp(other->ids + from, seq->ids + from, (end - from) * sizeof *seq->ids) == 0;
}

/* At the beginning of its last block, and more than the last id is left. */
static bool is_at_tail(const struct seq *seq)
{
    uint32_t end = seq->id_count - 1;
    return seq->computed < end && seq->computed % KV_BLOCK_TOKENS == 0 &&
           end - seq->computed < KV_BLOCK_TOKENS;
}

/* Copy the last block of a twin that has computed it. True: not yet, but there is one ahead that will have. */
static bool awaits_twin(struct batch *batch, struct seq *seq)
{
    bool awaits = false;
    for (uint32_t i = 0; is_at_tail(seq) && i < batch->running_count; i++) {
        const struct seq *other = batch->running[i];
        if (!is_twin(other, seq)) continue;
        if (other->computed >= seq->id_count - 1) {
            kv_copy(batch->pool, &seq->table, &other->table, seq->computed);
            skip_to(batch, seq, seq->id_count - 1);
            return false;
        }
        awaits |= is_ahead(batch, other, seq);
    }
    return awaits;
}

/* May a chunk of prefill join the step? */
static bool has_room(const struct batch *batch)
{
    if (batch->step.rows >= batch->limits.batch_tokens || batch->spent) return false;
    if (!batch->limits.pace || !batch->prefilling) return true;
    struct pace_step more = batch->step.cost;
    pace_add(&more, 0, 1, 0);
    return pace_predict(batch->limits.pace, &more) <= batch->budget_ms;
}

static void plan_prefill(struct batch *batch, struct seq *seq)
{
    if (!has_room(batch)) return;
    uint32_t room = batch->limits.batch_tokens - batch->step.rows;
    skip_to(batch, seq, kv_ready(batch->pool, &seq->table, seq->computed, seq->id_count));
    if (awaits_block(batch, seq) || awaits_twin(batch, seq)) return;
    uint32_t left = seq->id_count - seq->computed;
    struct pace_ask ask = {
        .position = seq->computed,
        .most = left < room ? left : room,
        .first = !batch->prefilling,
        .decoding = batch->step.count > 0, // all that is there before the first chunk
    };
    uint32_t count = ask.most;
    if (batch->limits.pace)
        count = pace_rows(batch->limits.pace, &batch->step.cost, batch->budget_ms, &ask);
    if (count == 0) count = 1; // has_room() found a row's worth
    batch->spent = count < left;
    batch->prefilling = true;
    add_slice(batch, seq, count);
}

void batch_set_lesser_rows(struct batch *batch, uint32_t rows)
{
    batch->lesser_rows = rows;
}

void batch_stir(struct batch *batch)
{
    batch->calm = 0;
}

/* A whole prompt that others wait for no longer than they must: it is not the first of the step. */
static bool gives_way(const struct batch *batch, const struct seq *seq)
{
    bool is_lesser = seq->priority == WIRE_BATCH;
    if (!is_lesser || batch->calm >= BATCH_CALM_STEPS) return false;
    return batch->stirred ||
           (batch->lesser_rows > 0 && batch->step.rows + seq->id_count > batch->lesser_rows);
}

/* Blocks for all that it knows, and one for every running one to grow by: so that who comes does not drive
 * out at once who is there. Alone it is always let in: the pool holds one whole context. */
static bool may_enter(const struct batch *batch, const struct seq *seq)
{
    if (batch->running_count == 0) return true;
    if (batch->running_count >= batch->limits.sequences) return false;
    if (batch->limits.whole)
        return seq->id_count <= batch->limits.batch_tokens - batch->step.rows &&
               !gives_way(batch, seq);
    struct kv_path path = seq_path(seq);
    return kv_cost(batch->pool, &path) + batch->running_count <= kv_blocks_available(batch->pool);
}

/* Ids that it is to compute itself: neither ready, nor about to be by the one with whom it shares the block. */
static uint32_t count_missing(const struct batch *batch, const struct seq *seq)
{
    uint32_t at = seq->computed;
    while (at < seq->id_count && kv_is_awaited(batch->pool, &seq->table, at))
        at = (at / KV_BLOCK_TOKENS + 1) * KV_BLOCK_TOKENS;
    return seq->id_count - at;
}

static void enter(struct batch *batch, struct seq *seq)
{
    queue_take(batch->queue, seq);
    seq_advance(seq, SEQ_ADMITTED);
    if (seq->admissions++ == 0) seq->turn = ++batch->turns;
    start_running(batch, seq);
    if (batch->limits.whole) return;
    struct kv_path path = seq_path(seq);
    enum err err = kv_enter(batch->pool, &seq->table, &path);
    must(err == ERR_OK);
}

static void admit(struct batch *batch)
{
    while (has_room(batch)) {
        struct seq *seq = queue_first(batch->queue);
        if (!seq || !may_enter(batch, seq)) return;
        enter(batch, seq);
        if (batch->limits.whole) {
            batch->stirred |= seq->priority != WIRE_BATCH;
            if (batch->stirred) batch_stir(batch);
            add_slice(batch, seq, seq->id_count);
            queue_pay_prompt(batch->queue, seq, seq->id_count);
            continue;
        }
        plan_prefill(batch, seq);
        queue_pay_prompt(batch->queue, seq, count_missing(batch, seq));
        if (seq->admissions > 1) continue;
        seq->cached_tokens =
            seq->computed < seq->prompt_length ? seq->computed : seq->prompt_length;
    }
}

static void plan_prefills(struct batch *batch)
{
    for (uint32_t i = 0; i < batch->running_count; i++) {
        if (batch->running[i]->state == SEQ_PREFILL) plan_prefill(batch, batch->running[i]);
    }
    if (batch->step.preempted == 0)
        admit(batch); // who was driven out does not come back in this step
}

static bool is_short(const struct seq *seq)
{
    return seq->id_count - seq->computed <= PACE_SHORT_IDS;
}

/* Sequences that need little to begin their answers, as many as matter. */
static uint32_t short_prompts(const struct batch *batch)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < batch->running_count && count < PACE_CROWD_MAX; i++)
        count += batch->running[i]->state == SEQ_PREFILL && is_short(batch->running[i]);
    const struct seq *seq = queue_next(batch->queue, NULL);
    for (; seq && count < PACE_CROWD_MAX; seq = queue_next(batch->queue, seq))
        count += is_short(seq);
    return count;
}

const struct batch_step *batch_plan(struct batch *batch)
{
    must(!batch->planned);
    struct pace *pace = batch->limits.pace;
    struct batch_step *step = &batch->step;
    *step = (struct batch_step){.slices = step->slices, .seqs = step->seqs};
    batch->prefilling = false;
    batch->spent = false;
    batch->stirred = false;
    if (batch->calm < BATCH_CALM_STEPS) batch->calm++;

    for (uint32_t i = 0; i < batch->running_count; i++)
        queue_pay_drawn(batch->queue, batch->running[i]);
    plan_decodes(batch);
    bool decodes = step->count > 0;
    bool rests = pace && decodes && batch->beside >= PACE_BESIDE_MAX;
    if (pace) batch->budget_ms = pace_budget(pace, &step->cost, short_prompts(batch));
    if (!rests) plan_prefills(batch);
    batch->beside = decodes && batch->prefilling ? batch->beside + 1 : 0;
    if (batch->speculate && step->preempted == 0 && !batch->prefilling && !rests)
        speculate_plan(batch->speculate, step, batch->pool, pace);
    batch->planned = true;
    return step;
}

/* `count` more ids are computed and accepted. */
static void accept(struct batch *batch, struct seq *seq, uint32_t count)
{
    seq->computed += count;
    if (batch->limits.whole) return;
    struct kv_path path = seq_path(seq);
    kv_settle(batch->pool, &seq->table, &path, seq->computed);
}

void batch_ran(struct batch *batch)
{
    must(batch->planned);
    batch->planned = false;
    for (size_t i = 0; i < batch->step.count; i++) {
        struct seq *seq = batch->step.seqs[i];
        const struct forward_slice *slice = &batch->step.slices[i];
        uint32_t drafts = slice->logit_count > 1 ? slice->logit_count - 1 : 0;
        if (seq->state == SEQ_PREFILL) batch->stats.miss_tokens += slice->count;
        accept(batch, seq, slice->count - drafts);
        if (seq->state == SEQ_PREFILL && seq->computed == seq->id_count)
            seq_advance(seq, SEQ_PROMPT_DONE);
    }
}

const struct batch_stats *batch_stats(const struct batch *batch)
{
    return &batch->stats;
}

bool batch_took(struct batch *batch, size_t index, uint32_t row)
{
    must(!batch->planned && index < batch->step.count);
    if (!batch->speculate) return false;
    return speculate_took(batch->speculate, &batch->step, batch->pool, index, row);
}

uint32_t batch_running(const struct batch *batch)
{
    return batch->running_count;
}

uint32_t batch_waiting(const struct batch *batch)
{
    return queue_count(batch->queue);
}

const struct seq *batch_running_at(const struct batch *batch, uint32_t place)
{
    must(place < batch->running_count);
    return batch->running[place];
}

const struct queue *batch_queue(const struct batch *batch)
{
    return batch->queue;
}

static uint64_t tokens_to_prefill(const struct seq *seq)
{
    return seq->state == SEQ_DECODE ? 0 : seq->id_count - seq->computed;
}

uint64_t batch_waiting_tokens(const struct batch *batch)
{
    uint64_t tokens = queue_tokens(batch->queue);
    for (uint32_t i = 0; i < batch->running_count; i++)
        tokens += tokens_to_prefill(batch->running[i]);
    return tokens;
}

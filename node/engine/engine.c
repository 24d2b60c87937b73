#include "node/engine/engine.h"

#include "node/engine/seq.h"

#include "kernels/cpu.h"

#include "base/clock.h"
#include "base/mailbox.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/wipe.h"

#include <stdatomic.h>

enum order_kind {
    ORDER_SUBMIT,
    ORDER_CANCEL,
    ORDER_FORGET,
    ORDER_STOP
};

struct order {
    enum order_kind kind;
    struct seq *seq; // SUBMIT
    uint64_t ticket; // CANCEL
    struct engine_forget forget;
};

struct engine {
    struct engine_backend backend;
    struct kv_pool *pool;
    struct batch *batch;
    struct scans *scans; // NULL: there is no scanner
    struct pace *pace;   // the batch's; NULL: none
    struct sampler *sampler;
    uint32_t item_max; // of one report
    struct mailbox *inbox;
    struct mailbox *outbox;
    struct mailbox *blank;        // reports that were given back
    struct engine_report *report; // being written; NULL: none yet
    struct engine_load load;
    bool more_changes; // of the prefix cache than the latest report had room for
    bool stopping;
    _Atomic uint64_t step_started_ns; // 0 between steps
    _Atomic uint32_t forgets;         // that wait in the inbox, or for what has their salt
    struct engine_forget waits[ENGINE_FORGETS]; // for what has their salt
    size_t wait_count;
    atomic_bool forget_all;
};

struct engine *engine_new(const struct engine_options *options)
{
    struct engine *engine = mem_new(1, sizeof *engine);
    engine->backend = options->backend;
    engine->pool = options->pool;
    kv_watch(engine->pool);
    struct batch_limits limits = options->limits;
    limits.whole = options->backend.whole;
    engine->batch = batch_new(&limits, options->pool);
    if (options->scanner.begin)
        engine->scans = scans_new(&(struct scans_limits){.waiting_max = limits.waiting_max,
                                                         .tenants_max = limits.tenants_max},
                                  &options->scanner);
    engine->pace = options->limits.pace;
    engine->sampler = sampler_new(options->backend.vocab_size, options->ops);
    sampler_use_team(engine->sampler, options->team);
    engine->item_max = options->limits.sequences + (engine->scans ? ENGINE_SCANS : 0);
    engine->inbox = mailbox_new(options->orders_max + ENGINE_FORGETS);
    engine->outbox = mailbox_new(ENGINE_REPORTS);
    engine->blank = mailbox_new(ENGINE_REPORTS);
    for (size_t i = 0; i < ENGINE_REPORTS; i++) {
        size_t size = sizeof(struct engine_report) + engine->item_max * sizeof(struct engine_item);
        must(mailbox_put(engine->blank, mem_new(1, size)));
    }
    return engine;
}

void engine_free(struct engine *engine)
{
    if (!engine) return;
    must(mailbox_count(engine->outbox) == 0);
    for (void *order; (order = mailbox_take(engine->inbox)) != NULL;)
        mem_free(order); // cancels that came after the stop
    for (void *report; (report = mailbox_take(engine->blank)) != NULL;)
        mem_free(report);
    mem_free(engine->report);
    mailbox_free(engine->inbox);
    mailbox_free(engine->outbox);
    mailbox_free(engine->blank);
    sampler_free(engine->sampler);
    scans_free(engine->scans);
    batch_free(engine->batch);
    mem_free(engine);
}

/* Orders, from the service's thread. */

static void put_order(struct engine *engine, struct order order)
{
    struct order *message = mem_new(1, sizeof *message);
    *message = order;
    must(mailbox_put(engine->inbox, message));
}

void engine_submit(struct engine *engine, struct seq *seq)
{
    put_order(engine, (struct order){.kind = ORDER_SUBMIT, .seq = seq});
}

void engine_cancel(struct engine *engine, uint64_t ticket)
{
    put_order(engine, (struct order){.kind = ORDER_CANCEL, .ticket = ticket});
}

bool engine_forget(struct engine *engine, const struct engine_forget *forget)
{
    if (atomic_load(&engine->forgets) >= ENGINE_FORGETS) {
        atomic_store(&engine->forget_all, true);
        return false;
    }
    atomic_fetch_add(&engine->forgets, 1);
    put_order(engine, (struct order){.kind = ORDER_FORGET, .forget = *forget});
    return true;
}

void engine_stop(struct engine *engine)
{
    put_order(engine, (struct order){.kind = ORDER_STOP});
}

struct engine_report *engine_take(struct engine *engine)
{
    return mailbox_take(engine->outbox);
}

void engine_give(struct engine *engine, struct engine_report *report)
{
    must(mailbox_put(engine->blank, report));
}

struct mailbox *engine_outbox(struct engine *engine)
{
    return engine->outbox;
}

const struct batch *engine_batch(const struct engine *engine)
{
    return engine->batch;
}

uint64_t engine_step_age_ns(const struct engine *engine, uint64_t now_ns)
{
    uint64_t started_ns = atomic_load(&engine->step_started_ns);
    return started_ns > 0 && now_ns > started_ns ? now_ns - started_ns : 0;
}

/* Reports. */

static void send_report(struct engine *engine)
{
    if (!engine->report) return;
    const struct scans *scans = engine->scans;
    engine->load.running = batch_running(engine->batch) + (scans ? scans_running(scans) : 0);
    engine->load.waiting = batch_waiting(engine->batch) + (scans ? scans_waiting(scans) : 0);
    engine->load.waiting_tokens = batch_waiting_tokens(engine->batch);
    engine->load.kv = kv_count_blocks(engine->pool);
    engine->load.batch = *batch_stats(engine->batch);
    engine->report->load = engine->load;
    engine->report->change_count =
        kv_changes(engine->pool, engine->report->changes, ENGINE_CHANGES);
    engine->more_changes = engine->report->change_count == ENGINE_CHANGES;
    must(mailbox_put(engine->outbox, engine->report)); // there are no more of them than room
    engine->report = NULL;
}

static struct engine_report *open_report(struct engine *engine)
{
    while (!engine->report) {
        engine->report = mailbox_take(engine->blank);
        if (engine->report)
            engine->report->item_count = engine->report->forgotten_count = 0;
        else
            mailbox_wait(engine->blank, UINT64_MAX);
    }
    return engine->report;
}

static struct engine_item *add_item(struct engine *engine, struct seq *seq)
{
    if (engine->report && engine->report->item_count == engine->item_max) send_report(engine);
    struct engine_report *report = open_report(engine);
    struct engine_item *item = &report->items[report->item_count++];
    item->seq = seq;
    item->sampled = false;
    item->answered = false;
    item->end = false;
    return item;
}

/* An end without an id: `seq` is out of the batch already. */
static void give_back(struct engine *engine, struct seq *seq)
{
    seq_advance(seq, SEQ_ENDED);
    add_item(engine, seq)->end = true;
}

static void end_with(struct engine *engine, struct seq *seq, enum err err, const char *note)
{
    seq->err = err;
    seq->note = note;
    give_back(engine, seq);
}

static bool is_scan(const struct seq *seq)
{
    return seq->kind == WIRE_SCAN;
}

static void cancel(struct engine *engine, struct seq *seq)
{
    if (is_scan(seq))
        scans_remove(engine->scans, seq);
    else
        batch_remove(engine->batch, seq);
    seq->finish = WIRE_FINISH_CANCELED;
    give_back(engine, seq);
}

/* In between two steps. */

static enum err add(struct engine *engine, struct seq *seq)
{
    must(!is_scan(seq) || engine->scans);
    if (is_scan(seq) && seq->priority != WIRE_BATCH)
        batch_stir(engine->batch); // it waits for the step, too
    return is_scan(seq) ? scans_add(engine->scans, seq) : batch_add(engine->batch, seq);
}

static struct seq *find(struct engine *engine, uint64_t ticket)
{
    struct seq *seq = batch_find(engine->batch, ticket);
    return seq || !engine->scans ? seq : scans_find(engine->scans, ticket);
}

static struct seq *expire(struct engine *engine, uint64_t now_ns)
{
    struct seq *seq = batch_expire(engine->batch, now_ns);
    return seq || !engine->scans ? seq : scans_expire(engine->scans, now_ns);
}

static struct seq *any(struct engine *engine)
{
    struct seq *seq = batch_any(engine->batch);
    return seq || !engine->scans ? seq : scans_any(engine->scans);
}

static void obey(struct engine *engine, const struct order *order)
{
    struct seq *seq;
    switch (order->kind) {
    case ORDER_SUBMIT:
        if (add(engine, order->seq) != ERR_OK)
            end_with(engine, order->seq, ERR_BUSY, "the waiting room is full");
        break;
    case ORDER_CANCEL:
        seq = find(engine, order->ticket);
        if (seq) cancel(engine, seq);
        break;
    case ORDER_FORGET:
        batch_forget(engine->batch, &order->forget.salt);
        engine->waits[engine->wait_count++] = order->forget; // `forgets` bounds them
        open_report(engine);                                 // tells its load
        break;
    case ORDER_STOP: engine->stopping = true; break;
    }
}

/* Tell of those whose salt nothing has any more. The report is the turn's last: what has ended stands in it or before it. */
static void settle_forgets(struct engine *engine)
{
    size_t left = 0;
    for (size_t i = 0; i < engine->wait_count; i++) {
        const struct engine_forget wait = engine->waits[i];
        if (batch_has_salt(engine->batch, wait.salt, wait.before)) {
            engine->waits[left++] = wait;
            continue;
        }
        atomic_fetch_sub(&engine->forgets, 1);
        if (wait.serial == 0) continue;
        struct engine_report *report = open_report(engine);
        report->forgotten[report->forgotten_count++] = wait;
    }
    engine->wait_count = left;
}

static void take_orders(struct engine *engine, uint64_t now_ns)
{
    if (kv_tick(engine->pool, now_ns) > 0) open_report(engine); // tells what is cached no more
    for (struct order *order; (order = mailbox_take(engine->inbox)) != NULL;) {
        obey(engine, order);
        mem_free(order);
    }
    // Set before whatever was submitted after it.
    if (atomic_exchange(&engine->forget_all, false)) batch_forget(engine->batch, NULL);
    for (struct seq *seq; (seq = expire(engine, now_ns)) != NULL;)
        end_with(engine, seq, ERR_TIMEOUT, "the deadline passed in the waiting room");
    if (!engine->stopping) return;
    for (struct seq *seq; (seq = any(engine)) != NULL;)
        cancel(engine, seq);
}

/* One step. */

static void smooth(float *average, float sample)
{
    *average = *average == 0 ? sample : *average + (sample - *average) / 16;
}

/* What came of a step. */
struct yield {
    uint32_t decoded;  // ids of sequences that were decoding before it
    uint32_t accepted; // of them, drafts that came true
};

static void measure(struct engine *engine, const struct batch_step *step, struct yield yield,
                    uint64_t took_ns)
{
    struct engine_load *load = &engine->load;
    uint32_t prefill_rows = step->rows - step->drafts - (yield.decoded - yield.accepted);
    float seconds = (float)(took_ns + 1) / 1e9f;
    float step_us = (float)load->step_us;
    smooth(&step_us, (float)took_ns / 1e3f);
    load->step_us = (uint32_t)step_us;
    if (yield.decoded > 0) smooth(&load->decode_rate, (float)yield.decoded / seconds);
    if (prefill_rows > 0) smooth(&load->prefill_rate, (float)prefill_rows / seconds);
    load->steps++;
    load->drafted += step->drafts;
    load->accepted += yield.accepted;
    if (!engine->pace) return;
    pace_learn(engine->pace, &step->cost, (double)took_ns / 1e6);
    load->pace_error = (float)engine->pace->error;
}

/* The next id of a sequence from its row; an end takes it out of the batch and releases its blocks. False: it has
 * ended. */
static bool sample_one(struct engine *engine, struct seq *seq, float *logits)
{
    struct engine_item *item = add_item(engine, seq);
    struct sampler_place place = {.choice = seq->key.choice, .position = seq->id_count};
    enum err err =
        sampler_draw(engine->sampler, logits, &seq->sampling, &seq->counts, &place, &item->pick);
    if (err) {
        seq->err = err;
        seq->note = "the model's logits are not finite numbers";
    } else {
        item->sampled = true;
        item->position = seq->id_count;
        item->cached_tokens = seq->cached_tokens;
        seq->finish = seq_append(seq, item->pick.id);
    }
    if (!err && seq->finish == WIRE_FINISH_NONE) return true;
    batch_remove(engine->batch, seq);
    seq_advance(seq, err ? SEQ_ENDED : SEQ_FINISHED);
    item->end = true;
    return false;
}

/* What a backend has made of a whole prompt. */
static void answer_one(struct engine *engine, struct seq *seq, size_t row)
{
    struct engine_item *item = add_item(engine, seq);
    must(engine->backend.answer);
    seq->err = engine->backend.answer(engine->backend.self, row, seq);
    if (!seq->err && !answer_is_finite(&seq->answer)) {
        seq->err = ERR_INTERNAL;
        seq->note = "the model's answer is not of finite numbers";
    }
    batch_remove(engine->batch, seq);
    seq_advance(seq, seq->err ? SEQ_ENDED : SEQ_FINISHED);
    seq->finish = seq->err ? WIRE_FINISH_NONE : WIRE_FINISH_STOP;
    item->cached_tokens = seq->cached_tokens;
    item->answered = !seq->err;
    item->end = true;
}

/* Row by row, as far as drafts come true: each draw is the one that plain decoding would make there. */
static uint32_t sample_slice(struct engine *engine, const struct batch_step *step, size_t index,
                             size_t first_row)
{
    struct seq *seq = step->seqs[index];
    uint32_t row = 0;
    for (;;) {
        float *logits = engine->backend.logits(engine->backend.self, first_row + row);
        bool goes_on = sample_one(engine, seq, logits);
        if (!goes_on || !batch_took(engine->batch, index, row)) return row + 1;
        row++;
    }
}

static struct yield sample(struct engine *engine, const struct batch_step *step)
{
    struct yield yield = {0};
    size_t row = 0;
    for (size_t i = 0; i < step->count; i++) {
        const struct forward_slice *slice = &step->slices[i];
        if (slice->logit_count == 0) continue;
        if (!seq_generates(step->seqs[i])) {
            answer_one(engine, step->seqs[i], row++);
            continue;
        }
        bool decodes = slice->count == slice->logit_count; // or the one id that a prompt lacked
        uint32_t drawn = sample_slice(engine, step, i, row);
        if (decodes) yield.decoded += drawn;
        yield.accepted += drawn - 1;
        row += slice->logit_count;
    }
    return yield;
}

static uint64_t step_clock_ns(const struct engine *engine)
{
    return engine->backend.clock_ns ? engine->backend.clock_ns() : clock_now_ns();
}

static void run_step(struct engine *engine, const struct batch_step *step)
{
    uint64_t started_ns = step_clock_ns(engine);
    atomic_store(&engine->step_started_ns, clock_now_ns());
    engine->backend.step(engine->backend.self, step->slices, step->seqs, step->count);
    batch_ran(engine->batch);
    struct yield yield = sample(engine, step);
    atomic_store(&engine->step_started_ns, 0);
    measure(engine, step, yield, step_clock_ns(engine) - started_ns);
    open_report(engine); // a step without an id still tells its load
}

/* Searches, for a while. */
static bool run_scans(struct engine *engine)
{
    if (!engine->scans) return false;
    atomic_store(&engine->step_started_ns, clock_now_ns());
    bool busy = scans_turn(engine->scans);
    atomic_store(&engine->step_started_ns, 0);
    for (struct seq *seq; busy && (seq = scans_done(engine->scans)) != NULL;) {
        struct engine_item *item = add_item(engine, seq);
        must(answer_is_finite(&seq->answer)); // wire/message.h bounds what it is made of
        seq_advance(seq, SEQ_FINISHED);
        seq->finish = WIRE_FINISH_STOP;
        item->answered = true;
        item->end = true;
    }
    return busy;
}

/* What is computed in ENGINE_LESSER_MS, by the rate so far. */
static uint32_t lesser_rows(const struct engine *engine)
{
    return 1 + (uint32_t)(engine->load.prefill_rate * ENGINE_LESSER_MS / 1000);
}

bool engine_turn(struct engine *engine, uint64_t now_ns)
{
    take_orders(engine, now_ns);
    batch_set_lesser_rows(engine->batch, lesser_rows(engine));
    const struct batch_step *step = batch_plan(engine->batch);
    bool busy = step->count > 0;
    if (busy)
        run_step(engine, step);
    else
        batch_ran(engine->batch);
    busy |= run_scans(engine);
    settle_forgets(engine);
    send_report(engine);
    while (engine->more_changes) {
        open_report(engine);
        send_report(engine);
    }
    return busy;
}

/* Or until a cached block is to be forgotten: one that came to rest in this turn is due later than the turn's beginning. */
static void wait_for_orders(struct engine *engine, uint64_t now_ns)
{
    uint64_t due_ns = kv_due_ns(engine->pool);
    uint64_t wait_ns = due_ns > now_ns ? due_ns - now_ns : 0;
    mailbox_wait(engine->inbox, due_ns == UINT64_MAX ? UINT64_MAX : wait_ns);
}

void *engine_run(void *argument)
{
    struct engine *engine = argument;
    cpu_float_mode_set(); // it leads the compute threads, and samples
    while (!engine->stopping) {
        uint64_t now_ns = clock_now_ns();
        if (engine_turn(engine, now_ns) || engine->stopping) continue;
        wipe_stack();
        wait_for_orders(engine, now_ns);
    }
    return NULL;
}

/* node/engine/engine.h -- the engine: ids in, ids out. One thread owns the pool, the batch and every sequence.
 *
 *      service ---- inbox: orders -----> [ take | plan | step | sample | emit ] ---- outbox: reports ---> service
 *              <--------------------------------- sequences come back with their end ----------------
 *
 * The world reaches it only through orders and hears from it only through reports. Orders are taken in between
 * two steps, never in the middle of one, so a step sees a world that stands still and a cancel frees its
 * blocks within one step. Each sequence that was submitted comes back in exactly one item with `end` set, after
 * which it is the taker's again; nothing follows an end.
 *
 * A sequence that does not generate is answered when its prompt has been computed, by the backend's own numbers
 * (answer.h); else it goes the same way: one queue, one batch, one prefix cache.
 *
 * A search among vectors goes a way of its own (scans.h): between two steps, for a while each time.
 *
 * What computes is a table of functions: the transformer (node/compute.c), the echo (echo.h), a
 * fake in tests.
 *
 * Backpressure: there are ENGINE_REPORTS reports; the engine waits until one is given back, so a service that
 * stalls stalls the engine instead of growing a queue. */
#ifndef NODE_ENGINE_ENGINE_H
#define NODE_ENGINE_ENGINE_H

#include "node/engine/batch.h"
#include "node/engine/kv.h"
#include "node/engine/prefix.h"
#include "node/engine/sampler.h"
#include "node/engine/scans.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mailbox;
struct ops;
struct seq;
struct team;

enum {
    ENGINE_REPORTS = 8,
    ENGINE_FORGETS = 64,
    ENGINE_CHANGES = 512, // of the prefix cache, in one report
    ENGINE_LESSER_MS = 4  // of whole prompts of the batch class, while others come (batch.h)
};

/* What turns rows into logits. Its owner keeps it alive while the engine runs; called by the engine's thread. */
struct engine_backend {
    void *self;
    uint32_t vocab_size;
    bool
        whole; // every prompt comes as one slice, whole and without a table: no chunks, no prefix cache
    /* Compute the step; slice i belongs to seqs[i], which is only to be read. */
    void (*step)(void *self, const struct forward_slice *slices, struct seq *const *seqs,
                 size_t count);
    /* Row `index` of the logits asked for, in the order of slices; [vocab_size], may be changed in place. */
    float *(*logits)(void *self, size_t index); // NULL: it generates nothing
    /* Fill seq->answer, for what does not generate; its prompt ended in the step that ran, and row `index` of those asked
     * for (as in logits) is its last one. An error ends it, with seq->note (static text). NULL: it only generates. */
    enum err (*answer)(void *self, size_t index, struct seq *seq);
    /* What steps are timed with, for the pace and the load; NULL: clock_now_ns(). */
    uint64_t (*clock_ns)(void);
};

struct engine_options {
    struct engine_backend backend;
    const struct ops *ops; // the sampler's; outlives the engine
    struct team *team;     // the sampler's, led by the engine's thread; NULL for none
    struct kv_pool *pool;
    struct batch_limits limits;    // `whole` is the backend's
    struct engine_scanner scanner; // all NULL: no SCAN is ever submitted
    uint32_t orders_max;           // orders that can wait at once: the sender's own bound
};

/* What is to be forgotten, and whom to tell when nothing is left of it. */
struct engine_forget {
    uint64_t salt;
    uint64_t before; // the first ticket that was given out later
    uint64_t link;   // who asked, and what for: the engine does not look…
    uint64_t serial; // …but for 0: nobody waits for an answer
};

/* One id, or one end, or both. */
struct engine_item {
    struct seq *seq;        // the taker's again when `end`; else only its born-with fields are read
    bool sampled;           // an id was drawn
    bool answered;          // seq->answer is there; it has ended too
    bool end;               // finish, err and note of the sequence say how
    uint32_t position;      // of the id
    uint32_t cached_tokens; // with an id: the sequence's
    struct sampler_pick pick;
};

/* A snapshot after a step, for LOAD. */
struct engine_load {
    uint32_t running;
    uint32_t waiting;
    uint64_t waiting_tokens;
    struct kv_count kv; // held, cached and free are all
    uint32_t step_us;   // smoothed over ~16 steps
    float prefill_rate; // tokens/s, smoothed
    float decode_rate;
    uint64_t steps; // since the start
    struct batch_stats batch;
    uint64_t drafted;  // rows for guessed ids, since the start
    uint64_t accepted; // of them, ids that were drawn
    float pace_error;  // |measured - predicted| / predicted of a step, smoothed; 0 without a pace
};

struct engine_report {
    struct engine_load load;
    struct prefix_change changes[ENGINE_CHANGES]; // of the prefix cache, in the order of time
    size_t change_count;
    struct engine_forget forgotten[ENGINE_FORGETS]; // with a serial, and done after all items
    size_t forgotten_count;
    size_t item_count;
    struct engine_item items[]; // [as many sequences as can run at once, searches included]
};

struct engine;

struct engine *engine_new(const struct engine_options *options);
/* After engine_run() has returned and every report was taken. */
void engine_free(struct engine *engine);

/* The thread's body; returns after engine_stop(), when every sequence has been given back. */
void *engine_run(void *engine);
/* One turn: take orders, and run a step if there is one. False: there was nothing to compute. For tests, and
 * for engine_run(). */
bool engine_turn(struct engine *engine, uint64_t now_ns);

/* From one other thread (the service's). A full inbox is the sender's broken promise (orders_max). */
void engine_submit(struct engine *engine, struct seq *seq);
/* Ends the sequence as CANCELED; a ticket that is gone already is ignored. */
void engine_cancel(struct engine *engine, uint64_t ticket);
/* Forget every cached block under the salt, before anything that is submitted later is looked at. A report tells when nothing is left:
 * when what had the salt has ended as well. Of more than ENGINE_FORGETS that wait, the later ones become one, to forget everything, and
 * nobody is told: false. */
bool engine_forget(struct engine *engine, const struct engine_forget *forget);
/* Cancel everything, then return from engine_run(). */
void engine_stop(struct engine *engine);

/* Reports, oldest first; NULL when none. Each is to be given back. */
struct engine_report *engine_take(struct engine *engine);
void engine_give(struct engine *engine, struct engine_report *report);
/* Readable while a report waits; hush before taking until empty (base/mailbox.h). */
struct mailbox *engine_outbox(struct engine *engine);

/* To look at, for checks: from the engine's thread, between turns or inside of backend.step(). */
const struct batch *engine_batch(const struct engine *engine);

/* How long the step that runs now has taken; 0 between steps. Any thread. */
uint64_t engine_step_age_ns(const struct engine *engine, uint64_t now_ns);

#endif

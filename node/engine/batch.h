/* node/engine/batch.h -- pure: who runs in the next step, with how many tokens, and on which blocks.
 *
 *   waiting (queue.h)          running, seq_before() order            one step: at most `batch_tokens` rows
 *   interactive  [ e f ]       [ a:decode  b:decode  c:prefill ]      [ a:1 | b:1 | c:62 ]
 *   default      [ g ]                                                  decode    what is left
 *   batch        [ ]
 *
 * - Each running decode gets its one row in every step, before anything else: sequences <= batch_tokens is a
 *   promise of the caller, so decode never waits for prefill. What is left goes to prefill, in seq_before() order: a
 *   class before the lesser ones, then who was admitted first. So fairness is decided once, at admission: whom the
 *   queue chose before computes before, however early the others came, and nobody is admitted while those who run have
 *   use for the whole step.
 * - Admission is as the queue says: classes, and within a class tenants by what they have been served. A sequence is
 *   admitted when the pool has blocks for all that it knows and one more for every running one; alone, always. Where
 *   the next one does not fit, nobody passes it. It takes the blocks of its known ids at once, so prefill cannot fail
 *   midway: those that the prefix cache has by reference (kv.h), and it begins behind them.
 * - Nothing is computed twice at the same time. A sequence whose next block is also held by one before it in order
 *   that is still at its prefill waits for that one; so does a twin at the end of its prompt, which then copies the
 *   partly filled block. Who is first in order waits for nobody, so somebody always moves on; and when the other one
 *   goes away or loses its blocks, the next holder computes.
 * - Ids are known to the cache from when they are computed and accepted (seq->computed) on; batch_ran() says so for
 *   what ran.
 * - When a decode finds the pool empty, the last in order among the running loses its blocks and goes back to
 *   the front of its tenant's line with its ids: the first in order always moves on. It keeps its place in order, and
 *   pays no second time for its prompt.
 * - With a pace, prefill beside decodes is cut to what fits into the step's milliseconds (pace.h), and a step of
 *   decodes alone may carry drafts where they make more ids per millisecond (speculate.h).
 * - `whole`: each step has as many whole prompts as it has rows for, and they are done with it. Nothing runs from one
 *   step to the next, and the pool is not touched. While there are urgent ones about (of a class above batch; batch_stir()), who
 *   wait for no longer than a step, those of the batch class do not join them, and make short steps among themselves:
 *   `lesser_rows` rows, or one prompt. After BATCH_CALM_STEPS steps without any they have whole steps again.
 * - A sequence that waits for its first admission past its deadline is ended (ERR_TIMEOUT).
 *
 * Thread: the engine's. Time is an argument; nothing is allocated after batch_new(). */
#ifndef NODE_ENGINE_BATCH_H
#define NODE_ENGINE_BATCH_H

#include "node/engine/step.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kv_pool;
struct queue;
struct seq;

enum {
    BATCH_CALM_STEPS = 64
};

struct batch_limits {
    uint32_t batch_tokens; // rows of one step; >= sequences
    uint32_t sequences;    // running at once
    uint32_t waiting_max;  // the waiting room, all classes; the preempted come back in any case
    uint64_t waiting_tokens_max; // ids of those who wait; 0: as many as come (queue.h)
    uint32_t tenants_max;        // with a line of their own; 0: QUEUE_TENANTS
    struct pace *pace;   // outlives the batch; NULL: prefill takes all that there is, as drafts do
    uint32_t drafts_max; // of one sequence in a step, <= LOOKUP_DRAFTS_MAX; 0: none
    bool whole;          // prompts are not cut (engine.h); none is longer than batch_tokens
    uint32_t logits_max; // rows of a step that ask for logits, >= sequences; 0: sequences
};

/* Since the start. */
struct batch_stats {
    uint64_t hit_tokens;  // ids that needed no prefill, since their keys and values were there
    uint64_t miss_tokens; // ids that were prefilled
    uint64_t preemptions;
};

struct batch;

struct batch *batch_new(const struct batch_limits *limits, struct kv_pool *pool);
/* Must be empty. */
void batch_free(struct batch *batch);

/* ERR_BUSY: the waiting room is full. */
enum err batch_add(struct batch *batch, struct seq *seq);
/* The sequence with this ticket, waiting or running; NULL: there is none. */
struct seq *batch_find(struct batch *batch, uint64_t ticket);
/* Take a sequence out, wherever it is, and release its blocks: at its end, or when it is canceled. */
void batch_remove(struct batch *batch, struct seq *seq);
/* Forget what is cached under a salt; NULL: under every one. Sequences that share under it go on and share no more; those at their prefill
 * begin anew, for others may hold their blocks. */
void batch_forget(struct batch *batch, const uint64_t *salt);
/* Is one of those with a ticket below `before` here that has this salt? */
bool batch_has_salt(const struct batch *batch, uint64_t salt, uint64_t before);
/* A waiting sequence whose deadline has passed, taken out; NULL: no more. */
struct seq *batch_expire(struct batch *batch, uint64_t now_ns);

/* Rows that a step of the batch class has while urgent ones are about; 0: as many as any. */
void batch_set_lesser_rows(struct batch *batch, uint32_t rows);
/* Somebody urgent is about, here or beside the batch. */
void batch_stir(struct batch *batch);
/* Decide the next step; empty when nothing is waiting or running. Valid until the next call. */
const struct batch_step *batch_plan(struct batch *batch);
/* The step has run: what it computed counts from now on, but for drafts. Follows each plan, before anything else. */
void batch_ran(struct batch *batch);
/* After batch_ran(): the id of row `row` of slice `index`'s logits was drawn and appended, and the sequence goes on.
 * True: the slice's next row is the next id's. False: what the slice has beyond does not count. */
bool batch_took(struct batch *batch, size_t index, uint32_t row);

const struct batch_stats *batch_stats(const struct batch *batch);
uint32_t batch_running(const struct batch *batch);
uint32_t batch_waiting(const struct batch *batch);
/* Ids known and not yet computed, over all sequences, beyond the one that each decode feeds. */
uint64_t batch_waiting_tokens(const struct batch *batch);
/* Any sequence, to empty the batch at the end; NULL: empty. */
struct seq *batch_any(struct batch *batch);

/* To look at, for checks: the running one at a place below batch_running(), and who waits. */
const struct seq *batch_running_at(const struct batch *batch, uint32_t place);
const struct queue *batch_queue(const struct batch *batch);

#endif

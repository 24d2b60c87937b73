/* node/engine/speculate.h -- pure: drafts in a step of decodes, and which of them come true.
 *
 *      ids     [ ... the cat sat on ]  the   mat                drafts of the lookup
 *      slice                 [  on  ,  the , mat ]  3 rows, logits for each
 *      drawn                    the    mat   .                  1 + 2: all came true; or
 *      drawn                    the    rug                      1 + 1: the third row never counted
 *
 * The lookup (lookup.h) proposes, draft.h says how many rows are worth it, the draws are those of plain decoding, at
 * the same positions with the same counts. An answer is the same with drafts and without, and a wrong draft's keys
 * and values are dropped from the table before anybody can share them.
 *
 * Thread: the engine's. Nothing is allocated after speculate_new(). */
#ifndef NODE_ENGINE_SPECULATE_H
#define NODE_ENGINE_SPECULATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct batch_step;
struct kv_pool;
struct pace;
struct seq;
struct speculate;

enum {
    SPECULATE_SEQUENCES_MAX = 64 // that can have drafts at once: beyond, a row is never worth it
};

struct speculate_limits {
    uint32_t sequences;  // running at once
    uint32_t drafts_max; // of one sequence in a step, <= LOOKUP_DRAFTS_MAX
    uint32_t logits_max; // rows of a step that ask for logits
    uint32_t rows_max;   // of a step
};

struct speculate *speculate_new(const struct speculate_limits *limits);
void speculate_free(struct speculate *speculate);

/* A sequence runs: it gets a lookup, if there is one; and gives it back. */
void speculate_enter(struct speculate *speculate, struct seq *seq);
void speculate_leave(struct speculate *speculate, struct seq *seq);

/* Begin with a step: slice `index` has no drafts. */
void speculate_skip(struct speculate *speculate, size_t index);
/* Add drafts to a step of decodes alone, by draft.h and its `pace`. Ids behind a sequence's last one are written, its count is not changed. */
void speculate_plan(struct speculate *speculate, struct batch_step *step, struct kv_pool *pool,
                    const struct pace *pace);
/* The id of row `row` of slice `index`'s logits was drawn and appended, and the sequence goes on. True: it is the
 * draft that the next row was computed for. False: what was computed beyond is dropped. */
bool speculate_took(struct speculate *speculate, const struct batch_step *step,
                    struct kv_pool *pool, size_t index, uint32_t row);

#endif

/* node/engine/pace.h -- pure: how many milliseconds a step will take, and how much prefill fits into it.
 *
 *      predicted = drift * ( body[rows] + head[logits] + narrow * depth of narrow slices
 *                                                      + wide   * depth of wide ones )
 *
 *      body   ms |                 __--o      piecewise linear between knots of rows: the weights are read once,
 *                |          __--o--           so a few rows cost about what one costs, and many cost by the row
 *                |  o--o--o-                  head is the same over rows of logits, with what sampling takes
 *                +--1--8--16----64---256
 *
 *      depth     the sum over a slice's rows of the positions that each sees: what attention costs. Slices of few
 *                rows (decode, drafts) and of many (prefill) have a price each: many rows share the reading of keys
 *      drift     how much slower or faster than the shape says the machine is now
 *
 * Every measured step moves what it used, in proportion to its share of the prediction, and the drift. Errors are
 * cut before they count, so that a step in which the machine was away for a moment moves little. The knots
 * are kept in order: more rows never cost less, nor more by the row; so knots that no step has used follow their
 * neighbours. Before the first step it holds a cautious shape whose scale the first measurements set.
 *
 * Budgets: while answers are being generated a step with prefill in it may take `stretch_percent` of what the same
 * step without prefill would take, or `step_ms` if that is set; without answers PACE_ALONE_MS, so that who comes is
 * not kept waiting. What a prompt may add to a step counts for each short one that waits, up to PACE_CROWD_MAX: long
 * prompts do not slow the answers down by more than the stretch, and short ones do not wait for one another in turn. Prefill always moves on by a few rows. After PACE_BESIDE_MAX steps with both, one goes without
 * prefill, so that what answers take alone stays measured. Output bytes never depend on how a prompt is cut.
 *
 * Thread: one owner. Time is an argument. */
#ifndef NODE_ENGINE_PACE_H
#define NODE_ENGINE_PACE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    PACE_KNOTS = 20,         // rows 1 .. 8192
    PACE_NARROW_ROWS = 8,    // slices of at most so many rows are narrow
    PACE_TILE = 16,          // kernels walk tokens by so many: rows of a step are best a multiple
    PACE_ROWS_LEAST = 8,     // prefill of a step beside answers, however small the budget
    PACE_ALONE_ROWS = 64,    // prefill of a step without answers, however small the budget
    PACE_BESIDE_MAX = 16,    // steps in a row of answers and prefill
    PACE_ALONE_MS = 1000,    // a step without answers
    PACE_CROWD_MAX = 4,      // prompts that stretch a step together,
    PACE_SHORT_IDS = 512,    // each with so many ids to compute at most
    PACE_STRETCH_MIN = 100,  // percent
    PACE_STRETCH_MAX = 10000 // percent
};

struct pace_options {
    uint32_t stretch_percent; // of the step without prefill; PACE_STRETCH_MIN .. PACE_STRETCH_MAX
    uint32_t step_ms;         // instead of it; 0: none
};

/* What a step's cost depends on. A zeroed one is an empty step. */
struct pace_step {
    uint32_t rows;
    uint32_t logits;
    uint64_t narrow_depth; // row * positions
    uint64_t wide_depth;
};

struct pace {
    struct pace_options options;
    double body[PACE_KNOTS]; // ms, before drift
    double head[PACE_KNOTS]; // ms
    double narrow;           // ms for a row that sees one position
    double wide;
    double drift;
    double error;     // smoothed |measured - predicted| / predicted, cut as the errors are
    uint64_t learned; // steps
};

void pace_init(struct pace *pace, const struct pace_options *options);

/* Count a slice of `count` rows from `position` on in. */
void pace_add(struct pace_step *step, uint32_t position, uint32_t count, uint32_t logits);
/* Milliseconds; 0 for an empty step. */
double pace_predict(const struct pace *pace, const struct pace_step *step);
/* The step took so long. */
void pace_learn(struct pace *pace, const struct pace_step *step, double took_ms);

/* A first measurement, of one thing at a time and in this order: body by rows ascending, head by rows ascending (as
 * many logits as rows), narrow, wide. `part` becomes what the step took beyond the other parts. */
enum pace_part {
    PACE_BODY,
    PACE_HEAD,
    PACE_NARROW,
    PACE_WIDE
};

void pace_calibrate(struct pace *pace, enum pace_part part, const struct pace_step *step,
                    double took_ms);

/* The milliseconds that a step may take which has `decodes` in it already (none: an empty step), when so many short
 * prompts are not computed yet. */
double pace_budget(const struct pace *pace, const struct pace_step *decodes, uint32_t prompts);

/* A chunk of prefill that is asked for. */
struct pace_ask {
    uint32_t position;
    uint32_t most;
    bool first;    // of this step: then it always gets its few rows
    bool decoding; // answers are in the step
};

/* How many of the rows may join `step` within the budget. */
uint32_t pace_rows(const struct pace *pace, const struct pace_step *step, double budget_ms,
                   const struct pace_ask *ask);

#endif

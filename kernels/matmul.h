/* kernels/matmul.h -- activations times weights, over the team.
 *
 *      out[row][n] = sum over k of x[row][k] * weights[n][k]  (+ bias[n])
 *
 * The arithmetic of one output is its kernel's (kernels/ops.h), one chain, whatever the number of rows or
 * threads; a bias is added last, rounded on its own. PACKED_ROWS goes through OpenBLAS (one thread a part) and
 * keeps no such promise.
 *
 * Waking the team costs microseconds, so products of the same activations are one job, what follows an output
 * at once (a residual, a gate) is done by the part that made it, and whoever makes activations quantises them
 * while they are in its cache. Thread: the team's leader, where nothing else is said. */
#ifndef KERNELS_MATMUL_H
#define KERNELS_MATMUL_H

#include "kernels/ops.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct packed;
struct team;

enum {
    MATMUL_ITEMS_MAX = 4 // of one job
};

/* Some rows (tokens) and some columns (or outputs) of them. */
struct matmul_range {
    size_t row_begin, row_end;
    size_t begin, end;
};

/* Activations and the room for their quantised form, used again for every matrix. */
struct matmul_acts {
    struct acts acts;
    size_t values_max; // most rows * cols
    bool quantised;    // acts.q and what goes with it hold acts.x
    bool rounded;      // acts.bf does
};

/* Bytes of the area for at most `values_max` activations (rows * cols); 64-byte aligned. */
size_t matmul_acts_size(size_t values_max);
void matmul_acts_init(struct matmul_acts *acts, size_t values_max, void *area);
/* x [rows][cols] is borrowed until the next set; several matrices may use it. When its values change, set it
 * again. */
void matmul_acts_set(struct matmul_acts *acts, const float *x, size_t rows, size_t cols);

/* Do products with this matrix read the quantised form? */
bool matmul_quantises(const struct packed *weights);
/* Quantise columns [begin, end) of rows [row_begin, row_end), multiples of 32 columns. Any thread, pieces that do not
 * overlap in parallel; once all of `x` is done, the leader says so by matmul_acts_ready(). */
void matmul_acts_quantise(struct matmul_acts *acts, const struct ops *ops,
                          const struct matmul_range *piece);
void matmul_acts_ready(struct matmul_acts *acts);

/* One product of a job. */
struct matmul_item {
    const struct packed *weights;
    float *out;        // [rows][weights->rows], dense, overlapping nothing
    const float *bias; // [weights->rows] or NULL
    const struct packed
        *twin; // NULL, or a matrix of the same shape: its outputs are made by the same parts
    float *twin_out;
    /* NULL, or called on the thread of each part once all its outputs are there. Parts begin at multiples of 32
     * outputs and end at one or at the last. */
    void (*finish)(void *argument, const struct matmul_range *part);
    void *argument;
};

/* All items in one job; each matrix has acts->cols columns. Quantises first what is wanted and is not yet. */
void matmul_items(struct team *team, const struct ops *ops, struct matmul_acts *acts,
                  const struct matmul_item *items, size_t count);
/* One item, out [rows][weights->rows]. */
void matmul(struct team *team, const struct ops *ops, const struct packed *weights,
            struct matmul_acts *acts, const float *bias, float *out);

#endif

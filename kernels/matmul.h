/* kernels/matmul.h -- activations times weights, over the team.
 *
 *      out[row][n] = sum over k of x[row][k] * weights[n][k]  (+ bias[n])
 *
 * The arithmetic of one output is its kernel's (kernels/ops.h), one chain, whatever the number of rows or
 * threads; a bias is added last, rounded on its own. PACKED_ROWS goes through OpenBLAS (one thread a part) and
 * keeps no such promise. Thread: the team's leader. */
#ifndef KERNELS_MATMUL_H
#define KERNELS_MATMUL_H

#include "kernels/ops.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct packed;
struct team;

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

/* out [rows][weights->rows], dense, not overlapping x. bias [weights->rows] or NULL. cols = weights->cols. Quantises
 * on first need after a set. */
void matmul(struct team *team, const struct ops *ops, const struct packed *weights,
            struct matmul_acts *acts, const float *bias, float *out);

/* pack_rows() of a whole matrix, over the team. */
void matmul_pack(struct team *team, struct packed *packed, uint32_t type, const void *source);

#endif

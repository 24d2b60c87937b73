/* node/model/catalogue.h -- rows of floats that are ranked by their dot product with a query, all of them, exactly.
 *
 *      score(row) = ops->dot(query, row)            one float, whatever else is asked in the same call
 *
 * The rows lie here twice: as floats, and rounded to bytes (Q8_0) in tiles for the integer kernels. Ranking reads the
 * bytes of every row and the floats of few: a first product over the bytes says for each row how large its score can
 * be at most, and only where that reaches the worst score that is still in the list the score itself is taken. What is
 * skipped is proven to be no part of the answer:
 *
 *      |score - first| <= |x - x'| |w| + |x'| |w - w'| + what rounding can add
 *
 * with x', w' the rounded forms and the norms of the rows taken as the largest of their group of CATALOGUE_GROUP. So
 * the answer is that of scoring every row in float: best first, ties to the lower row. It depends on nothing but the
 * rows and the query: not on the number of queries of a call, on the threads, on the rung, or on how a catalogue is cut into
 * slices that are merged.
 *
 * Thread: a catalogue is immutable after catalogue_new(). A ranking has one owner, who leads the team; nothing is
 * allocated after ranking_new(). */
#ifndef NODE_MODEL_CATALOGUE_H
#define NODE_MODEL_CATALOGUE_H

#include "node/best.h"

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct ops;
struct team;

enum {
    CATALOGUE_ROWS_MAX = 1 << 24,
    CATALOGUE_DIM_MAX = 4096,
    CATALOGUE_GROUP = 64,      // rows of one bound
    CATALOGUE_TOP_MAX = 4096,  // of one list
    CATALOGUE_QUERIES_MAX = 64 // of one call
};

struct catalogue;

/* A matrix as a file has it: [rows][dim] of a type of kernels/quant.h that passed quant_check(). */
struct catalogue_source {
    uint32_t type;
    const void *data; // any alignment
    size_t rows;      // 1..CATALOGUE_ROWS_MAX
    size_t dim;       // 1..CATALOGUE_DIM_MAX
};

/* The source is copied. ERR_FORMAT: a value is not a finite number (the note names its row); ERR_NO_MEMORY. */
enum err catalogue_new(struct catalogue **out, const struct catalogue_source *source,
                       const struct ops *ops, struct team *team);
void catalogue_free(struct catalogue *catalogue);
size_t catalogue_rows(const struct catalogue *catalogue);
/* [dim] */
const float *catalogue_row(const struct catalogue *catalogue, size_t row);

struct catalogue_query {
    const float *vector; // [dim], finite
    uint32_t
        top_count; // length of the list, 1..CATALOGUE_TOP_MAX; shorter where fewer rows are allowed
    const int32_t *excluded; // [excluded_count], ascending: rows that are never in it
    size_t excluded_count;
    const uint8_t
        *allowed; // bit i of byte i / 8 is row i; NULL: all. Rows beyond its bytes are not allowed
    size_t allowed_size;
    uint32_t row_begin, row_end; // the slice; 0, 0: all rows
    const int32_t
        *candidates; // [candidate_count], ascending: rows that alone may be in it; none: every row
    size_t candidate_count;
};

struct ranking;

/* For at most `queries_max` (<= CATALOGUE_QUERIES_MAX) queries at once, lists of at most `top_max`. ERR_NO_MEMORY. */
enum err ranking_new(struct ranking **out, const struct catalogue *catalogue, struct team *team,
                     uint32_t queries_max, uint32_t top_max);
void ranking_free(struct ranking *ranking);

/* Rank for all queries in one walk over the rows. */
void ranking_run(struct ranking *ranking, const struct catalogue_query *queries, size_t count);
/* The list of query `index`, best first; valid until the next run. */
const struct best_hit *ranking_hits(const struct ranking *ranking, size_t index, uint32_t *count);
/* Scores that were taken in float, over all runs: for benches. */
uint64_t ranking_scored(const struct ranking *ranking);

#endif

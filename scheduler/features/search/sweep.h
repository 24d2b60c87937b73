/* scheduler/features/search/sweep.h -- the best documents of a few lists, exactly: a sweep over all numbers, a window at a time.
 *
 * In each window every list says which documents it has, as bits: so the documents that match are known, all of them, and
 * filters and counts are about these. Only those that may be among the best are scored (MaxScore): the groups
 * of lists are bounded by what their runs in this window say; the weakest ones, as far as their bounds together do not reach the
 * score that is needed, make no candidate by themselves. A candidate's score is the sum over all groups, in their
 * order, the same to the bit whatever was left out. Extra groups find nothing: they add to the scores of what others find.
 *
 * Thread: one owner. */
#ifndef SCHEDULER_FEATURES_SEARCH_SWEEP_H
#define SCHEDULER_FEATURES_SEARCH_SWEEP_H

#include "scheduler/features/bitmap.h"
#include "scheduler/features/search/lexical.h"
#include "scheduler/features/search/postings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SWEEP_WINDOW = 4096 // documents
};

struct sweep_list {
    const struct postings_run *runs;
    size_t count;
    double weight;
    size_t run, next_run; // where the window begins, and the next one
    uint32_t at, next_at;
};

/* Lists that stand for one another: the best one counts. */
struct sweep_group {
    size_t begin, end; // of the lists
    bool is_extra;     // adds to scores, and finds nothing
};

/* The caller's: what is asked. */
struct sweep {
    struct sweep_list lists[LEXICAL_TERMS_MAX];
    struct sweep_group groups[LEXICAL_TERMS_MAX]; // in the lists' order
    size_t group_count, wanted, count;            // lists [wanted, count) are unwanted
    bool all;                                     // every group but the extra ones must be there
    const uint32_t *lengths;
    double base, slope;           // score_norm()
    const struct bitmap *allowed; // NULL: all
    struct bitmap *matched;       // those that match are added; has room for every number
    uint64_t deadline_ns;
    lexical_hit_fn *hit;
    void *owner;
    // The sweep's own.
    double scores[SWEEP_WINDOW], bests[SWEEP_WINDOW];
};

/* ERR_TIMEOUT: hit() may have been called. */
enum err sweep_run(struct sweep *sweep);

#endif

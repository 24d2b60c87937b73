/* scheduler/features/filter_parts.h -- what the files of a filter share: filter.c parses it, filter_ask.c asks it. */
#ifndef SCHEDULER_FEATURES_FILTER_PARTS_H
#define SCHEDULER_FEATURES_FILTER_PARTS_H

#include "scheduler/features/bitmap.h"
#include "scheduler/features/filter.h"
#include "scheduler/features/filter_term.h"

#include "base/digest.h"

enum filter_step {
    FILTER_STEP_TERM, // push what the next term says
    FILTER_STEP_NOT,
    FILTER_STEP_AND,
    FILTER_STEP_OR,
    FILTER_STEP_OPEN // of the parser alone
};

enum {
    FILTER_STEPS_MAX = 4 * FILTER_TERMS_MAX
};

/* Steps over a stack of truths, terms in the order in which they stand there. */
struct filter {
    unsigned char steps[FILTER_STEPS_MAX];
    size_t step_count;
    struct filter_term terms[FILTER_TERMS_MAX];
    size_t term_count, value_count;
    struct digest digest; // of its sense
    size_t more_holders;  // than the first
};

#endif

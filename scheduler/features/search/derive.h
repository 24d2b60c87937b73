/* scheduler/features/search/derive.h -- lists of documents that no single term has: of a phrase, and of a beginning.
 *
 *      phrase       its terms side by side, each time weighed as its field is
 *      beginning    any term that begins so: at how many positions; what stands beside another term counts only where that
 *                   one does not begin so
 *
 * Thread: one owner. */
#ifndef SCHEDULER_FEATURES_SEARCH_DERIVE_H
#define SCHEDULER_FEATURES_SEARCH_DERIVE_H

#include "scheduler/features/search/lexical.h"
#include "scheduler/features/search/postings.h"

#include <stddef.h>
#include <stdint.h>

/* A list in one run of any size. Zeroed: empty; its room is used again. */
struct derived {
    struct postings_run run;
};

void derived_fini(struct derived *derived);

/* Documents are below `end`, `lengths` theirs; `weights` of the fields. */
struct derive {
    const struct postings *postings;
    const uint32_t *lengths;
    const double *weights;
    size_t end;
};

void derive_phrase(const struct derive *derive, const struct lexical_term *term,
                   struct derived *out);
void derive_beginning(const struct derive *derive, const struct lexical_term *term,
                      struct derived *out);

#endif

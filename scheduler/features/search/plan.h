/* scheduler/features/search/plan.h -- which documents of a query are looked at, and how FTS5 is asked for them.
 *
 * A query for any of its words that has common ones would score nearly the whole index, for documents that have nothing
 * but those. So of a query that finds more than `candidates`, only the rarest groups are *needed*, as many as
 * stay within that number together, and at least one; the others count where a needed one is there too:
 *
 *      PLAN_NEEDED     (needed) AND (all)
 *      PLAN_REST       (all) NOT (needed)      the others' documents, where the first are fewer than wanted
 *      PLAN_ALL        (all)                   nothing is left out
 *
 * Pure; thread: any. */
#ifndef SCHEDULER_FEATURES_SEARCH_PLAN_H
#define SCHEDULER_FEATURES_SEARCH_PLAN_H

#include "scheduler/features/search/lexical.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum plan_part {
    PLAN_ALL,
    PLAN_NEEDED,
    PLAN_REST
};

struct plan {
    bool is_needed[LEXICAL_TERMS_MAX];
    size_t needed; // terms
    bool is_cut;   // some groups are not needed
};

/* `counts`: the documents of each wanted term; `documents`: of the index. */
void plan_make(struct plan *plan, const struct lexical_query *query, const uint64_t *counts,
               uint64_t documents);
/* The part in FTS5's language. The phrases of the whole query, in its order, begin at the one whose number it returns. */
size_t plan_write(struct buf *out, const struct plan *plan, const struct lexical_query *query,
                  enum plan_part part);
/* One term. */
void plan_write_term(struct buf *out, const struct lexical_term *term);

#endif

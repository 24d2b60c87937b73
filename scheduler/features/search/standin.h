/* scheduler/features/search/standin.h -- words of the index that may stand for one that it does not have (query.h).
 *
 * Thread: one owner. */
#ifndef SCHEDULER_FEATURES_SEARCH_STANDIN_H
#define SCHEDULER_FEATURES_SEARCH_STANDIN_H

#include "scheduler/features/search/query.h"

/* Add them to the query, in `group` and, of a word that is several, in those behind it; the last group that was used.
 * `is_last`: the word may be the beginning of one. */
uint32_t standin_add(struct query *query, const struct query_options *options,
                     const struct analyze_term *term, uint32_t group, bool is_last);

#endif

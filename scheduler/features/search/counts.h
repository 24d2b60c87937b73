/* scheduler/features/search/counts.h -- in how many documents of an index a term stands, for terms that were asked for.
 *
 * FTS5 can only count by walking a term's whole list. What was counted once is kept here and follows the writes: a single
 * term's count exactly; a phrase and a prefix are counted again after the next write.
 *
 * Bounds: COUNTS_MAX terms; when they are there all are forgotten. Thread: one owner. */
#ifndef SCHEDULER_FEATURES_SEARCH_COUNTS_H
#define SCHEDULER_FEATURES_SEARCH_COUNTS_H

#include "scheduler/features/search/lexical.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct counts;

enum {
    COUNTS_MAX = 8192
};

struct counts *counts_new(void);
void counts_free(struct counts *counts);

/* Whether the term's count is known. */
bool counts_find(const struct counts *counts, const struct lexical_term *term, uint64_t *count);
void counts_keep(struct counts *counts, const struct lexical_term *term, uint64_t count);

/* A document is about to go in or out; then each of its terms, as often as they come, with sign 1 or -1. */
void counts_document(struct counts *counts);
void counts_word(struct counts *counts, const char *text, size_t size, int sign);
/* A document went wrong half way. */
void counts_forget(struct counts *counts);

#endif

/* scheduler/features/search/score.h -- BM25 over groups of terms (lexical.h says the formula): pure arithmetic.
 *
 * Thread: one owner. */
#ifndef SCHEDULER_FEATURES_SEARCH_SCORE_H
#define SCHEDULER_FEATURES_SEARCH_SCORE_H

#include "scheduler/features/search/lexical.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct score_phrase {
    double weight; // of the term; with its idf and k1 + 1 once it is weighed
    uint32_t group;
};

struct score {
    double k1, b;
    uint64_t documents, lengths; // of the index: how many, their terms in all
    struct score_phrase phrases[LEXICAL_TERMS_MAX];
    size_t count;
};

void score_init(struct score *score, double k1, double b);
/* A document of `length` terms has come (1) or gone (-1). */
void score_count(struct score *score, int sign, uint32_t length);

/* The terms of the next query, the unwanted ones left out. */
void score_query(struct score *score, const struct lexical_term *terms, size_t count);
/* The phrase stands in `documents` documents. */
void score_weigh(struct score *score, size_t phrase, uint64_t documents);

/* What a document of some length adds to a frequency: base + slope * length. */
void score_norm(const struct score *score, double *base, double *slope);

/* More than any document's score, once the phrases are weighed. */
double score_best(const struct score *score);

/* What a term counts, by how many documents are without it for each that has it. */
double score_idf(double odds);

#endif

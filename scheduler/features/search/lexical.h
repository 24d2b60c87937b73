/* scheduler/features/search/lexical.h -- the terms of one index, and what a query finds of them.
 *
 * Documents are numbers with a text for each field. Text becomes terms through text/analyze.h; postings.h keeps them and
 * their places, no text (docs/adr/0006 says why not SQLite's FTS5).
 *
 * A query is a list of terms that are in the index' own form already (query.h makes it). They form groups: one
 * group is one word of the user's, its terms are what may stand for it (itself, a spelling, a sound). A document's
 * score is BM25 over groups,
 *
 *      sum over groups of  max over terms of  weight * idf * tf (k1 + 1) / (tf + k1 (1 - b + b length / average))
 *      idf = ln((N - n + 0.5) / (n + 0.5)), and at least a twentieth of ln(1 + the same)
 *      tf  = sum over fields of  field weight * occurrences
 *
 * with k1 and b of the index. The best documents are exact, and so is what matches: nothing is cut (sweep.h). A query sees every
 * write at once.
 *
 * Thread: one owner, from lexical_new() to lexical_free(). */
#ifndef SCHEDULER_FEATURES_SEARCH_LEXICAL_H
#define SCHEDULER_FEATURES_SEARCH_LEXICAL_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct analyst;
struct analyze_options;
struct analyze_term;
struct bitmap;
struct lexical;

enum {
    LEXICAL_FIELDS_MAX = 32,
    LEXICAL_TERMS_MAX = 512, // of a query
    LEXICAL_PHRASE_PART = 0x1F
};

/* Each term of a document that goes in (`sign` 1) or out (-1): for who keeps the words. */
typedef void lexical_word_fn(void *owner, const struct analyze_term *term, int sign);

struct lexical_options {
    struct analyst *analyst;               // borrowed, of the same thread
    const struct analyze_options *analyze; // borrowed
    size_t field_count;                    // 1 to LEXICAL_FIELDS_MAX
    const double *weights;                 // [field_count], > 0
    double k1, b;
    lexical_word_fn *word; // may be NULL
    void *owner;
};

struct lexical_text {
    const char *text; // NULL: the document has no such field
    size_t size;
};

struct lexical_term {
    const char *text; // terms that LEXICAL_PHRASE_PART joins stand one after another: a phrase
    size_t size;
    bool is_prefix;   // any term that begins so
    double weight;    // > 0
    uint32_t group;   // terms of one group stand together in the query
    bool is_unwanted; // documents that have it are not wanted; after all others
    bool
        is_extra; // as its group's others: it finds no document, and adds to the score of those that the others find
};

/* A document that may be among the best, in the order of the numbers: the score that a later one must exceed to be told
 * (-INFINITY: any). */
typedef double lexical_hit_fn(void *owner, uint32_t number, double score);

struct lexical_query {
    const struct lexical_term *terms;
    size_t count;
    bool all;                     // every group that is no extra must be there; else any
    uint64_t deadline_ns;         // CLOCK_MONOTONIC; 0: none
    const struct bitmap *allowed; // NULL: all
    lexical_hit_fn *hit;
    void *owner;
};

struct lexical *lexical_new(const struct lexical_options *options);
void lexical_free(struct lexical *lexical);
/* postings_shed(), before lexical_free(). */
bool lexical_shed(struct lexical *lexical, size_t count);

/* `texts`: [field_count]. `number` is not in use. */
void lexical_put(struct lexical *lexical, uint32_t number, const struct lexical_text *texts);
/* The same texts that it was put with, for `word` to be told of; NULL where there is no such function. */
void lexical_drop(struct lexical *lexical, uint32_t number, const struct lexical_text *texts);

/* Whether any document has the term. */
bool lexical_has(struct lexical *lexical, const struct lexical_term *term);
/* ERR_TIMEOUT: the deadline has passed; `hit` may have been called. A query without terms finds nothing. */
enum err lexical_search(struct lexical *lexical, const struct lexical_query *query);
/* All documents that the latest search matches, told or not; borrowed until the next one. */
const struct bitmap *lexical_matched(const struct lexical *lexical);
/* The score of a document in which every group of the query is as good as can be: what scores are a share of. Of the
 * latest search. */
double lexical_best(const struct lexical *lexical);
size_t lexical_count(const struct lexical *lexical);

#endif

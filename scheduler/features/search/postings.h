/* scheduler/features/search/postings.h -- the terms of an index: which documents have each, and what each document has.
 *
 *      term -> runs of (number, frequency), numbers ascending       POSTINGS_RUN at most in a run, and what is the
 *                                                                   largest and the shortest in it
 *      number -> its terms in their order                           for phrases, and to take it out again
 *
 * A document goes in between postings_begin() and postings_end(), and comes out as a whole; both touch one run of each
 * of its terms, wherever in the list that stands, so there is nothing to merge later. Runs that have lost most of what they had are joined; a term that no document has is
 * forgotten, and its id given to another.
 *
 * Bounds: as much as the documents have. Thread: one owner. */
#ifndef SCHEDULER_FEATURES_SEARCH_POSTINGS_H
#define SCHEDULER_FEATURES_SEARCH_POSTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct postings;

enum {
    POSTINGS_RUN = 128
};

#define POSTINGS_NONE   UINT32_MAX            // no term
#define POSTINGS_BESIDE (UINT32_C(1) << 31)   // in a document: at the position of the term before
#define POSTINGS_FIELD  (POSTINGS_BESIDE - 1) // in a document: the next field begins

/* Some documents of a term. */
struct postings_run {
    uint32_t *numbers;  // [count], ascending
    float *frequencies; // [count]
    uint32_t count, capacity;
    float most;        // no frequency is more
    uint32_t shortest; // no document is shorter
};

struct postings *postings_new(void);
void postings_free(struct postings *postings);
/* Before postings_free(), and nothing but it comes between: free at most `count` documents or terms; whether there are more.
 * A large index takes a while to be freed. */
bool postings_shed(struct postings *postings, size_t count);

/* A document whose number is not in use; then its terms, field after field; then its length in terms. */
void postings_begin(struct postings *postings);
void postings_field(struct postings *postings);
void postings_add(struct postings *postings, const char *text, size_t size, float frequency,
                  bool beside);
void postings_end(struct postings *postings, uint32_t number, uint32_t length);
void postings_drop(struct postings *postings, uint32_t number);

/* POSTINGS_NONE: no document has it. */
uint32_t postings_find(const struct postings *postings, const char *text, size_t size);
/* The terms that begin so, one after another in no order, `after` the last one that was returned (POSTINGS_NONE: the first). */
uint32_t postings_beginning(const struct postings *postings, const char *text, size_t size,
                            uint32_t after);
/* In how many documents. */
uint32_t postings_count(const struct postings *postings, uint32_t term);
/* It was put beside others, never alone at its position. */
bool postings_is_beside(const struct postings *postings, uint32_t term);
/* Borrowed until the next document goes in or out, as all lists. */
const struct postings_run *postings_runs(const struct postings *postings, uint32_t term,
                                         size_t *count);
/* Ids with POSTINGS_BESIDE, and POSTINGS_FIELD before each field but the first. */
const uint32_t *postings_document(const struct postings *postings, uint32_t number, size_t *count);

#endif

/* scheduler/features/search/ranking.h -- ranked lists of documents, and how several become one.
 *
 * Each way of searching gives a list, best first: the words, the vectors, a cross-encoder, a user's taste. Their scores
 * are of different kinds, so what is fused is their ranks (reciprocal rank fusion: Cormack, Clarke, Büttcher, SIGIR 2009):
 *
 *      score of a document = sum over lists of  weight / (60 + its rank there, from 1)
 *
 * A document keeps each part's own score and rank, which an answer shows as `_ranking`. Thread: any. */
#ifndef SCHEDULER_FEATURES_SEARCH_RANKING_H
#define SCHEDULER_FEATURES_SEARCH_RANKING_H

#include <stddef.h>
#include <stdint.h>

enum {
    RANKING_LIST_MAX = 10000, // documents of one list
    RANKING_K = 60
};

enum ranking_part {
    RANKING_LEXICAL,
    RANKING_VECTOR,
    RANKING_RERANK,
    RANKING_PERSONAL,
    RANKING_PARTS
};

/* "lexical", … */
const char *ranking_part_name(enum ranking_part part);

struct ranked {
    uint32_t number; // of the document (documents.h)
    uint64_t serial;
    double score; // of the list that it stands in

    struct {
        double score;
        uint32_t rank; // from 1; 0: it does not stand in that list
        double adds;   // to the score of what was fused; 0: nothing was
    } parts[RANKING_PARTS];
};

struct ranking_list {
    const struct ranked *items; // best first, no document twice
    size_t count;
    double weight;
    enum ranking_part part; // no two lists are of one
};

/* Write the best `max` of all lists' documents into `out`, best first, ties to the lower number; how many. A document's parts
 * are those of all lists; what they add is its score. */
size_t ranking_fuse(const struct ranking_list *lists, size_t count, struct ranked *out, size_t max);

#endif

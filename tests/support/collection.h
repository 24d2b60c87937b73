/* tests/support/collection.h -- the judged collections of the shared data, in memory, and how rankings are judged. */
#ifndef TESTS_SUPPORT_COLLECTION_H
#define TESTS_SUPPORT_COLLECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct collection_query {
    char *text;
    uint32_t *wanted; // documents, by their place
    size_t wanted_count;
};

struct collection {
    char **documents;
    size_t count;
    struct collection_query *queries;
    size_t query_count;
    char **stops;
    size_t stop_count;
};

/* `folder`: QIAO_SHARED/data/search/vaswani or …/cmrc2018. */
void collection_read_vaswani(struct collection *out, const char *folder);
void collection_read_cmrc(struct collection *out, const char *folder);
void collection_fini(struct collection *collection);

/* Of one query's ranking, best first. nDCG is over all of it, gains of 1, discounts of log2. */
double collection_average_precision(const struct collection_query *query, const uint32_t *ranking,
                                    size_t count);
double collection_ndcg(const struct collection_query *query, const uint32_t *ranking, size_t count);
double collection_reciprocal_rank(const struct collection_query *query, const uint32_t *ranking,
                                  size_t count, size_t depth);

#endif

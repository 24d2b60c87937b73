/* scheduler/features/search/remote_query.h -- a search as RediSearch's query: what matches, and what it weighs.
 *
 *      words of a group           (@k:{xa|xb}=>{$weight:0})        tags: exact wherever they stand
 *      phrases                    "pa pb" alone; else (@i:{…}), the ids of the documents that have it
 *      one ideograph              (xa*)
 *      all words                  group after group; any: all of them in one
 *      unwanted                   -(…) behind
 *      the filter                 before (redisearch_tags.h)
 *      what it weighs             (((z)=>{$weight:0})|((xa)=>{$weight:1.2})|…)      TFIDF over what is a BM25's part (remote_document.h)
 *
 * RediSearch divides a score by how far apart the words stand that have a place; here it is but one part that has any, whose division is the same
 * for all. Names and words are coded, so nothing of a user's is ever read as RediSearch's own.
 *
 * Thread: as the corpus. */
#ifndef SCHEDULER_FEATURES_SEARCH_REMOTE_QUERY_H
#define SCHEDULER_FEATURES_SEARCH_REMOTE_QUERY_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>

struct corpus;
struct corpus_search;

/* Zeroed: empty. */
struct remote_query {
    struct buf match, scores; // the second behind the first, where scores are wanted
    bool finds;               // else it has no words: nothing is to be asked
};

/* Fill it in; the corpus' link is open. remote_query_fini() it, whatever it answers. ERR_INVALID; else as the link. */
enum err remote_query_write(struct remote_query *out, struct corpus *corpus,
                            const struct corpus_search *search);
void remote_query_fini(struct remote_query *query);

#endif

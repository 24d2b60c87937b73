/* scheduler/door/search_ask.h -- the body of POST /v1/indexes/NAME/search, in Meilisearch's words.
 *
 *      q, filter, facets, sort, limit, offset, page, hitsPerPage, attributesToRetrieve, attributesToHighlight, highlightPreTag,
 *      highlightPostTag, showRankingScore, showRankingScoreDetails, matchingStrategy; ours: min_version, deadline_ms
 *
 *      highlight    true; [NAME, …]; or {"attributes": [NAME, …], "pre_tag": TEXT, "post_tag": TEXT}
 *      hybrid       {"semantic_ratio": 0.5, "model": NAME}; "embedder" is the model, or "default"
 *      rerank       true, or {"model": NAME, "depth": 20, "weight": 2}
 *      personalize  true, or its weight, 0 to 1
 *
 * Each may be spelled in the other way: attributes_to_retrieve, minVersion (members.h).
 * Members that nobody knows are refused by name, as are those that are not served yet. Thread: the loop's; what was read is
 * immutable. */
#ifndef SCHEDULER_DOOR_SEARCH_ASK_H
#define SCHEDULER_DOOR_SEARCH_ASK_H

#include "scheduler/features/search/corpus.h"
#include "scheduler/features/search/hybrid.h"

#include "base/err.h"

#include <jansson.h>

enum {
    SEARCH_LIMIT_MAX = 1000,
    SEARCH_TAG_MAX = 64, // bytes of a highlight tag
    SEARCH_MS_MAX = 10000
};

struct search_ask {
    json_t *root; // what the search's texts are borrowed from
    struct filter *filter;
    struct corpus_search search;
    struct hybrid_wishes wishes;
    char sorts[CORPUS_SORTS_MAX][SEARCH_NAME_MAX + 8];
    uint64_t page; // from 1: the client counts in pages of `limit`; 0: it does not
    uint64_t min_version;
    uint64_t deadline_ms;
};

/* search_ask_fini() it, whatever it answers. ERR_INVALID, ERR_TOO_LARGE; json_param() names the member. */
enum err search_ask_read(struct search_ask *ask, const char *body, size_t size);
void search_ask_fini(struct search_ask *ask);

#endif

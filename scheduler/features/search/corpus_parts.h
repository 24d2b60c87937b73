/* scheduler/features/search/corpus_parts.h -- what the files of a corpus share: corpus.c keeps it, corpus_filter.c and
 * corpus_rank.c ask it, corpus_answer.c shows it. */
#ifndef SCHEDULER_FEATURES_SEARCH_CORPUS_PARTS_H
#define SCHEDULER_FEATURES_SEARCH_CORPUS_PARTS_H

#include "scheduler/features/bitmap.h"
#include "scheduler/features/search/columns.h"
#include "scheduler/features/search/corpus.h"
#include "scheduler/features/search/documents.h"
#include "scheduler/features/search/lexical.h"
#include "scheduler/features/search/query.h"
#include "scheduler/features/search/words.h"

#include "text/analyze.h"

#include "base/buf.h"

/* What follows from the settings. */
struct corpus_half {
    struct search_settings *settings;
    struct analyze_stops *stops;
    struct analyze_options analyze;
    struct words *words;
    struct columns *columns;
    struct lexical *lexical;
};

struct corpus {
    struct corpus_tools tools;
    struct analyst *analyst;
    struct documents *documents;
    struct bitmap live;    // their numbers
    struct bitmap allowed; // of the search at hand
    struct corpus_half *half;
    struct corpus_half *coming;  // NULL: no change is under way
    struct corpus_half *leaving; // what the latest change has left, until it is freed
    uint32_t next;               // the document that is read next by it
    size_t bytes;
    struct query query;                  // of the search at hand
    struct buf texts[SEARCH_FIELDS_MAX]; // of the document at hand
};

/* A facet of a ranking: its values and how many documents have each. */
struct facet {
    const char *name;
    struct column_facet found;
};

struct corpus_ranking {
    struct ranked *items; // a heap while it is filled, worst on top; then sorted, best first
    size_t count, depth;
    size_t total; // documents that match
    struct facet facets[SEARCH_NAMES_MAX];
    size_t facet_count;
    double best;   // lexical_best(), or of what was fused
    bool is_fused; // the scores are
};

/* A record's object; NULL: it is none. The caller's. */
json_t *corpus_parse(const char *record, size_t size);
/* What filters, facets and orders read of a document, by name. The caller's. */
json_t *corpus_read_facts(const struct search_settings *settings, const json_t *document);
/* Which documents the search's filter lets pass, into corpus->allowed. ERR_TIMEOUT. */
enum err corpus_filter(struct corpus *corpus, const struct corpus_search *search);
/* Make the query of a search in corpus->query. */
void corpus_build_query(struct corpus *corpus, const struct corpus_search *search);

#endif

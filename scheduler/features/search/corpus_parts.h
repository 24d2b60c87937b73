/* scheduler/features/search/corpus_parts.h -- what the files of a corpus share.
 *
 *      corpus.c, corpus_rank.c, corpus_lookup.c, corpus_answer.c      what is asked of any corpus
 *      corpus_memory.c, corpus_filter.c, corpus_rank.c                the backend that has it all in this memory
 *      remote.h                                                       the one that a RediSearch has it for
 *
 * What only one backend does stands in its table; nobody else asks which one it is. */
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

struct remote;

/* What a backend does; each as the function of corpus.h with its name says. */
struct corpus_backend {
    void (*free)(struct corpus *corpus); // its own part
    bool (*shed)(struct corpus *corpus, size_t count);
    size_t (*count)(const struct corpus *corpus);
    size_t (*bytes)(const struct corpus *corpus);
    enum err (*put)(struct corpus *corpus, const char *id, size_t id_size, const char *record,
                    size_t record_size);
    enum err (*drop)(struct corpus *corpus, const char *id, size_t id_size);
    enum err (*configure)(struct corpus *corpus, struct search_settings *settings);
    bool (*change)(struct corpus *corpus, size_t count);
    void (*mark)(struct corpus *corpus, uint64_t version, const char *token);
    void (*look)(struct corpus *corpus);
    void (*forget)(struct corpus *corpus); // the index is gone, or another backend's
    /* Fill in what was found: count, items, total, best, the facets that are named. */
    enum err (*rank)(struct corpus *corpus, const struct corpus_search *search,
                     struct corpus_ranking *ranking);
    bool (*find)(const struct corpus *corpus, const char *id, size_t size, struct ranked *out);
    const char *(*id)(const struct corpus *corpus, const struct ranked *item, size_t *size);
    /* Its JSON, borrowed until the next call; NULL: it has gone. */
    const char *(*record)(const struct corpus *corpus, const struct ranked *item, size_t *size);
    /* These will be asked for. */
    void (*fetch)(struct corpus *corpus, const struct ranked *items, size_t count);
    enum err (*pass)(struct corpus *corpus, const struct corpus_search *search, size_t *count);
    bool (*passes)(const struct corpus *corpus, const struct ranked *item);
    void (*each)(const struct corpus *corpus, corpus_each_fn *each, struct buf *out);
    query_has_fn *has; // its owner is the corpus
};

/* What follows from the settings. */
struct corpus_half {
    struct search_settings *settings;
    struct analyze_stops *stops, *common; // common: NULL: no word is
    struct analyze_options analyze;
    struct words *words;
    struct columns *columns; // NULL, as the lexical is: they are not in this memory
    struct lexical *lexical;
};

struct corpus {
    struct corpus_tools tools;
    const struct corpus_backend *backend;
    struct analyst *analyst;
    struct remote *remote; // NULL: it is in this memory
    uint64_t version;
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

/* An empty one without a half. */
struct corpus *corpus_open(const struct corpus_tools *tools, const struct corpus_backend *backend);
/* It takes the settings, also with an error, when it is NULL. */
struct corpus_half *corpus_new_half(const struct corpus *corpus, struct search_settings *settings,
                                    enum err *err);
/* NULL is fine. */
void corpus_drop_half(struct corpus_half *half);
/* A record's object; NULL: it is none. The caller's. */
json_t *corpus_parse(const char *record, size_t size);
/* What filters, facets and orders read of a document, by name. The caller's. */
json_t *corpus_read_facts(const struct search_settings *settings, const json_t *document);
/* The texts of the index' fields, in the corpus' own buffers. */
void corpus_read_texts(struct corpus *corpus, const struct search_settings *settings,
                       const json_t *document, struct lexical_text texts[SEARCH_FIELDS_MAX]);
/* The memory's rank(). */
enum err corpus_rank_memory(struct corpus *corpus, const struct corpus_search *search,
                            struct corpus_ranking *ranking);
/* No words are asked for. */
bool corpus_asks_all(const struct corpus_search *search);
/* Which documents the search's filter lets pass, into corpus->allowed. ERR_TIMEOUT. */
enum err corpus_filter(struct corpus *corpus, const struct corpus_search *search);
/* Make the query of a search in corpus->query. */
void corpus_build_query(struct corpus *corpus, const struct corpus_search *search);

#endif

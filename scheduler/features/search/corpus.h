/* scheduler/features/search/corpus.h -- one index in memory: its documents, their terms, their words.
 *
 *      corpus_put, corpus_drop        documents, by id
 *      corpus_configure               other settings: the documents are read again, a slice at a time, while the old
 *                                     terms go on being asked
 *      corpus_rank                    a search's lexical list, with totals and facets
 *      corpus_answer                  a ranked list as the JSON of an answer
 *      corpus_find, corpus_text, …    documents of other lists, between the two
 *      corpus_suggest                 completions
 *
 * A search is in two steps so that other lists can be fused in between (ranking.h).
 *
 * Thread: one at a time. It belongs to a worker; whoever hands it on has waited for the worker. */
#ifndef SCHEDULER_FEATURES_SEARCH_CORPUS_H
#define SCHEDULER_FEATURES_SEARCH_CORPUS_H

#include "scheduler/features/search/ranking.h"
#include "scheduler/features/search/settings.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct analyzer;
struct buf;
struct corpus;
struct corpus_ranking;
struct filter;
struct pinyin;
struct redisearch_place;

/* What all indexes of a process share; both are any thread's. */
struct corpus_tools {
    const struct analyzer *analyzer;
    struct pinyin *pinyin;
};

/* An empty one. It takes the settings, also with an error. */
enum err corpus_new(struct corpus **out, const struct corpus_tools *tools,
                    struct search_settings *settings);
/* The same, kept by a RediSearch (remote.h) at the place, which is borrowed for its life; NULL: this scheduler does not know it. */
enum err corpus_new_remote(struct corpus **out, const struct corpus_tools *tools,
                           const struct redisearch_place *place, struct search_settings *settings);
void corpus_free(struct corpus *corpus);
/* Before corpus_free(), and nothing but it comes between: free a part, of at most `count` documents; whether there is more. */
bool corpus_shed(struct corpus *corpus, size_t count);
const struct search_settings *corpus_settings(const struct corpus *corpus);
size_t corpus_count(const struct corpus *corpus);
/* Bytes of ids and records. */
size_t corpus_bytes(const struct corpus *corpus);

/* `record` is the document's JSON. ERR_FORMAT: it is no object; ERR_NO_MEMORY: DOCUMENTS_MAX are there. */
enum err corpus_put(struct corpus *corpus, const char *id, size_t id_size, const char *record,
                    size_t record_size);
/* One that is not there is no failure. */
enum err corpus_drop(struct corpus *corpus, const char *id, size_t id_size);
/* Begin to change over to other settings, which it takes; then corpus_change() until it is false, and no put or drop
 * before that. */
enum err corpus_configure(struct corpus *corpus, struct search_settings *settings);
/* Read at most `count` documents again; whether there are more. */
bool corpus_change(struct corpus *corpus, size_t count);
/* What was told so far is `version`. With a token (of the collection's change) it was all told, and a backend outside of this memory is to say
 * that it has it; NULL: only the version was. */
void corpus_mark(struct corpus *corpus, uint64_t version, const char *token);
/* There may be news where it is kept. */
void corpus_look(struct corpus *corpus);
/* What it has; 0: it is not whole. */
uint64_t corpus_version(const struct corpus *corpus);

/* What whoever decides on the writer asks of one that is kept elsewhere. */
struct corpus_status {
    bool is_remote; // else all others are 0
    bool is_ready;  // what is there is known, and nothing of it is being written here
    bool is_lost;   // what was being written here cannot go on
    bool fits;      // it is of the settings that were told, and can be written on from its version
    uint64_t version; // what is there
    char token[24];   // of that change
};

/* NULL is fine. */
void corpus_status(const struct corpus *corpus, struct corpus_status *out);
/* It gives way to another one, or (NULL) to none: what is kept of it elsewhere, and not by the other one, is deleted. */
void corpus_replace(struct corpus *corpus, const struct corpus *by);

enum {
    CORPUS_SORTS_MAX = 4,
    CORPUS_FACET_VALUES = 100, // of each facet in an answer
    CORPUS_DEPTH_MAX = 10000   // offset + limit
};

struct corpus_sort {
    const char *attribute;
    bool descending;
};

/* What is asked. All texts are borrowed for as long as the search. */
struct corpus_search {
    const char *q; // NULL or nothing but spaces: every document
    size_t q_size;
    bool all; // every word must be there
    size_t offset, limit;
    size_t depth;                // documents in the list, at least offset + limit
    const struct filter *filter; // NULL: none
    const char *facets[SEARCH_NAMES_MAX];
    size_t facet_count;
    bool all_facets;
    struct corpus_sort sorts[CORPUS_SORTS_MAX];
    size_t sort_count;
    const char *retrieve[SEARCH_NAMES_MAX]; // members of a hit
    size_t retrieve_count;                  // 0 with retrieve_some: none
    bool retrieve_some;                     // else all
    const char *highlight[SEARCH_NAMES_MAX];
    size_t highlight_count;
    bool highlight_all;
    const char *before, *after; // of what is highlighted
    bool show_score, show_parts;
    uint64_t deadline_ns; // 0: none
};

/* ERR_INVALID: a name that the index does not have so; `param` says which field of the search. */
enum err corpus_check(const struct corpus *corpus, const struct corpus_search *search,
                      char param[SEARCH_PARAM_MAX]);

/* The first step; corpus_ranking_free() it. ERR_TIMEOUT. */
enum err corpus_rank(struct corpus *corpus, const struct corpus_search *search,
                     struct corpus_ranking **out);
void corpus_ranking_free(struct corpus_ranking *ranking);
/* Its list, best first. Borrowed. */
const struct ranked *corpus_ranked(const struct corpus_ranking *ranking, size_t *count);
/* How many documents match, in the list or not. */
size_t corpus_total(const struct corpus_ranking *ranking);
/* Put another list into its place, as ranking_fuse() made it. `best`: more than any document can have. */
void corpus_rerank(struct corpus_ranking *ranking, const struct ranked *items, size_t count,
                   double best);
/* A document that another list has, by its id, with its number and serial. False: it is not there (any more). */
bool corpus_find(const struct corpus *corpus, const char *id, size_t size, struct ranked *out);
/* Its id, borrowed; NULL: it has gone. */
const char *corpus_id(const struct corpus *corpus, const struct ranked *item, size_t *size);
/* Add what is searched of it, a line each, at most `max` bytes, cut between characters. */
void corpus_text(const struct corpus *corpus, const struct ranked *item, size_t max,
                 struct buf *out);
/* The document, parsed; NULL: it has gone. Those that will be asked for are told first. */
void corpus_fetch(struct corpus *corpus, const struct ranked *items, size_t count);
json_t *corpus_document(const struct corpus *corpus, const struct ranked *item);
/* How many documents the search's filter lets pass, for corpus_passes() and corpus_each() until the next search. ERR_TIMEOUT. */
enum err corpus_pass(struct corpus *corpus, const struct corpus_search *search, size_t *count);
bool corpus_passes(const struct corpus *corpus, const struct ranked *item);
/* Every one of them. */
typedef void corpus_each_fn(struct buf *out, const char *id, size_t size);
void corpus_each(const struct corpus *corpus, corpus_each_fn *each, struct buf *out);
/* The second: members "hits", "estimatedTotalHits", "facetDistribution", "facetStats" of the answer's object, without braces. */
void corpus_answer(struct corpus *corpus, const struct corpus_search *search,
                   const struct corpus_ranking *ranking, struct buf *out);

/* Completions of a query's last word, as a JSON array of texts, the most frequent first, at most `limit`. */
enum {
    CORPUS_SUGGEST_MAX = 50
};

void corpus_suggest(struct corpus *corpus, const char *q, size_t size, size_t limit,
                    struct buf *out);

#endif

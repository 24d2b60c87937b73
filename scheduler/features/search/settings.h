/* scheduler/features/search/settings.h -- what an index is told about itself: the body of PUT /v1/indexes/NAME.
 *
 *      {"primary_key": "id",
 *       "fields": {"title": 3, "text": 1},        or ["title", "text"], with "weights": {"title": 3} or without; absent: every
 *                                                 text of a document
 *       "facets": ["brand"], "filterable": ["price"], "sortable": ["price"],
 *       "language": "auto",                       auto, en, zh: English words are stemmed, and what says little finds nothing
 *                                                 beside other words (text/common.h); none: neither
 *       "stop_words": ["the"],                    they are read over, in documents and queries
 *       "typos": {"enabled": true, "one": 5, "two": 9},
 *       "bm25": {"k1": 0.9, "b": 0.4},
 *       "backend": "memory",                      or redisearch: the index is in a Redis of its own (remote.h)
 *       "embedder": {"model": "all-minilm", "fields": ["title", "text"]}}      or the model's name; absent: the documents get no
 *                                                                              vectors
 *
 * Every member may be absent. Names may be spelled in the other way (members.h: primaryKey), and Meilisearch's are understood:
 * searchableAttributes, filterableAttributes, sortableAttributes. A name is an attribute of the documents, or a way into an object of theirs: "titles.zh".
 * Facets and what can be sorted by can be filtered by, too.
 *
 * Immutable once it is read. Thread: any. */
#ifndef SCHEDULER_FEATURES_SEARCH_SETTINGS_H
#define SCHEDULER_FEATURES_SEARCH_SETTINGS_H

#include "base/err.h"

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>

enum {
    SEARCH_FIELDS_MAX = 32,
    SEARCH_NAMES_MAX = 64, // of facets, filterable, sortable each
    SEARCH_NAME_MAX = 64,  // bytes of an attribute's name
    SEARCH_STOPS_MAX = 1000,
    SEARCH_PARAM_MAX = 96,
    SEARCH_MODEL_MAX = 128 // bytes of a model's name
};

/* Names, owned. */
struct search_names {
    char **items;
    size_t count;
};

struct search_settings {
    char *text; // JSON, as they were given, but with the names above
    char *primary_key;
    struct search_names fields;        // empty: every text
    double weights[SEARCH_FIELDS_MAX]; // the least is 1: it is their ratios that count
    struct search_names facets, filterable, sortable;
    struct search_names stops;
    bool is_remote; // backend: redisearch
    bool stem, typos;
    size_t one_typo, two_typos;
    double k1, b;
    char *embedder; // the model that makes the documents' vectors; NULL: none does
    struct search_names embedder_fields; // of these; empty: every text
};

/* ERR_INVALID: the note begins with the member's name, which is in `param`, too. `object` is not kept. */
enum err search_settings_read(struct search_settings **out, const json_t *object,
                              char param[SEARCH_PARAM_MAX]);
void search_settings_free(struct search_settings *settings);

bool search_names_have(const struct search_names *names, const char *name);
/* "a, b"; "none" when there are none. */
struct buf;
void search_names_write(struct buf *out, const struct search_names *names);

#endif

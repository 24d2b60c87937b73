/* scheduler/features/search/highlight.h -- marks around what a query has found in a text.
 *
 * The text goes through the analyzer once more; the bytes of every term that the query looks for are marked, and
 * marks that touch are one. Thread: the analyst's. */
#ifndef SCHEDULER_FEATURES_SEARCH_HIGHLIGHT_H
#define SCHEDULER_FEATURES_SEARCH_HIGHLIGHT_H

#include <jansson.h>

struct analyst;
struct analyze_options;
struct query;

struct highlight {
    struct analyst *analyst;
    const struct analyze_options *analyze;
    const struct query *query;
    const char *before, *after; // of a mark
};

/* A new value like the one that is given, its texts (also those of an array) marked. */
json_t *highlight_value(const struct highlight *highlight, json_t *value);

#endif

/* scheduler/features/search/columns.h -- all columns of an index: what its filters, facets and orders read.
 *
 * Each name that can be filtered by has a column, and so has every way into the objects that stand there ("price.cny"), as soon as a
 * document has it, up to COLUMNS_INNER. A field without a column stands in no document, unless columns_is_full().
 *
 * Thread: one owner. */
#ifndef SCHEDULER_FEATURES_SEARCH_COLUMNS_H
#define SCHEDULER_FEATURES_SEARCH_COLUMNS_H

#include "scheduler/features/search/column.h"
#include "scheduler/features/search/settings.h"

struct columns;

enum {
    COLUMNS_INNER = 64,   // ways into objects
    COLUMNS_LEVELS = 8,   // of objects and lists that are looked into for these
    COLUMNS_WAY_MAX = 255 // bytes
};

/* The names are borrowed for its life. */
struct columns *columns_new(const struct search_names *names);
void columns_free(struct columns *columns);

/* `facts`: what the document has under the names (corpus.c), an object. */
void columns_put(struct columns *columns, uint32_t number, const json_t *facts);
void columns_drop(struct columns *columns, uint32_t number);

/* NULL: there is none. */
const struct column *columns_find(const struct columns *columns, const char *field);
/* There are fields that have none, because of a bound: they must be looked for in the documents. */
bool columns_is_full(const struct columns *columns);

/* Each name, and each way into what `facts` has there; one may be told twice. False: some are too long or too deep to be told. */
typedef void columns_way_fn(void *owner, const char *way, const json_t *facts);
bool columns_each_way(const struct search_names *names, const json_t *facts, columns_way_fn *each,
                      void *owner);

#endif

/* scheduler/features/search/redisearch_tags.h -- what can be filtered, counted and sorted by, as RediSearch's tags.
 *
 * One field of tags ("f") has all that a filter may ask of a document, so lists and ways into objects need no schema:
 *
 *      u                 every document
 *      eFIELD            the field is there          nFIELD   as null          mFIELD   as something empty
 *      tFIELD__TEXT      a text, folded              tFIELD__true, __false: truths
 *      dFIELD__DIGITS    a number: each beginning of its 16 digits (redisearch_code.h), 1 to 16 of them, so that a range is a few dozen
 *                        beginnings, exactly
 *
 * A condition becomes a union of such tags, NOT X becomes `every document but X`. Nothing of the user's stands there uncoded.
 *
 * Pure. Thread: any. */
#ifndef SCHEDULER_FEATURES_SEARCH_REDISEARCH_TAGS_H
#define SCHEDULER_FEATURES_SEARCH_REDISEARCH_TAGS_H

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct filter;
struct search_names;

#define TAGS_EVERY "@f:{u}"

/* The tags of a document, joined by commas. `facts`: corpus_read_facts(). */
void tags_write(struct buf *out, const struct search_names *names, const json_t *facts);
/* The filter as a query in parentheses. */
void tags_filter(struct buf *out, const struct filter *filter);
/* The values under a name that are counted, coded and joined by commas, each once; and the least and largest number, false: there is none. */
bool tags_values(struct buf *out, const char *name, const json_t *facts, double *least,
                 double *most);
/* What stands in an order under a name: numbers, then texts, then all others, in either direction. */
void tags_order(struct buf *out, const char *name, const json_t *facts, bool descending);

#endif

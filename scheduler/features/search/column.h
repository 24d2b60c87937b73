/* scheduler/features/search/column.h -- what the documents of an index have under one field, as numbers of values.
 *
 *      values     each once: a number, a text, true or false; with how many documents have it
 *      codes      by document: its value, or its list of values
 *      bitmaps    documents that have the field at all, as null, as something empty, as one number or text
 *
 * A condition is judged once for each value (by its hash where it wants equality) and then looked up for each document: so
 * it says what filter_term_holds() says of the document. Both see the same values: filter_walk() finds them.
 *
 * Bounds: 4 bytes for each number below the highest, and the values. Thread: one owner. */
#ifndef SCHEDULER_FEATURES_SEARCH_COLUMN_H
#define SCHEDULER_FEATURES_SEARCH_COLUMN_H

#include "scheduler/features/bitmap.h"

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct column;
struct filter_term;

struct column *column_new(const char *field);
void column_free(struct column *column);
const char *column_field(const struct column *column);

/* What `facts`, an object, has under the field. The number is not in use. */
void column_put(struct column *column, uint32_t number, const json_t *facts);
void column_drop(struct column *column, uint32_t number);

/* The documents for which the condition holds, of all of out's room. The term's field is this one. */
void column_select(const struct column *column, const struct filter_term *term, struct bitmap *out);

/* By the field's one value: numbers, then texts, then documents that have neither or a list, in either direction. Less than 0:
 * `left` stands before. */
int column_compare(const struct column *column, uint32_t left, uint32_t right, bool descending);

enum {
    COLUMN_TEXT_MAX = 256 // bytes of a text that is counted
};

struct column_facet {
    json_t *
        counts; // owned by the caller: value -> how many of the documents, at most `max`, the most frequent first
    double least, most;
    bool has_numbers;
};

void column_count(const struct column *column, const struct bitmap *documents, size_t max,
                  struct column_facet *out);

#endif

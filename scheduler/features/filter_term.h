/* scheduler/features/filter_term.h -- one condition of a filter (filter.h): a field, and what it must be.
 *
 * Thread: any; immutable once parsed. */
#ifndef SCHEDULER_FEATURES_FILTER_TERM_H
#define SCHEDULER_FEATURES_FILTER_TERM_H

#include "base/digest.h"

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum filter_test {
    FILTER_IN, // = too, with one value
    FILTER_FROM,
    FILTER_UNTIL,
    FILTER_ABOVE,
    FILTER_BELOW,
    FILTER_BETWEEN, // two values, both included
    FILTER_EXISTS,
    FILTER_NULL,
    FILTER_EMPTY
};

struct filter_value {
    char *text; // owned
    bool is_number;
    double number;
};

/* A zeroed struct is a term without field and values. */
struct filter_term {
    enum filter_test test;
    bool negated;
    char *field; // owned
    struct filter_value *values;
    size_t count, capacity;
};

/* `text` is the term's from then on. */
void filter_term_add(struct filter_term *term, char *text);
void filter_term_fini(struct filter_term *term);
/* What it says, for a digest of the whole. */
void filter_term_sign(const struct filter_term *term, struct digester *digester);
bool filter_term_holds(const struct filter_term *term, const json_t *document);

/* What a document has under a field, for who keeps it in another form and judges it in the same way: the field's value as a whole (for
 * EXISTS, NULL and EMPTY; several where it lies in a list of objects), and its leaves, which are no lists. False: enough was seen. */
typedef bool filter_see_fn(void *owner, const json_t *value, bool is_whole);
void filter_walk(const char *field, const json_t *document, filter_see_fn *see, void *owner);

bool filter_is_empty_value(const json_t *value);
/* Of a term that compares numbers. */
bool filter_number_holds(const struct filter_term *term, double number);
/* Texts are equal when their characters are, in lower case; a byte that is no character stands for itself. */
bool filter_same_text(const char *a, const char *b);
int32_t filter_next_folded(const char **text);

#endif

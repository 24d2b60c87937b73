/* scheduler/features/filter.h -- which documents: Meilisearch's filter grammar, parsed once and asked of many.
 *
 *      expression  term | NOT expression | expression AND expression | expression OR expression | ( expression )
 *      term        FIELD = VALUE    FIELD != VALUE    FIELD > NUMBER   (>= < <= too)    FIELD NUMBER TO NUMBER
 *                  FIELD [NOT] IN [VALUE, …]          FIELD [NOT] EXISTS
 *                  FIELD IS [NOT] NULL                FIELD IS [NOT] EMPTY
 *
 * NOT binds before AND, AND before OR. Words in capitals are reserved; FIELD and VALUE are letters, digits, '_', '-', '.',
 * '/', ':' and what is not ASCII, or stand in '…' or "…" with \ before a quote. A filter may also be a JSON list: all of its elements
 * hold, and one that is a list itself holds when one of its own does.
 *
 * FIELD may name a member of a member ("price.cny"), also of objects in a list. A list matches if one of its elements does.
 * Texts are equal without regard to case; a number is equal to the text that writes it. != and NOT IN hold where = and IN
 * do not, also where there is no such field. EXISTS holds for null, too; EMPTY are "", [] and {}.
 *
 * Everything is bounded; a stranger's filter is ERR_INVALID with the place in its note, never more work than its limits.
 * Thread: any; a filter is immutable, but for its holders, who are of one thread. */
#ifndef SCHEDULER_FEATURES_FILTER_H
#define SCHEDULER_FEATURES_FILTER_H

#include "base/digest.h"
#include "base/err.h"

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>

struct filter;

enum {
    FILTER_BYTES_MAX = 16 << 10, // of all texts together
    FILTER_TERMS_MAX = 256,
    FILTER_VALUES_MAX = 2048,
    FILTER_LEVELS_MAX = 64 // of parentheses and NOTs that are open
};

/* A text, or a list; NULL or an empty one holds for everything. filter_free() it. */
enum err filter_parse(struct filter **out, const json_t *value);
/* The text alone. */
enum err filter_parse_text(struct filter **out, const char *text, size_t size);
/* Another holder: one more filter_free(). */
struct filter *filter_hold(struct filter *filter);
void filter_free(struct filter *filter);

bool filter_holds(const struct filter *filter, const json_t *document);

/* Fill all of out's room: the documents, by number, for which one condition holds. */
struct bitmap;
struct filter_term;
typedef enum err filter_select_fn(void *owner, const struct filter_term *term, struct bitmap *out);
/* The same for the whole filter, of out's room; numbers without a document may be among them. Fails where select() does. */
enum err filter_select(const struct filter *filter, struct bitmap *out, filter_select_fn *select,
                       void *owner);
/* It holds for everything. */
bool filter_is_empty(const struct filter *filter);
/* Equal filters have equal digests; a bitmap of what it holds for can be named by it. */
struct digest filter_digest(const struct filter *filter);
/* The fields that it asks for, for index 0, 1, …; NULL at the end. Borrowed. A name may come twice. */
const char *filter_field(const struct filter *filter, size_t index);

#endif

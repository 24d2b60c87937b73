/* scheduler/features/search/attribute.h -- what stands in a document under a name.
 *
 * A name is a member of the document, or a way into its objects with dots: "titles.zh" is member "titles.zh", or else
 * member "zh" of the object "titles". Thread: any. */
#ifndef SCHEDULER_FEATURES_SEARCH_ATTRIBUTE_H
#define SCHEDULER_FEATURES_SEARCH_ATTRIBUTE_H

#include <jansson.h>

struct buf;

enum {
    ATTRIBUTE_LEVELS_MAX = 8 // of objects and arrays that are looked into
};

/* Borrowed; NULL when there is none. */
json_t *attribute_find(const json_t *document, const char *name);
/* Every text in the value, a line each: strings, numbers, those in arrays and objects. */
void attribute_write_text(struct buf *out, const json_t *value);

#endif

/* scheduler/features/search/extract.h -- a document in few words: a title and a text for somebody who did not ask for fields.
 *
 * The title is the field that weighs most, of equals the first; of fields that say one thing in several languages ("titles.zh",
 * "titles.en") the one in the question's. The text are the other fields, then what can be filtered by, with the end of its name ("a phone; price: 99; colour: red"). An
 * index that names no fields: member `title` or `name`, and every text of the document. Thread: any. */
#ifndef SCHEDULER_FEATURES_SEARCH_EXTRACT_H
#define SCHEDULER_FEATURES_SEARCH_EXTRACT_H

#include <jansson.h>

struct buf;
struct search_settings;

/* Adds to both. `language`: "en", "zh". */
void extract_text(const struct search_settings *settings, const json_t *document,
                  const char *language, struct buf *title, struct buf *text);

#endif

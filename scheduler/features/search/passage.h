/* scheduler/features/search/passage.h -- the text of a document that its vector is of.
 *
 * The texts of the embedder's fields in their order, a line each; without such fields those of the index' fields; without
 * any, every text of the document but its primary key. Thread: any. */
#ifndef SCHEDULER_FEATURES_SEARCH_PASSAGE_H
#define SCHEDULER_FEATURES_SEARCH_PASSAGE_H

#include "base/err.h"

#include <stddef.h>

struct buf;
struct search_settings;

/* Appended to `out`; nothing where the document has no such text. ERR_FORMAT: the record is no document. */
enum err passage_write(struct buf *out, const struct search_settings *settings, const char *record,
                       size_t size);

#endif

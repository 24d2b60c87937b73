/* scheduler/features/search/remote_document.h -- a document as RediSearch's command, and an index as its schema (remote.h draws the fields).
 *
 * Terms are the analyzer's, coded (redisearch_code.h) behind an `x`, so that nothing splits, stems or stops them there. At the end of each
 * field stands `y`, over which no phrase goes. Thread: as the corpus. */
#ifndef SCHEDULER_FEATURES_SEARCH_REMOTE_DOCUMENT_H
#define SCHEDULER_FEATURES_SEARCH_REMOTE_DOCUMENT_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct buf;
struct corpus;
struct redisearch_command;
struct search_settings;

#define REMOTE_WORDS_PART "\x1f" // between the words of a document

/* FT.CREATE. */
void remote_write_schema(struct redisearch_command *command, const struct search_settings *settings,
                         uint64_t generation);

/* FT.ADD, and the document's words, each behind a REMOTE_WORDS_PART. ERR_FORMAT: the record is no JSON object. */
struct remote_text {
    const char *bytes;
    size_t size;
};

enum err remote_write_document(struct redisearch_command *command, struct corpus *corpus,
                               uint64_t generation, struct remote_text id,
                               struct remote_text record, struct buf *words);

#endif

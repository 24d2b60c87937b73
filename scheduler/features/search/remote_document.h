/* scheduler/features/search/remote_document.h -- a document as RediSearch's command, and an index as its schema (remote.h draws the fields).
 *
 * Terms are the analyzer's, coded (redisearch_code.h), so that nothing splits, stems or stops them there. For phrases they stand in their order
 * (behind a `p`), at the end of each field `y`, over which no phrase goes.
 *
 * RediSearch 1.2 has no score that knows how long a document is. So what BM25 gives for a term's occurrences in a document (lexical.h,
 * by the documents' mean length at that time) is written as 1 to 31, in binary: the term (behind an `x`) stands in those of five fields
 * of weights 1, 2, 4, 8, 16 that make it up, which RediSearch takes for its frequency. Its TFIDF is the sum over terms of frequency × idf, by
 * the highest frequency of the document; that is one word's that all of them have alike.
 *
 * Thread: as the corpus. */
#ifndef SCHEDULER_FEATURES_SEARCH_REMOTE_DOCUMENT_H
#define SCHEDULER_FEATURES_SEARCH_REMOTE_DOCUMENT_H

#include "scheduler/features/search/redisearch_link.h"

#include "base/buf.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct corpus;
struct search_settings;

enum {
    REMOTE_IMPACTS = 5 // fields, each of twice the weight
};

#define REMOTE_WORDS_PART "\x1f" // before each word of a document
#define REMOTE_TERMS_PART ","    // before each coded term

/* FT.CREATE. */
void remote_write_schema(struct redisearch_command *command, const struct search_settings *settings,
                         uint64_t generation);

struct remote_text {
    const char *bytes;
    size_t size;
};

struct remote_words {
    struct buf words, terms; // each behind its part
    size_t length;           // terms in their order
};

/* Of all documents, in terms in their order. */
struct remote_extent {
    double documents, positions;
};

/* A document on its way in: what is sent, and what it is counted by. */
struct remote_write {
    struct redisearch_command add, hash; // FT.ADD, HMSET
    struct remote_words words;
    struct remote_extent *extent; // given, not NULL: it is counted in
};

/* ERR_FORMAT, and nothing was written: the record is no JSON object. */
enum err remote_write_document(struct remote_write *out, struct corpus *corpus, uint64_t generation,
                               struct remote_text id, struct remote_text record);

#endif

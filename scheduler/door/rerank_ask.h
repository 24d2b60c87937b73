/* scheduler/door/rerank_ask.h -- the body of a request for a rerank, checked, in either of two shapes.
 *
 *      Cohere, Jina                                      text-embeddings-inference
 *      query                                             query
 *      documents           strings, {"text": …}          texts                  strings
 *      top_n               the best so many; all
 *      return_documents    false                         return_text            false
 *      max_tokens_per_doc  4096: cut there
 *      truncate            true                          truncate               false
 *      rank_fields         ["text"]                      truncation_direction   "right"
 *
 * Both: model (the first that scores when absent), raw_scores (the model's own numbers; false). Members that nobody knows are
 * ignored. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_RERANK_ASK_H
#define SCHEDULER_DOOR_RERANK_ASK_H

#include "scheduler/door/errand.h"

#include "base/err.h"

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>

enum {
    RERANK_TEXTS_MAX = 1000
};

enum rerank_shape {
    RERANK_DOCUMENTS, // Cohere's and Jina's
    RERANK_TEXTS      // of text-embeddings-inference
};

struct rerank_ask {
    enum rerank_shape shape;
    json_t *root; // what the texts are borrowed from
    const char *model;
    struct errand_text query, *texts;
    size_t count, top_count, text_tokens;
    bool with_texts, is_raw, truncate;
};

/* ERR_INVALID, ERR_TOO_LARGE of json_read(). Whatever it says, rerank_ask_fini() follows. */
enum err rerank_ask_parse(struct rerank_ask *ask, enum rerank_shape shape, const char *body,
                          size_t size);
void rerank_ask_fini(struct rerank_ask *ask);
/* "documents", "texts". */
const char *rerank_ask_list(const struct rerank_ask *ask);

#endif

/* Any bytes as the body of a request for embeddings, and of a rerank in both shapes: refused with a note, or every text of it can
 * be read, and the bounds hold. Built with libFuzzer, or with tests/fuzz/corpus.c. */
#include "scheduler/core/sets.h"
#include "scheduler/door/embeddings_ask.h"
#include "scheduler/door/json.h"
#include "scheduler/door/rerank_ask.h"

#include "base/must.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Touches every byte. */
static void read_texts(const struct errand_text *texts, size_t count)
{
    volatile size_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < texts[i].size; k++)
            sum += (unsigned char)texts[i].text[k];
        for (size_t k = 0; k < texts[i].id_count; k++) {
            must(texts[i].ids[k] >= 0);
            sum += (size_t)texts[i].ids[k];
        }
    }
}

static void embed(const char *body, size_t size)
{
    const struct fleet_model model = {.vocab_size = 1000, .vector_size = 16};
    struct embeddings_ask ask;
    json_param_clear();
    enum err err = embeddings_ask_parse(&ask, body, size);
    if (!err) {
        must(ask.count > 0 && ask.count <= ERRAND_TEXTS_MAX);
        read_texts(ask.texts, ask.count);
        err = embeddings_ask_check(&ask, &model);
        must(err || (ask.dimensions > 0 && ask.dimensions <= model.vector_size));
    }
    must(!err || *err_text());
    embeddings_ask_fini(&ask);
}

static void rerank(enum rerank_shape shape, const char *body, size_t size)
{
    struct rerank_ask ask;
    json_param_clear();
    enum err err = rerank_ask_parse(&ask, shape, body, size);
    if (!err) {
        must(ask.count > 0 && ask.count <= RERANK_TEXTS_MAX);
        must(ask.top_count > 0 && ask.top_count <= ask.count && ask.query.size > 0);
        read_texts(&ask.query, 1);
        read_texts(ask.texts, ask.count);
    }
    must(!err || *err_text());
    rerank_ask_fini(&ask);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    embed((const char *)data, size);
    rerank(RERANK_DOCUMENTS, (const char *)data, size);
    rerank(RERANK_TEXTS, (const char *)data, size);
    return 0;
}

#include "scheduler/door/rerank_ask.h"

#include "scheduler/door/json.h"

#include "wire/message.h"

#include "base/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
    TEXT_TOKENS = 4096 // of a document, when it is not said: as Cohere has it
};

const char *rerank_ask_list(const struct rerank_ask *ask)
{
    return ask->shape == RERANK_DOCUMENTS ? "documents" : "texts";
}

static enum err read_query(struct rerank_ask *ask)
{
    const json_t *query = json_find(ask->root, "query");
    if (!json_is_string(query) || json_string_length(query) == 0)
        return json_wrong("query", "must be a string that is not empty");
    ask->query =
        (struct errand_text){.text = json_string_value(query), .size = json_string_length(query)};
    return ERR_OK;
}

static enum err read_text(struct rerank_ask *ask, size_t index, const json_t *value)
{
    char param[JSON_PARAM_MAX];
    bool documents = ask->shape == RERANK_DOCUMENTS;
    const json_t *text =
        documents && json_is_object(value) ? json_object_get(value, "text") : value;
    if (!json_is_string(text)) {
        snprintf(param, sizeof param, "%s[%zu]", rerank_ask_list(ask), index);
        return json_wrong(param, documents ? "must be a string, or an object with a string `text`"
                                           : "must be a string");
    }
    ask->texts[index] =
        (struct errand_text){.text = json_string_value(text), .size = json_string_length(text)};
    return ERR_OK;
}

static enum err read_texts(struct rerank_ask *ask)
{
    const char *name = rerank_ask_list(ask);
    const json_t *list = json_find(ask->root, name);
    size_t count = json_array_size(list);
    if (count == 0) return json_wrong(name, "must be a list of at least one text");
    if (count > RERANK_TEXTS_MAX)
        return json_wrong(name, "must be at most %d texts", RERANK_TEXTS_MAX);
    ask->texts = mem_new(count, sizeof *ask->texts);
    ask->count = count;
    for (size_t i = 0; i < count; i++)
        TRY(read_text(ask, i, json_array_get(list, i)));
    return ERR_OK;
}

static enum err read_documents_way(struct rerank_ask *ask)
{
    int64_t top = (int64_t)ask->count, tokens = TEXT_TOKENS;
    const json_t *fields = json_find(ask->root, "rank_fields");
    ask->truncate = true;
    TRY(json_take_integer(ask->root, "top_n", 1, INT32_MAX, &top));
    TRY(json_take_integer(ask->root, "max_tokens_per_doc", 1, WIRE_IDS_MAX, &tokens));
    TRY(json_take_flag(ask->root, "return_documents", NULL, &ask->with_texts));
    TRY(json_take_flag(ask->root, "truncate", NULL, &ask->truncate));
    if (fields && (json_array_size(fields) != 1 || !json_is_string(json_array_get(fields, 0)) ||
                   strcmp(json_string_value(json_array_get(fields, 0)), "text") != 0))
        return json_wrong("rank_fields",
                          "is not supported: a document is read by its `text` alone");
    ask->top_count = (size_t)top < ask->count ? (size_t)top : ask->count;
    ask->text_tokens = (size_t)tokens;
    return ERR_OK;
}

static enum err read_texts_way(struct rerank_ask *ask)
{
    const char *direction = "right";
    ask->top_count = ask->count;
    TRY(json_take_flag(ask->root, "return_text", NULL, &ask->with_texts));
    TRY(json_take_flag(ask->root, "truncate", NULL, &ask->truncate));
    TRY(json_take_text(ask->root, "truncation_direction", 1, 16, &direction));
    if (strcasecmp(direction, "right") == 0) return ERR_OK;
    return json_wrong("truncation_direction", "must be \"right\": texts are cut at their end");
}

enum err rerank_ask_parse(struct rerank_ask *ask, enum rerank_shape shape, const char *body,
                          size_t size)
{
    *ask = (struct rerank_ask){.shape = shape};
    TRY(json_read(&ask->root, body, size));
    TRY(json_take_text(ask->root, "model", 1, WIRE_NAME_MAX, &ask->model));
    TRY(read_query(ask));
    TRY(read_texts(ask));
    TRY(json_take_flag(ask->root, "raw_scores", NULL, &ask->is_raw));
    return shape == RERANK_DOCUMENTS ? read_documents_way(ask) : read_texts_way(ask);
}

void rerank_ask_fini(struct rerank_ask *ask)
{
    mem_free(ask->texts);
    json_decref(ask->root);
    *ask = (struct rerank_ask){0};
}

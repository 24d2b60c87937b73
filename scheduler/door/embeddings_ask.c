#include "scheduler/door/embeddings_ask.h"

#include "scheduler/core/sets.h"
#include "scheduler/door/json.h"

#include "wire/message.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

static enum err wrong_input(size_t index, const char *what)
{
    char param[JSON_PARAM_MAX];
    snprintf(param, sizeof param, "input[%zu]", index);
    return json_wrong(param, "%s", what);
}

/* `ids` has room for them. */
static enum err take_ids(struct embeddings_ask *ask, size_t index, const json_t *list, int32_t *ids)
{
    size_t count = json_array_size(list);
    for (size_t i = 0; i < count; i++) {
        const json_t *id = json_array_get(list, i);
        if (!json_is_integer(id) || json_integer_value(id) < 0 ||
            json_integer_value(id) > INT32_MAX)
            return wrong_input(index, "must hold token ids");
        ids[i] = (int32_t)json_integer_value(id);
    }
    ask->texts[index] = (struct errand_text){.ids = ids, .id_count = count};
    return count == 0 ? wrong_input(index, "is empty") : ERR_OK;
}

static enum err take_text(struct embeddings_ask *ask, size_t index, const json_t *value)
{
    if (!json_is_string(value))
        return wrong_input(index, "must be a string or a list of token ids");
    ask->texts[index] =
        (struct errand_text){.text = json_string_value(value), .size = json_string_length(value)};
    return ask->texts[index].size > 0 ? ERR_OK : wrong_input(index, "is empty");
}

static enum err read_inputs(struct embeddings_ask *ask)
{
    const json_t *list = json_find(ask->root, "input");
    bool one = json_is_string(list) || json_is_integer(json_array_get(list, 0));
    ask->count = one ? 1 : json_array_size(list);
    if (ask->count == 0)
        return json_wrong("input", "must be a string, a list of token ids, or a list of those");
    if (ask->count > ERRAND_TEXTS_MAX)
        return json_wrong("input", "must be at most %d texts", ERRAND_TEXTS_MAX);
    for (size_t i = 0; i < ask->count; i++)
        ask->id_count += json_array_size(one ? list : json_array_get(list, i));
    ask->texts = mem_new(ask->count, sizeof *ask->texts);
    ask->ids = mem_new(ask->id_count + 1, sizeof *ask->ids);
    int32_t *ids = ask->ids;
    for (size_t i = 0; i < ask->count; i++) {
        const json_t *value = one ? list : json_array_get(list, i);
        if (json_is_array(value))
            TRY(take_ids(ask, i, value, ids));
        else
            TRY(take_text(ask, i, value));
        ids += ask->texts[i].id_count;
    }
    return ERR_OK;
}

enum err embeddings_ask_parse(struct embeddings_ask *ask, const char *body, size_t size)
{
    const char *format = "float";
    int64_t dimensions = 0;
    *ask = (struct embeddings_ask){0};
    TRY(json_read(&ask->root, body, size));
    TRY(json_take_text(ask->root, "model", 1, WIRE_NAME_MAX, &ask->model));
    TRY(json_take_text(ask->root, "encoding_format", 1, 16, &format));
    TRY(json_take_integer(ask->root, "dimensions", 1, WIRE_VECTOR_MAX, &dimensions));
    TRY(json_take_flag(ask->root, "truncate", NULL, &ask->truncate));
    ask->dimensions = (uint32_t)dimensions;
    ask->base64 = strcmp(format, "base64") == 0;
    if (!ask->base64 && strcmp(format, "float") != 0)
        return json_wrong("encoding_format", "must be \"float\" or \"base64\"");
    return read_inputs(ask);
}

void embeddings_ask_fini(struct embeddings_ask *ask)
{
    json_decref(ask->root);
    mem_free(ask->texts);
    mem_free(ask->ids);
    *ask = (struct embeddings_ask){0};
}

enum err embeddings_ask_check(struct embeddings_ask *ask, const struct fleet_model *model)
{
    if (model->vector_size == 0)
        return json_wrong("model", "says of itself that its vectors have no numbers");
    if (ask->dimensions > model->vector_size)
        return json_wrong("dimensions", "must be at most %u for this model", model->vector_size);
    if (ask->dimensions == 0) ask->dimensions = model->vector_size;
    for (size_t i = 0; i < ask->count; i++)
        for (size_t k = 0; k < ask->texts[i].id_count; k++)
            if ((uint32_t)ask->texts[i].ids[k] >= model->vocab_size)
                return wrong_input(i, "must hold token ids of the model");
    return ERR_OK;
}

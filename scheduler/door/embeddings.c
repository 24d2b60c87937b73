#include "scheduler/door/embeddings.h"

#include "scheduler/door/choose.h"
#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/errand.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/urgency.h"
#include "scheduler/door/wait.h"
#include "scheduler/scribe.h"
#include "scheduler/settings.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

#include <sodium.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    FLOATS_SHORT_MAX = 16 << 10 // numbers that may be written on the loop
};

struct embeddings {
    struct door *door;
    struct http_request *request; // NULL: the client is gone
    bool works;                   // a worker has it
    json_t *root;                 // until the errand has begun
    struct context context;
    struct urgency urgency;
    struct chosen chosen;
    struct errand_text *texts;
    int32_t *ids; // of all inputs that are ids
    size_t count;
    uint32_t dimensions;
    bool base64, truncate;
    struct errand *errand;
    struct buf body;
};

static void forget_question(struct embeddings *e)
{
    json_decref(e->root);
    mem_free(e->texts);
    mem_free(e->ids);
    e->root = NULL;
    e->texts = NULL;
    e->ids = NULL;
}

static void finish(struct embeddings *e)
{
    forget_question(e);
    if (e->errand) errand_free(e->errand);
    chosen_release(&e->chosen);
    e->door->answers--;
    buf_fini(&e->body);
    mem_free(e);
}

static void fail_with(struct embeddings *e, const struct http_error *error)
{
    http_reply_error(e->request, error);
    finish(e);
}

static void on_gone(void *argument)
{
    struct embeddings *e = argument;
    e->request = NULL;
    if (!e->works) finish(e); // else when the worker is done
}

/* The reply, from the vectors. May be on a worker. */
static void write_body(void *argument)
{
    struct embeddings *e = argument;
    struct buf *body = &e->body;
    size_t bytes = e->dimensions * sizeof(float);
    size_t room = sodium_base64_encoded_len(bytes, sodium_base64_VARIANT_ORIGINAL);
    char *coded = mem_new(room, 1);
    buf_add_text(body, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < e->count; i++) {
        const float *vector = errand_numbers(e->errand, i);
        buf_addf(body, "%s{\"object\":\"embedding\",\"index\":%zu,\"embedding\":", i ? "," : "", i);
        if (e->base64) {
            sodium_bin2base64(coded, room, (const unsigned char *)vector, bytes,
                              sodium_base64_VARIANT_ORIGINAL);
            buf_addf(body, "\"%s\"}", coded);
            continue;
        }
        for (uint32_t k = 0; k < e->dimensions; k++)
            buf_addf(body, "%c%.9g", k ? ',' : '[', (double)vector[k]);
        buf_add_text(body, "]}");
    }
    buf_add_text(body, "],\"model\":");
    json_write_string(body, e->chosen.model.name);
    uint64_t tokens = errand_tokens(e->errand);
    buf_addf(body, ",\"usage\":{\"prompt_tokens\":%" PRIu64 ",\"total_tokens\":%" PRIu64 "}}",
             tokens, tokens);
    mem_free(coded);
}

static void on_written(void *argument)
{
    struct embeddings *e = argument;
    e->works = false;
    if (e->request && e->body.size == 0) { // the scheduler stops, and no worker did it
        fail_with(e,
                  &(struct http_error){.err = ERR_UNAVAILABLE, .message = "the scheduler stops"});
        return;
    }
    if (e->request) http_reply_json(e->request, 200, e->body.data, e->body.size);
    finish(e);
}

static void on_answered(void *owner, const struct http_error *error)
{
    struct embeddings *e = owner;
    if (error) {
        fail_with(e, error);
        return;
    }
    e->works = e->count * e->dimensions > FLOATS_SHORT_MAX &&
               scribe_submit(e->door->scribe, write_body, on_written, e);
    if (e->works) return;
    write_body(e);
    on_written(e);
}

static enum err wrong_input(size_t index, const char *what)
{
    char param[JSON_PARAM_MAX];
    snprintf(param, sizeof param, "input[%zu]", index);
    return json_wrong(param, "%s", what);
}

/* `ids` has room for them. */
static enum err take_ids(struct embeddings *e, size_t index, const json_t *list, int32_t *ids)
{
    size_t count = json_array_size(list);
    for (size_t i = 0; i < count; i++) {
        const json_t *id = json_array_get(list, i);
        if (!json_is_integer(id) || json_integer_value(id) < 0 ||
            json_integer_value(id) >= e->chosen.model.vocab_size)
            return wrong_input(index, "must hold token ids of the model");
        ids[i] = (int32_t)json_integer_value(id);
    }
    e->texts[index] = (struct errand_text){.ids = ids, .id_count = count};
    return count == 0 ? wrong_input(index, "is empty") : ERR_OK;
}

static enum err take_text(struct embeddings *e, size_t index, const json_t *value)
{
    if (!json_is_string(value))
        return wrong_input(index, "must be a string or a list of token ids");
    e->texts[index] =
        (struct errand_text){.text = json_string_value(value), .size = json_string_length(value)};
    return e->texts[index].size > 0 ? ERR_OK : wrong_input(index, "is empty");
}

static enum err read_inputs(struct embeddings *e)
{
    const json_t *list = json_find(e->root, "input");
    bool one = json_is_string(list) || json_is_integer(json_array_get(list, 0));
    size_t id_count = 0;
    e->count = one ? 1 : json_array_size(list);
    if (e->count == 0)
        return json_wrong("input", "must be a string, a list of token ids, or a list of those");
    if (e->count > ERRAND_TEXTS_MAX)
        return json_wrong("input", "must be at most %d texts", ERRAND_TEXTS_MAX);
    for (size_t i = 0; i < e->count; i++)
        id_count += json_array_size(one ? list : json_array_get(list, i));
    e->texts = mem_new(e->count, sizeof *e->texts);
    e->ids = mem_new(id_count + 1, sizeof *e->ids);
    int32_t *ids = e->ids;
    for (size_t i = 0; i < e->count; i++) {
        const json_t *value = one ? list : json_array_get(list, i);
        if (json_is_array(value))
            TRY(take_ids(e, i, value, ids));
        else
            TRY(take_text(e, i, value));
        ids += e->texts[i].id_count;
    }
    return ERR_OK;
}

static enum err read_ask(struct embeddings *e, const char **code)
{
    size_t size;
    const char *name = NULL, *format = "float", *body = http_body(e->request, &size);
    const struct fleet_model *model = &e->chosen.model;
    int64_t dimensions = 0;
    TRY(json_read(&e->root, body, size));
    TRY(json_take_text(e->root, "model", 1, WIRE_NAME_MAX, &name));
    TRY(json_take_text(e->root, "encoding_format", 1, 16, &format));
    TRY(json_take_integer(e->root, "dimensions", 1, WIRE_VECTOR_MAX, &dimensions));
    TRY(json_take_flag(e->root, "truncate", NULL, &e->truncate));
    TRY(urgency_read(&e->urgency, e->root, e->context.key, e->door->settings->deadline_ms));
    e->base64 = strcmp(format, "base64") == 0;
    if (!e->base64 && strcmp(format, "float") != 0)
        return json_wrong("encoding_format", "must be \"float\" or \"base64\"");
    TRY(choose_and_hold(e->door, WIRE_EMBED, name, &e->chosen, code));
    e->dimensions = model->vector_size;
    if (model->vector_size == 0)
        return json_wrong("model", "says of itself that its vectors have no numbers");
    if (dimensions > model->vector_size)
        return json_wrong("dimensions", "must be at most %u for this model", model->vector_size);
    if (dimensions > 0) e->dimensions = (uint32_t)dimensions;
    return read_inputs(e);
}

static enum err send(struct embeddings *e)
{
    struct errand_options options = {
        .door = e->door,
        .request = e->request,
        .context = &e->context,
        .kind = WIRE_EMBED,
        .chosen = &e->chosen,
        .priority = e->urgency.priority,
        .deadline_ns = clock_now_ns() + e->urgency.deadline_ms * CLOCK_MS,
        .texts = e->texts,
        .count = e->count,
        .width = e->dimensions,
        .truncate = e->truncate,
        .list_name = "input",
        .cure = "say \"truncate\": true",
        .done = on_answered,
        .owner = e,
    };
    TRY(errand_start(&e->errand, &options));
    http_set_gone(e->request, on_gone, e);
    forget_question(e);
    return ERR_OK;
}

void embeddings_post(struct door *door, struct http_request *request)
{
    struct embeddings *e = mem_new(1, sizeof *e);
    const char *code = NULL;
    *e = (struct embeddings){.door = door, .request = request};
    door->answers++;
    json_param_clear();
    enum err err = context_read(&e->context, door->keys, request);
    if (!err) err = read_ask(e, &code);
    if (err && waits_take(door->waits, request, err, embeddings_post)) {
        finish(e);
        return;
    }
    if (!err) err = send(e);
    if (err)
        fail_with(e, &(struct http_error){
                         .err = err, .message = err_text(), .param = json_param(), .code = code});
}

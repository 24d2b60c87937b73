#include "scheduler/door/embeddings.h"

#include "scheduler/core/fleet.h"
#include "scheduler/core/flight.h"
#include "scheduler/door/choose.h"
#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/prompt.h"
#include "scheduler/door/quota.h"
#include "scheduler/door/urgency.h"
#include "scheduler/door/wait.h"
#include "scheduler/lexicon.h"
#include "scheduler/scribe.h"
#include "scheduler/settings.h"

#include "text/pack.h"
#include "text/tokenizer.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"

#include <sodium.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    FLOATS_SHORT_MAX = 16 << 10 // numbers that may be written on the loop
};

struct embeddings;

struct input {
    struct embeddings *owner;
    const char *text; // borrowed from the body; NULL: its ids were given
    size_t size;
    struct token_ids ids; // as the node gets them
    uint64_t flight;      // 0: not in the air
    float *vector;        // [dimensions], once it is there
};

struct embeddings {
    struct door *door;
    struct http_request *request; // NULL: the client is gone
    bool works;                   // a worker has it
    json_t *root;
    struct context context;
    struct urgency urgency;
    struct fleet_model model;  // as it was when the request came
    struct lexicon_pack *pack; // held
    struct quota quota;
    struct input *inputs;
    size_t count, next, in_air, done;
    uint32_t dimensions;
    bool base64, truncate;
    uint64_t tokens; // of all inputs
    uint64_t deadline_ns;
    enum err err; // of the worker
    char note[ERR_NOTE_MAX];
    char param[JSON_PARAM_MAX];
    struct buf body;
};

/* Everything in the air comes down, limits are settled, nothing is said. */
static void finish(struct embeddings *e)
{
    uint64_t used = 0;
    for (size_t i = 0; i < e->count; i++) {
        struct input *input = &e->inputs[i];
        if (input->flight) flight_cancel(e->door->flights, input->flight, clock_now_ns());
        if (input->vector) used += input->ids.count;
        token_ids_fini(&input->ids);
        mem_free(input->vector);
    }
    quota_settle(&e->quota, used);
    if (e->pack) lexicon_release(e->pack);
    e->door->answers--;
    json_decref(e->root);
    buf_fini(&e->body);
    mem_free(e->inputs);
    mem_free(e);
}

static void fail_with(struct embeddings *e, const struct http_error *error)
{
    http_reply_error(e->request, error);
    finish(e);
}

static void fail(struct embeddings *e, enum err err, uint32_t retry_ms)
{
    fail_with(e, &(struct http_error){.err = err,
                                      .message = err_text(),
                                      .param = json_param(),
                                      .retry_seconds = retry_ms / 1000 + (retry_ms % 1000 != 0)});
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
        const float *vector = e->inputs[i].vector;
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
    json_write_string(body, e->model.name);
    buf_addf(body, ",\"usage\":{\"prompt_tokens\":%" PRIu64 ",\"total_tokens\":%" PRIu64 "}}",
             e->tokens, e->tokens);
    mem_free(coded);
}

static void on_written(void *argument)
{
    struct embeddings *e = argument;
    e->works = false;
    if (e->request && e->body.size == 0) { // the scheduler stops, and no worker did it
        json_param_clear();
        fail(e, err_note(ERR_UNAVAILABLE, "the scheduler stops"), 0);
        return;
    }
    if (e->request) http_reply_json(e->request, 200, e->body.data, e->body.size);
    finish(e);
}

static void complete(struct embeddings *e)
{
    e->works = e->count * e->dimensions > FLOATS_SHORT_MAX &&
               scribe_submit(e->door->scribe, write_body, on_written, e);
    if (e->works) return;
    write_body(e);
    on_written(e);
}

static void fly(struct embeddings *e);

/* The first `dimensions` numbers, of unit length again if some were cut. */
static void on_whole(void *argument, const struct flight_whole *whole)
{
    struct input *input = argument;
    struct embeddings *e = input->owner;
    if (whole->vector_size < e->dimensions) return; // on_end() finds none
    input->vector = mem_new(e->dimensions, sizeof *input->vector);
    memcpy(input->vector, whole->vector, e->dimensions * sizeof *input->vector);
    if (whole->vector_size == e->dimensions) return;
    double sum = 0;
    for (uint32_t i = 0; i < e->dimensions; i++)
        sum += (double)input->vector[i] * (double)input->vector[i];
    for (uint32_t i = 0; sum > 0 && i < e->dimensions; i++)
        input->vector[i] = (float)((double)input->vector[i] / sqrt(sum));
}

static void on_end(void *argument, const struct flight_end *end)
{
    struct input *input = argument;
    struct embeddings *e = input->owner;
    enum err err = end->err;
    input->flight = 0;
    e->in_air--;
    json_param_clear();
    if (err)
        err_note(err, "%s", end->note ? end->note : err_phrase(err));
    else if (!input->vector)
        err = err_note(ERR_UNAVAILABLE, "a node answered with a vector that is too short");
    if (err) {
        fail(e, err, end->retry_ms);
    } else if (++e->done == e->count) {
        complete(e);
    } else {
        fly(e);
    }
}

static enum err start_flight(struct embeddings *e, struct input *input)
{
    static const struct flight_events events = {.end = on_end, .whole = on_whole};
    struct flight_order order = {
        .kind = WIRE_EMBED,
        .model = e->model.model,
        .adapter = e->model.adapter,
        .numerics = e->model.numerics,
        .ids = input->ids.ids,
        .id_count = input->ids.count,
        .sampling = {.repetition_penalty = 1},
        .tenant = e->context.tenant_tag,
        .tenant_weight = e->context.key->weight,
        .priority = e->urgency.priority,
        // An encoder reads a text as a whole: nothing of it is cached.
        .salt = e->model.kinds & 1u << WIRE_GENERATE ? e->context.salt : 0,
        .deadline_ns = e->deadline_ns,
    };
    for (size_t i = 0; i < sizeof order.trace; i += 8) {
        uint64_t bits = rand_entropy();
        memcpy(order.trace + i, &bits, 8);
    }
    return flight_start(e->door->flights, &order, &events, input, clock_now_ns(), &input->flight);
}

/* As many as may be in the air. One that finds every node full goes when another of ours has ended. */
static void fly(struct embeddings *e)
{
    while (e->next < e->count && e->in_air < EMBEDDINGS_AIR_MAX) {
        json_param_clear();
        enum err err = start_flight(e, &e->inputs[e->next]);
        if (err == ERR_BUSY && e->in_air > 0) return;
        if (err) {
            fail(e, err, err == ERR_BUSY ? flights_refusal_ms(e->door->flights) : 0);
            return;
        }
        e->next++;
        e->in_air++;
    }
}

static void on_reserved(void *owner, enum err err, uint32_t max_tokens, uint32_t retry_seconds)
{
    struct embeddings *e = owner;
    (void)max_tokens;
    json_param_clear();
    if (err)
        fail_with(e, &(struct http_error){
                         .err = err, .message = err_text(), .retry_seconds = retry_seconds});
    else
        fly(e);
}

static enum err wrong_input(size_t index, enum err err, const char *what)
{
    char param[JSON_PARAM_MAX];
    snprintf(param, sizeof param, "input[%zu]", index);
    json_wrong(param, "%s", what);
    return err == ERR_INVALID ? err : err_note(err, "%s %s", param, what);
}

/* Text or ids to what the node reads: with the marks that the model wants around it. */
static enum err frame_input(struct embeddings *e, size_t index)
{
    struct input *input = &e->inputs[index];
    const struct tokenizer *tokenizer = lexicon_text(e->pack)->tokenizer;
    struct token_ids framed = {0};
    uint32_t segment;
    char what[160];
    if (input->text) TRY(tokenizer_encode(tokenizer, input->text, input->size, 0, &input->ids));
    size_t room = e->model.context_length, marks = tokenizer_frame_size(tokenizer, false);
    if (room <= marks) return wrong_input(index, ERR_TOO_LONG, "has no room in this model");
    if (input->ids.count > room - marks) {
        snprintf(what, sizeof what,
                 "has %zu tokens, but the model takes %zu: shorten it, or say \"truncate\": true",
                 input->ids.count, room - marks);
        if (!e->truncate) return wrong_input(index, ERR_TOO_LONG, what);
        input->ids.count = room - marks;
    }
    tokenizer_frame(tokenizer, &input->ids, NULL, &framed, &segment);
    token_ids_fini(&input->ids);
    input->ids = framed;
    e->tokens += framed.count;
    return framed.count > 0 ? ERR_OK : wrong_input(index, ERR_INVALID, "is empty");
}

static void encode(void *argument)
{
    struct embeddings *e = argument;
    json_param_clear();
    e->err = ERR_OK;
    for (size_t i = 0; !e->err && i < e->count; i++)
        e->err = frame_input(e, i);
    if (!e->err) return;
    snprintf(e->note, sizeof e->note, "%s", err_text());
    snprintf(e->param, sizeof e->param, "%s", json_param());
}

static void on_encoded(void *argument)
{
    struct embeddings *e = argument;
    uint32_t nothing;
    e->works = false;
    if (!e->request) {
        finish(e);
        return;
    }
    if (!e->err && e->tokens > UINT32_MAX)
        e->err = err_note(ERR_TOO_LONG, "the inputs have too many tokens together");
    if (e->err) {
        fail_with(e, &(struct http_error){.err = e->err, .message = e->note, .param = e->param});
        return;
    }
    struct quota_ask ask = {.prompt_tokens = (uint32_t)e->tokens, .choices = 1};
    if (!quota_reserve(&e->quota, &ask, on_reserved, e, &nothing)) fly(e);
}

static enum err take_ids(struct embeddings *e, size_t index, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *id = json_array_get(list, i);
        if (!json_is_integer(id) || json_integer_value(id) < 0 ||
            json_integer_value(id) >= e->model.vocab_size)
            return wrong_input(index, ERR_INVALID, "must hold token ids of the model");
        token_ids_add(&e->inputs[index].ids, (int32_t)json_integer_value(id));
    }
    return json_array_size(list) == 0 ? wrong_input(index, ERR_INVALID, "is empty") : ERR_OK;
}

static enum err take_input(struct embeddings *e, size_t index, const json_t *value)
{
    struct input *input = &e->inputs[index];
    input->owner = e;
    if (json_is_array(value)) return take_ids(e, index, value);
    if (!json_is_string(value))
        return wrong_input(index, ERR_INVALID, "must be a string or a list of token ids");
    input->text = json_string_value(value);
    input->size = json_string_length(value);
    return input->size > 0 ? ERR_OK : wrong_input(index, ERR_INVALID, "is empty");
}

static enum err read_inputs(struct embeddings *e)
{
    const json_t *list = json_find(e->root, "input");
    bool one = json_is_string(list) || json_is_integer(json_array_get(list, 0));
    size_t count = one ? 1 : json_array_size(list);
    if (count == 0)
        return json_wrong("input", "must be a string, a list of token ids, or a list of those");
    if (count > EMBEDDINGS_TEXTS_MAX)
        return json_wrong("input", "must be at most %d texts", EMBEDDINGS_TEXTS_MAX);
    e->inputs = mem_new(count, sizeof *e->inputs);
    e->count = count;
    for (size_t i = 0; i < count; i++)
        TRY(take_input(e, i, one ? list : json_array_get(list, i)));
    return ERR_OK;
}

static enum err read_ask(struct embeddings *e, const char **code)
{
    size_t size;
    const char *name = NULL, *format = "float", *body = http_body(e->request, &size);
    const struct fleet_model *model;
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
    TRY(choose_model_for(e->door, WIRE_EMBED, name, &model, code));
    TRY(lexicon_find(e->door->lexicon, &model->pack, &e->pack));
    lexicon_hold(e->pack);
    e->model = *model;
    e->dimensions = model->vector_size;
    if (model->vector_size == 0)
        return json_wrong("model", "says of itself that its vectors have no numbers");
    if (dimensions > model->vector_size)
        return json_wrong("dimensions", "must be at most %u for this model", model->vector_size);
    if (dimensions > 0) e->dimensions = (uint32_t)dimensions;
    e->deadline_ns = clock_now_ns() + e->urgency.deadline_ms * CLOCK_MS;
    return read_inputs(e);
}

void embeddings_post(struct door *door, struct http_request *request)
{
    struct embeddings *e = mem_new(1, sizeof *e);
    const char *code = NULL;
    size_t bytes = 0;
    *e = (struct embeddings){.door = door, .request = request};
    e->quota = (struct quota){.door = door, .request = request, .context = &e->context};
    door->answers++;
    json_param_clear();
    enum err err = context_read(&e->context, door->keys, request);
    if (!err) err = read_ask(e, &code);
    if (err && waits_take(door->waits, request, err, embeddings_post)) {
        finish(e);
        return;
    }
    if (err) {
        fail_with(e, &(struct http_error){
                         .err = err, .message = err_text(), .param = json_param(), .code = code});
        return;
    }
    http_set_gone(request, on_gone, e);
    for (size_t i = 0; i < e->count; i++)
        bytes += e->inputs[i].size;
    e->err = ERR_CANCELED; // until a worker has done it
    e->works = bytes > PROMPT_SHORT_MAX && scribe_submit(door->scribe, encode, on_encoded, e);
    if (e->works) return;
    if (bytes > PROMPT_SHORT_MAX) {
        json_param_clear();
        fail(e, err_note(ERR_BUSY, "too many long texts wait to be tokenised"), 0);
        return;
    }
    encode(e);
    on_encoded(e);
}

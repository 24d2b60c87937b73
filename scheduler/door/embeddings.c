#include "scheduler/door/embeddings.h"

#include "scheduler/door/choose.h"
#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/embeddings_ask.h"
#include "scheduler/door/errand.h"
#include "scheduler/door/govern.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/receipts.h"
#include "scheduler/door/urgency.h"
#include "scheduler/door/wait.h"
#include "scheduler/scribe.h"
#include "scheduler/settings.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

#include <sodium.h>

#include <inttypes.h>

enum {
    FLOATS_SHORT_MAX = 16 << 10 // numbers that may be written on the loop
};

struct embeddings {
    struct door *door;
    struct http_request *request; // NULL: the client is gone
    bool works;                   // a worker has it
    struct embeddings_ask ask;    // its input is gone when the errand has begun
    struct context context;
    struct governed governed;
    struct urgency urgency;
    struct chosen chosen;
    size_t count;
    uint32_t dimensions;
    bool base64;
    struct errand *errand;
    struct buf body;
};

static void finish(struct embeddings *e)
{
    embeddings_ask_fini(&e->ask);
    if (e->errand) errand_free(e->errand);
    chosen_release(&e->chosen);
    govern_drop(&e->governed);
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
    if (e->request) receipts_set_header(e->door, e->request, &e->governed, &e->chosen.model.model);
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

static enum err read_question(struct embeddings *e, const char **code)
{
    size_t size;
    const char *body = http_body(e->request, &size);
    TRY(context_read(&e->context, e->door->keys, e->request));
    TRY(govern_admit(e->door, &e->context, FEATURE_EMBEDDINGS, &e->governed, code));
    TRY(embeddings_ask_parse(&e->ask, body, size));
    TRY(urgency_read(&e->urgency, e->ask.root, e->context.key, e->door->settings->deadline_ms));
    TRY(choose_and_hold(e->door, WIRE_EMBED, e->ask.model, &e->chosen, code));
    TRY(govern_model(e->door, &e->context, FEATURE_EMBEDDINGS, &e->chosen.model, code));
    return embeddings_ask_check(&e->ask, &e->chosen.model);
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
        .texts = e->ask.texts,
        .count = e->ask.count,
        .width = e->ask.dimensions,
        .truncate = e->ask.truncate,
        .list_name = "input",
        .cure = "say \"truncate\": true",
        .done = on_answered,
        .owner = e,
    };
    TRY(errand_start(&e->errand, &options));
    http_set_gone(e->request, on_gone, e);
    e->count = e->ask.count;
    e->dimensions = e->ask.dimensions;
    e->base64 = e->ask.base64;
    embeddings_ask_fini(&e->ask);
    return ERR_OK;
}

void embeddings_post(struct door *door, struct http_request *request)
{
    struct embeddings *e = mem_new(1, sizeof *e);
    const char *code = NULL;
    *e = (struct embeddings){.door = door, .request = request};
    door->answers++;
    json_param_clear();
    enum err err = read_question(e, &code);
    if (err && waits_take(door->waits, request, err, embeddings_post)) {
        finish(e);
        return;
    }
    if (!err) err = send(e);
    if (err)
        fail_with(e, &(struct http_error){
                         .err = err, .message = err_text(), .param = json_param(), .code = code});
}

#include "scheduler/door/rerank.h"

#include "scheduler/door/choose.h"
#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/errand.h"
#include "scheduler/door/govern.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/receipts.h"
#include "scheduler/door/rerank_ask.h"
#include "scheduler/door/urgency.h"
#include "scheduler/door/wait.h"
#include "scheduler/settings.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

enum {
    TEXTS_OF_UNIT = 100 // what Cohere counts as one search
};

struct rerank {
    struct door *door;
    struct http_request *request;
    struct context context;
    struct governed governed;
    struct urgency urgency;
    struct rerank_ask ask;
    struct chosen chosen;
    struct errand *errand;
};

static void finish(struct rerank *r)
{
    if (r->errand) errand_free(r->errand);
    rerank_ask_fini(&r->ask);
    chosen_release(&r->chosen);
    govern_drop(&r->governed);
    r->door->answers--;
    mem_free(r);
}

static void on_gone(void *argument)
{
    finish(argument);
}

static void fail_with(struct rerank *r, const struct http_error *error)
{
    http_reply_error(r->request, error);
    finish(r);
}

struct place {
    size_t index;
    float number; // the model's own
};

static int compare(const void *left, const void *right)
{
    const struct place *a = left, *b = right;
    if (a->number != b->number) return a->number > b->number ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

/* All places, the best first; mem_free() them. */
static struct place *sort(const struct rerank *r)
{
    struct place *places = mem_new(r->ask.count, sizeof *places);
    for (size_t i = 0; i < r->ask.count; i++)
        places[i] = (struct place){i, errand_numbers(r->errand, i)[0]};
    qsort(places, r->ask.count, sizeof *places, compare);
    return places;
}

static void write_results(const struct rerank *r, struct buf *body)
{
    bool documents = r->ask.shape == RERANK_DOCUMENTS;
    struct place *places = sort(r);
    buf_add_byte(body, '[');
    for (size_t i = 0; i < r->ask.top_count; i++) {
        const struct errand_text *text = &r->ask.texts[places[i].index];
        double score = (double)places[i].number;
        if (!r->ask.is_raw) score = 1 / (1 + exp(-score));
        buf_addf(body, "%s{\"index\":%zu,\"%s\":%.9g", i ? "," : "", places[i].index,
                 documents ? "relevance_score" : "score", score);
        if (r->ask.with_texts) {
            buf_add_text(body, documents ? ",\"document\":{\"text\":" : ",\"text\":");
            json_write_text(body, text->text, text->size);
            if (documents) buf_add_byte(body, '}');
        }
        buf_add_byte(body, '}');
    }
    buf_add_byte(body, ']');
    mem_free(places);
}

static void reply(struct rerank *r)
{
    struct buf body = {0};
    uint64_t tokens = errand_tokens(r->errand);
    if (r->ask.shape == RERANK_TEXTS) {
        write_results(r, &body);
    } else {
        buf_addf(&body,
                 "{\"id\":\"rerank-%016" PRIx64 "%016" PRIx64 "\",\"model\":", rand_entropy(),
                 rand_entropy());
        json_write_string(&body, r->chosen.model.name);
        buf_add_text(&body, ",\"results\":");
        write_results(r, &body);
        buf_addf(&body,
                 ",\"meta\":{\"api_version\":{\"version\":\"2\"},\"billed_units\":{\"search_"
                 "units\":%zu}},"
                 "\"usage\":{\"prompt_tokens\":%" PRIu64 ",\"total_tokens\":%" PRIu64 "}}",
                 (r->ask.count + TEXTS_OF_UNIT - 1) / TEXTS_OF_UNIT, tokens, tokens);
    }
    receipts_set_header(r->door, r->request, &r->governed, &r->chosen.model.model);
    http_reply_json(r->request, 200, body.data, body.size);
    buf_fini(&body);
    finish(r);
}

static void on_scored(void *owner, const struct http_error *error)
{
    struct rerank *r = owner;
    if (error)
        fail_with(r, error);
    else
        reply(r);
}

static enum err read_question(struct rerank *r, enum rerank_shape shape, const char **code)
{
    size_t size;
    const char *body = http_body(r->request, &size);
    TRY(context_read(&r->context, r->door->keys, r->request));
    TRY(govern_admit(r->door, &r->context, FEATURE_RERANK, &r->governed, code));
    TRY(rerank_ask_parse(&r->ask, shape, body, size));
    TRY(urgency_read(&r->urgency, r->ask.root, r->context.key, r->door->settings->deadline_ms));
    TRY(choose_and_hold(r->door, WIRE_SCORE, r->ask.model, &r->chosen, code));
    return govern_model(r->door, &r->context, FEATURE_RERANK, &r->chosen.model, code);
}

static enum err send(struct rerank *r)
{
    struct errand_options options = {
        .door = r->door,
        .request = r->request,
        .context = &r->context,
        .kind = WIRE_SCORE,
        .chosen = &r->chosen,
        .priority = r->urgency.priority,
        .deadline_ns = clock_now_ns() + r->urgency.deadline_ms * CLOCK_MS,
        .query = r->ask.query,
        .texts = r->ask.texts,
        .count = r->ask.count,
        .width = 1,
        .text_tokens = r->ask.text_tokens,
        .truncate = r->ask.truncate,
        .list_name = rerank_ask_list(&r->ask),
        .cure = "say \"truncate\": true",
        .done = on_scored,
        .owner = r,
    };
    TRY(errand_start(&r->errand, &options));
    http_set_gone(r->request, on_gone, r);
    return ERR_OK;
}

static void handle(struct door *door, struct http_request *request, enum rerank_shape shape,
                   void (*again)(struct door *door, struct http_request *request))
{
    struct rerank *r = mem_new(1, sizeof *r);
    const char *code = NULL;
    *r = (struct rerank){.door = door, .request = request};
    door->answers++;
    json_param_clear();
    enum err err = read_question(r, shape, &code);
    if (err && waits_take(door->waits, request, err, again)) {
        finish(r);
        return;
    }
    if (!err) err = send(r);
    if (err)
        fail_with(r, &(struct http_error){
                         .err = err, .message = err_text(), .param = json_param(), .code = code});
}

void rerank_post(struct door *door, struct http_request *request)
{
    handle(door, request, RERANK_DOCUMENTS, rerank_post);
}

void rerank_post_texts(struct door *door, struct http_request *request)
{
    handle(door, request, RERANK_TEXTS, rerank_post_texts);
}

#include "scheduler/door/completion.h"

#include "scheduler/core/fleet.h"
#include "scheduler/core/flight.h"
#include "scheduler/door/answer.h"
#include "scheduler/door/ask.h"
#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/prompt.h"
#include "scheduler/door/quota.h"
#include "scheduler/door/status.h"
#include "scheduler/door/talk.h"
#include "scheduler/door/urgency.h"
#include "scheduler/door/wait.h"
#include "scheduler/lexicon.h"
#include "scheduler/scribe.h"
#include "scheduler/settings.h"
#include "scheduler/state/session.h"

#include "text/pack.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/must.h"
#include "base/rand.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    TEXT_TOKENS =
        16 // of a text completion that does not say max_tokens, as the reference API has it
};

enum state {
    STARTING,
    LOADING,   // the session is on its way from Redis
    ENCODING,  // a worker has the prompt
    RESERVING, // Redis decides about the limits
    FLYING,    // a node works on it
    SAVING     // the session is on its way to Redis
};

struct completion {
    struct door *door;
    struct http_request *request; // NULL: the client is gone
    enum state state;
    struct context context;
    struct ask ask;
    struct urgency urgency;
    struct fleet_model model;     // as it was when the request came
    struct lexicon_pack *pack;    // held
    struct talk talk;             // of a session
    struct chat_message *history; // the talk's turns, for the template
    struct prompt prompt;
    struct session_ticket *session;
    struct quota quota;
    uint64_t encode_ns;
    struct answer *answer; // from FLYING on
};

static void finish(struct completion *c)
{
    if (c->answer) answer_free(c->answer);
    if (c->pack) lexicon_release(c->pack);
    c->door->answers--;
    talk_fini(&c->talk);
    mem_free(c->history);
    token_ids_fini(&c->prompt.ids);
    ask_fini(&c->ask);
    mem_free(c);
}

/* Give back what was reserved and not used. */
static void settle(struct completion *c)
{
    uint64_t used = c->answer ? c->prompt.ids.count + answer_usage(c->answer).completion_tokens : 0;
    quota_settle(&c->quota, used);
}

/* End with a failure; its note and field are those of this thread's latest failure. */
static void fail_with(struct completion *c, const struct http_error *error)
{
    if (c->request && c->answer)
        answer_fail(c->answer, error);
    else if (c->request)
        http_reply_error(c->request, error);
    settle(c);
    finish(c);
}

static void fail(struct completion *c, enum err err)
{
    fail_with(c, &(struct http_error){.err = err, .message = err_text(), .param = json_param()});
}

/* The client went away: whatever runs for it stops. */
static void on_gone(void *argument)
{
    struct completion *c = argument;
    c->request = NULL;
    if (c->answer) answer_abandon(c->answer);
    switch (c->state) {
    case LOADING:
    case SAVING: session_drop(c->session); break;
    case RESERVING: break; // settle() gives back what was asked for
    case ENCODING: return; // the worker still reads the texts: on_encoded() finishes
    case FLYING: break;    // answer_abandon() has cancelled it
    case STARTING: must(!"gone in the middle of the handler"); break;
    }
    settle(c);
    finish(c);
}

/* The end of a good answer. */
static void complete(struct completion *c)
{
    settle(c);
    answer_complete(c->answer);
    finish(c);
}

static void on_saved(void *argument, enum err err, uint64_t version)
{
    struct completion *c = argument;
    const char *outcome = err == ERR_CONFLICT     ? "conflict"
                          : err == ERR_STORE_AWAY ? "away"
                          : err                   ? "failed"
                                                  : "saved";
    (void)version;
    metric_add(c->door->metrics, M_sessions_total, outcome, NULL, 1);
    json_param_clear();
    if (err == ERR_OK)
        complete(c);
    else
        fail(c, err);
}

static void on_answered(void *argument, enum err err, uint32_t retry_ms)
{
    struct completion *c = argument;
    json_param_clear();
    if (err) {
        fail_with(c, &(struct http_error){.err = err,
                                          .message = err_text(),
                                          .retry_seconds = (retry_ms + 999) / 1000});
        return;
    }
    if (!c->ask.session) {
        complete(c);
        return;
    }
    size_t size;
    const char *text = answer_text(c->answer, &size);
    talk_add(&c->talk, "assistant", text, size);
    struct session session = {c->talk.version, c->talk.turns, c->talk.count};
    struct session_name name = talk_name(&c->context, c->ask.session);
    c->state = SAVING;
    c->session = session_save(c->door->sessions, &name, &session, on_saved, c);
}

static void fill_order(struct completion *c, struct flight_order *order)
{
    const struct text_pack *text = lexicon_text(c->pack);
    struct wire_sampling sampling = c->ask.sampling;
    if (!c->ask.has_seed) sampling.seed = rand_entropy();
    *order =
        (struct flight_order){.model = c->model.model,
                              .adapter = c->model.adapter,
                              .numerics = c->model.numerics,
                              .ids = c->prompt.ids.ids,
                              .id_count = c->prompt.ids.count,
                              .max_tokens = c->ask.max_tokens,
                              .sampling = sampling,
                              .tenant = c->context.tenant_tag,
                              .tenant_weight = c->context.key->weight,
                              .priority = c->urgency.priority,
                              .salt = c->context.salt,
                              .deadline_ns = clock_now_ns() + c->urgency.deadline_ms * CLOCK_MS};
    order->stop_ids = tokenizer_ends(text->tokenizer, &order->stop_id_count);
    for (size_t i = 0; i < sizeof order->trace; i += 8) {
        uint64_t bits = rand_entropy();
        memcpy(order->trace + i, &bits, 8);
    }
}

static void fly(struct completion *c)
{
    struct flight_order order;
    struct answer_options options = {
        .door = c->door,
        .request = c->request,
        .ask = &c->ask,
        .model = &c->model,
        .tokenizer = lexicon_text(c->pack)->tokenizer,
        .prompt_tokens = (uint32_t)c->prompt.ids.count,
        .ended = on_answered,
        .owner = c,
    };
    fill_order(c, &order);
    json_param_clear();
    enum err err = answer_start(&c->answer, &options, &order);
    if (err) {
        uint32_t ms = err == ERR_BUSY ? flights_refusal_ms(c->door->flights) : 0;
        fail_with(c, &(struct http_error){.err = err,
                                          .message = err_text(),
                                          .param = json_param(),
                                          .retry_seconds = ms / 1000 + (ms % 1000 != 0)});
        return;
    }
    c->state = FLYING;
    mem_free(c->history); // the flight has its copy of the ids, nobody reads the messages again
    c->history = NULL;
}

static void on_reserved(void *owner, enum err err, uint32_t max_tokens, uint32_t retry_seconds)
{
    struct completion *c = owner;
    json_param_clear();
    if (err) {
        fail_with(c, &(struct http_error){
                         .err = err, .message = err_text(), .retry_seconds = retry_seconds});
        return;
    }
    c->ask.max_tokens = max_tokens;
    fly(c);
}

/* The prompt's length is known: does it fit, and may it run? */
static void reserve(struct completion *c)
{
    size_t count = c->prompt.ids.count;
    uint32_t context = c->model.context_length;
    json_param_clear();
    if (count == 0) {
        fail(c, json_wrong(c->ask.kind == ASK_CHAT ? "messages" : "prompt", "is empty"));
        return;
    }
    if (count >= context) {
        fail(c,
             err_note(ERR_TOO_LONG,
                      "the model's context has %u tokens for prompt and answer together, but the "
                      "prompt alone has %zu",
                      context, count));
        return;
    }
    bool said = c->ask.max_tokens > 0;
    if (!said)
        c->ask.max_tokens =
            c->ask.kind == ASK_CHAT ? (uint32_t)c->door->settings->answer_tokens : TEXT_TOKENS;
    if (c->ask.max_tokens > context - count) c->ask.max_tokens = context - (uint32_t)count;
    struct quota_ask ask = {.prompt_tokens = (uint32_t)count,
                            .choices = c->ask.choice_count,
                            .max_tokens = c->ask.max_tokens,
                            .may_shorten = !said};
    c->state = RESERVING;
    if (!quota_reserve(&c->quota, &ask, on_reserved, c)) fly(c);
}

static void use_prompt(struct completion *c)
{
    if (c->prompt.err) {
        json_param_clear();
        fail(c, err_note(c->prompt.err, "%s", c->prompt.note));
        return;
    }
    reserve(c);
}

/* On a worker. */
static void encode_long(void *argument)
{
    struct completion *c = argument;
    prompt_encode(&c->prompt);
}

static void on_encoded(void *argument)
{
    struct completion *c = argument;
    metric_observe(c->door->metrics, M_scribe_seconds, NULL, NULL,
                   (double)(clock_now_ns() - c->encode_ns) / (double)CLOCK_SECOND);
    if (!c->request) {
        finish(c);
        return;
    }
    c->state = STARTING;
    use_prompt(c);
}

/* Messages or text to ids: at once when that is quick, else on a worker. */
static void encode(struct completion *c)
{
    const struct text_pack *text = lexicon_text(c->pack);
    struct prompt *prompt = &c->prompt;
    prompt->tokenizer = text->tokenizer;
    prompt->options = (struct template_options){.add_generation_prompt = true,
                                                .thinking_off = c->ask.thinking_off,
                                                .wall_ms = clock_wall_ms()};
    if (c->ask.kind == ASK_CHAT) {
        prompt->template = lexicon_template(c->pack);
        prompt->messages = c->history ? c->history : c->ask.messages;
        prompt->message_count = c->history ? c->talk.count : c->ask.message_count;
    } else if (c->ask.ids) {
        for (size_t i = 0; i < c->ask.id_count; i++)
            token_ids_add(&prompt->ids, c->ask.ids[i]);
        reserve(c);
        return;
    }
    prompt->text = c->ask.prompt;
    prompt->text_size = c->ask.prompt_size;
    if (prompt_size(prompt) <= PROMPT_SHORT_MAX) {
        prompt_encode(prompt);
        use_prompt(c);
        return;
    }
    prompt->err = ERR_CANCELED; // until a worker has done it
    c->encode_ns = clock_now_ns();
    c->state = ENCODING;
    if (scribe_submit(c->door->scribe, encode_long, on_encoded, c)) return;
    c->state = STARTING;
    json_param_clear();
    fail(c, err_note(ERR_BUSY, "too many long prompts wait to be tokenised"));
}

/* The stored turns and the new ones make the conversation; a client that would pass the limit
 * hears it now, not after its answer. */
static void on_loaded(void *argument, enum err err, const struct session *session)
{
    struct completion *c = argument;
    json_param_clear();
    c->state = STARTING;
    if (err) {
        metric_add(c->door->metrics, M_sessions_total, err == ERR_STORE_AWAY ? "away" : "failed",
                   NULL, 1);
        fail(c, err);
        return;
    }
    metric_add(c->door->metrics, M_sessions_total, "loaded", NULL, 1);
    talk_load(&c->talk, session);
    for (size_t i = 0; i < c->ask.message_count; i++) {
        const struct chat_message *message = &c->ask.messages[i];
        talk_add(&c->talk, message->role, message->content, message->content_size);
    }
    if (c->talk.count + 1 > SESSION_TURNS_MAX || c->talk.bytes > c->door->settings->session_bytes) {
        fail(c,
             err_note(
                 ERR_TOO_LARGE,
                 "the session would have %zu turns and %zu bytes; the limits are %d and %" PRIu64,
                 c->talk.count + 1, c->talk.bytes, SESSION_TURNS_MAX,
                 c->door->settings->session_bytes));
        return;
    }
    c->history = mem_new(c->talk.count, sizeof *c->history);
    for (size_t i = 0; i < c->talk.count; i++) {
        const struct session_turn *turn = &c->talk.turns[i];
        c->history[i] = (struct chat_message){turn->role, strlen(turn->role), turn->content,
                                              turn->content_size};
    }
    encode(c);
}

static enum err unknown_model(struct completion *c, const char *code[1])
{
    struct buf names = {0};
    status_list_models(c->door, &names);
    *code = "model_not_found";
    json_wrong("model", "is not known");
    if (c->ask.model)
        err_note(ERR_NOT_FOUND, "the model '%.*s' does not exist; served are: %s", 100,
                 c->ask.model, names.size ? names.data : "none");
    else
        err_note(ERR_NOT_FOUND, "no model is served");
    buf_fini(&names);
    return ERR_NOT_FOUND;
}

/* The first model that is served, else the first that will be. */
static const struct fleet_model *first_model(const struct door *door)
{
    const struct fleet_model *known = NULL;
    for (size_t i = 0; i < fleet_model_count(door->fleet); i++) {
        const struct fleet_model *model = fleet_model_at(door->fleet, i);
        if (status_is_served(door, model)) return model;
        if (!known && model->current) known = model;
    }
    return known;
}

/* Find the model and hold its text pack. */
static enum err choose_model(struct completion *c, const char *code[1])
{
    const char *name = c->ask.model;
    const struct fleet_model *model =
        name ? fleet_find_model(c->door->fleet, name, strlen(name)) : first_model(c->door);
    if (!model || !(model->kinds & 1u << WIRE_GENERATE)) return unknown_model(c, code);
    if (model->node_count == 0)
        return err_note(ERR_UNAVAILABLE, "no node serves the model '%s' at the moment",
                        model->name);
    struct lexicon_pack *pack;
    TRY(lexicon_find(c->door->lexicon, &model->pack, &pack));
    lexicon_hold(pack);
    c->pack = pack;
    c->model = *model;
    if (c->ask.kind == ASK_CHAT && lexicon_template(pack)->kind == TEMPLATE_NONE)
        return json_wrong("model",
                          "has no chat template that is known here: use /v1/completions, or start "
                          "the scheduler with --chat-template");
    return ask_check_vocab(&c->ask, model->vocab_size);
}

static void start(struct door *door, struct http_request *request, enum ask_kind kind)
{
    struct completion *c = mem_new(1, sizeof *c);
    const char *code = NULL;
    size_t size;
    c->door = door;
    c->request = request;
    c->quota = (struct quota){.door = door, .request = request, .context = &c->context};
    door->answers++;
    enum err err = context_read(&c->context, door->keys, request);
    const char *body = http_body(request, &size);
    if (!err) err = ask_parse(&c->ask, kind, body, size);
    if (!err)
        err = urgency_read(&c->urgency, c->ask.root, c->context.key, door->settings->deadline_ms);
    if (!err && c->ask.session) err = session_check_id(c->ask.session, strlen(c->ask.session));
    if (!err) err = choose_model(c, &code);
    if (err && waits_take(door->waits, request, err,
                          kind == ASK_CHAT ? completion_chat : completion_text)) {
        finish(c);
        return;
    }
    if (err) {
        fail_with(c, &(struct http_error){
                         .err = err, .message = err_text(), .param = json_param(), .code = code});
        return;
    }
    http_set_gone(request, on_gone, c);
    if (!c->ask.session) {
        encode(c);
        return;
    }
    struct session_name name = talk_name(&c->context, c->ask.session);
    c->state = LOADING;
    c->session = session_load(door->sessions, &name, on_loaded, c);
}

void completion_chat(struct door *door, struct http_request *request)
{
    start(door, request, ASK_CHAT);
}

void completion_text(struct door *door, struct http_request *request)
{
    start(door, request, ASK_TEXT);
}

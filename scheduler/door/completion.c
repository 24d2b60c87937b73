#include "scheduler/door/completion.h"

#include "scheduler/core/fleet.h"
#include "scheduler/core/flight.h"
#include "scheduler/door/answer.h"
#include "scheduler/door/append.h"
#include "scheduler/door/ask.h"
#include "scheduler/door/choose.h"
#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/prompt.h"
#include "scheduler/door/quota.h"
#include "scheduler/door/replay.h"
#include "scheduler/door/resume.h"
#include "scheduler/door/sessions.h"
#include "scheduler/door/summary.h"
#include "scheduler/door/urgency.h"
#include "scheduler/door/wait.h"
#include "scheduler/lexicon.h"
#include "scheduler/scribe.h"
#include "scheduler/settings.h"

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
    CLAIMING,   // Redis looks the Idempotency-Key up
    LOADING,    // the session is on its way from Redis
    ENCODING,   // a worker has the prompt
    RESERVING,  // Redis decides about the limits
    SUMMING_UP, // a node works on a summary of the session's oldest turns
    FLYING,     // a node works on it
    SAVING      // the session is on its way to Redis
};

struct completion {
    struct door *door;
    struct http_request *request; // NULL: the client is gone
    enum state state;
    struct context context;
    struct ask ask;
    struct urgency urgency;
    struct fleet_model model;  // as it was when the request came
    struct lexicon_pack *pack; // held
    struct resume *resume;     // NULL: no Idempotency-Key
    struct append append;      // to the session, if there is one
    struct prompt prompt;
    struct quota quota;
    bool admitted; // by it
    uint64_t encode_ns;
    struct answer *answer; // from FLYING on
};

static void finish(struct completion *c)
{
    if (c->answer) answer_free(c->answer);
    if (c->pack) lexicon_release(c->pack);
    c->door->answers--;
    resume_free(c->resume);
    append_fini(&c->append);
    token_ids_fini(&c->prompt.ids);
    ask_fini(&c->ask);
    mem_free(c);
}

/* Give back what was reserved and not used. */
static void settle(struct completion *c)
{
    uint64_t used = c->answer ? c->prompt.ids.count + answer_usage(c->answer).completion_tokens : 0;
    used += append_summary_tokens(&c->append);
    if (c->resume) used = resume_release(c->resume, used);
    quota_settle(&c->quota, used);
}

/* End with a failure; its note and field are those of this thread's latest failure. */
static void fail_with(struct completion *c, const struct http_error *error)
{
    struct http_error full = *error;
    full.more = c->append.told;
    if (c->request) append_set_header(&c->append, c->request);
    if (c->request && c->answer)
        answer_fail(c->answer, &full);
    else if (c->request)
        http_reply_error(c->request, &full);
    settle(c);
    finish(c);
}

static void fail(struct completion *c, enum err err)
{
    fail_with(c, &(struct http_error){.err = err, .message = err_text(), .param = json_param()});
}

static void fail_retry(struct completion *c, enum err err, uint32_t ms)
{
    fail_with(c, &(struct http_error){.err = err,
                                      .message = err_text(),
                                      .param = json_param(),
                                      .retry_seconds = ms / 1000 + (ms % 1000 != 0)});
}

/* The client went away: whatever runs for it stops. */
static void on_gone(void *argument)
{
    struct completion *c = argument;
    c->request = NULL;
    if (c->answer) answer_abandon(c->answer);
    switch (c->state) {
    case CLAIMING: break; // finish() drops it
    case LOADING:
    case SAVING: append_drop(&c->append); break;
    case RESERVING: break; // settle() gives back what was asked for
    case ENCODING: return; // the worker still reads the texts: on_encoded() finishes
    case SUMMING_UP: break;
    case FLYING: break; // answer_abandon() has cancelled it
    case STARTING: must(!"gone in the middle of the handler"); break;
    }
    settle(c);
    finish(c);
}

/* The end of a good answer. */
static void complete(struct completion *c)
{
    settle(c);
    append_set_header(&c->append, c->request);
    answer_tell_session(c->answer, c->append.told);
    answer_complete(c->answer);
    finish(c);
}

/* A turn that was stored before is answered by what was stored. */
static void replay(struct completion *c)
{
    append_set_header(&c->append, c->request);
    replay_send(c->request, &c->ask, &c->model, &c->append.talk.turns[c->append.stored],
                c->append.told, c->resume);
    settle(c);
    finish(c);
}

static void on_saved(void *argument, enum err err)
{
    struct completion *c = argument;
    if (err)
        fail(c, err);
    else if (c->append.repeated && !(c->answer && c->ask.stream))
        replay(c);
    else
        complete(c);
}

static void on_answered(void *argument, enum err err, uint32_t retry_ms)
{
    struct completion *c = argument;
    json_param_clear();
    if (err) {
        fail_retry(c, err, retry_ms);
        return;
    }
    if (c->ask.prewarm) {
        struct shape_usage usage = answer_usage(c->answer);
        sessions_reply_prewarmed(c->request, &c->append, c->model.name, &usage);
        settle(c);
        finish(c);
        return;
    }
    if (!c->ask.session.id) {
        complete(c);
        return;
    }
    size_t size;
    const char *text = answer_text(c->answer, &size);
    c->state = SAVING;
    append_save(&c->append, text, size, answer_was_cut(c->answer), on_saved);
}

static void fill_order(struct completion *c, struct flight_order *order)
{
    const struct text_pack *text = lexicon_text(c->pack);
    struct wire_sampling sampling = c->ask.sampling;
    if (c->resume)
        sampling.seed = resume_seed(c->resume);
    else if (!c->ask.has_seed && !append_seed(&c->append, &sampling.seed))
        sampling.seed = rand_entropy();
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

static void encode(struct completion *c);

/* What a template that says the date says: a retry's is the first attempt's. */
static int64_t wall_ms(const struct completion *c)
{
    return c->resume ? resume_wall_ms(c->resume) : clock_wall_ms();
}

static void on_summed_up(void *argument, enum err err, uint32_t retry_ms)
{
    struct completion *c = argument;
    json_param_clear();
    if (err) {
        fail_retry(c, err, retry_ms);
        return;
    }
    c->state = STARTING;
    encode(c);
}

/* The oldest turns make way for what the model says of them; then the prompt is made again. */
static void sum_up(struct completion *c)
{
    struct flight_order order;
    struct summary_options options = {.door = c->door,
                                      .tokenizer = lexicon_text(c->pack)->tokenizer,
                                      .template = lexicon_template(c->pack),
                                      .wall_ms = wall_ms(c),
                                      .context_length = c->model.context_length,
                                      .ended = on_summed_up,
                                      .owner = c};
    bool flies = false;
    fill_order(c, &order);
    json_param_clear();
    enum err err = append_sum_up(&c->append, &options, &order, c->prompt.ids.count, &flies);
    c->state = SUMMING_UP;
    if (err || !flies)
        on_summed_up(c, err, err == ERR_BUSY ? flights_refusal_ms(c->door->flights) : 0);
}

/* Should this scheduler die, the next one knows what was to be. `max_tokens` 0: that is not sure yet. */
static void mark(struct completion *c, uint32_t max_tokens)
{
    uint64_t tokens = c->prompt.ids.count + (uint64_t)c->ask.choice_count * c->ask.max_tokens;
    if (c->resume) resume_mark(c->resume, tokens, max_tokens);
}

static void fly(struct completion *c)
{
    struct flight_order order;
    c->admitted = true;
    if (append_wants_summary(&c->append, c->prompt.ids.count, c->model.context_length)) {
        sum_up(c);
        return;
    }
    mark(c, c->ask.max_tokens);
    struct answer_options options = {
        .door = c->door,
        .request = c->request,
        .ask = &c->ask,
        .model = &c->model,
        .tokenizer = lexicon_text(c->pack)->tokenizer,
        .resume = c->resume,
        .prompt_tokens = (uint32_t)c->prompt.ids.count,
        .ended = on_answered,
        .owner = c,
    };
    fill_order(c, &order);
    json_param_clear();
    enum err err = answer_start(&c->answer, &options, &order);
    if (err) {
        fail_retry(c, err, err == ERR_BUSY ? flights_refusal_ms(c->door->flights) : 0);
        return;
    }
    c->state = FLYING;
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
    bool sums_up = append_wants_summary(&c->append, count, context);
    if (count >= context && !sums_up) {
        fail(c,
             err_note(ERR_TOO_LONG,
                      "the model's context has %u tokens for prompt and answer together, but the "
                      "prompt alone has %zu%s",
                      context, count, append_advice(&c->append)));
        return;
    }
    bool said = c->ask.max_tokens > 0;
    if (!said)
        c->ask.max_tokens =
            c->ask.kind == ASK_CHAT ? (uint32_t)c->door->settings->answer_tokens : TEXT_TOKENS;
    if (c->ask.max_tokens > context - count && !sums_up)
        c->ask.max_tokens = context - (uint32_t)count;
    if (c->resume && resume_take_max(c->resume, &c->ask.max_tokens)) said = true;
    if (c->admitted) {
        fly(c);
        return;
    }
    // The turns that are summed up now, and what is left of the prompt then, are together what it has now.
    uint32_t summary_room = sums_up ? 2 * SUMMARY_TOKENS_MAX : 0;
    struct quota_ask ask = {.prompt_tokens = (uint32_t)count + summary_room,
                            .choices = c->ask.choice_count,
                            .max_tokens = c->ask.max_tokens,
                            .may_shorten = !said,
                            .paid = c->resume ? resume_paid(c->resume) : 0};
    mark(c, said && !sums_up ? c->ask.max_tokens : 0);
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
    if (c->ask.session.id &&
        append_shrink(&c->append, c->prompt.ids.count, c->model.context_length)) {
        encode(c);
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
        settle(c); // after a summary, something is reserved
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
    token_ids_fini(&prompt->ids); // of a prompt that was too long
    prompt->tokenizer = text->tokenizer;
    prompt->options = (struct template_options){.add_generation_prompt = !c->ask.prewarm,
                                                .thinking_off = c->ask.thinking_off,
                                                .wall_ms = wall_ms(c)};
    if (c->ask.kind == ASK_CHAT) {
        prompt->template = lexicon_template(c->pack);
        prompt->messages = c->ask.messages;
        prompt->message_count = c->ask.message_count;
        if (c->ask.session.id)
            prompt->messages = append_messages(&c->append, &prompt->message_count);
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

/* The stored turns and the new ones are there, or an answer that was stored. */
static void on_loaded(void *argument, enum err err)
{
    struct completion *c = argument;
    c->state = STARTING;
    if (!err && c->resume && !c->append.repeated)
        err = resume_base(c->resume, c->append.talk.version);
    if (err) {
        fail(c, err);
    } else if (!c->append.repeated) {
        encode(c);
    } else if (append_confirm(&c->append, on_saved)) {
        c->state = SAVING;
    } else {
        replay(c);
    }
}

/* On to the prompt: by way of Redis if the conversation is there. */
static void prepare(struct completion *c)
{
    if (!c->ask.session.id) {
        encode(c);
        return;
    }
    c->state = LOADING;
    append_load(&c->append, on_loaded);
}

/* Hold the text pack of the model that will answer, and no other's. */
static enum err hold_model(struct completion *c, const struct fleet_model *model)
{
    struct lexicon_pack *pack;
    TRY(lexicon_find(c->door->lexicon, &model->pack, &pack));
    if (pack != c->pack) {
        lexicon_hold(pack);
        if (c->pack) lexicon_release(c->pack);
        c->pack = pack;
    }
    c->model = *model;
    if (c->ask.kind == ASK_CHAT && lexicon_template(pack)->kind == TEMPLATE_NONE)
        return json_wrong("model",
                          "has no chat template that is known here: use /v1/completions, or start "
                          "the scheduler with --chat-template");
    return ask_check_vocab(&c->ask, model->vocab_size);
}

/* Redis knows what the answer is made of: the model is the first attempt's. */
static void on_claimed(void *argument, enum err err)
{
    struct completion *c = argument;
    json_param_clear();
    c->state = STARTING;
    if (!err) err = hold_model(c, resume_model(c->resume));
    if (!err) {
        prepare(c);
        return;
    }
    struct http_error error = {.err = err, .message = err_text(), .param = json_param()};
    resume_explain(c->resume, &error);
    fail_with(c, &error);
}

static enum err parse(struct completion *c, enum ask_kind kind, const char *prewarmed)
{
    size_t size;
    const char *body = http_body(c->request, &size);
    TRY(prewarmed ? ask_prewarm_parse(&c->ask, prewarmed, body, size)
                  : ask_parse(&c->ask, kind, body, size));
    append_init(&c->append, c->door, &c->context, &c->ask, c);
    return c->ask.session.id ? append_check(&c->append) : ERR_OK;
}

/* `prewarmed`: the session whose prompt is computed; NULL: the body is a completion's. */
static void start(struct door *door, struct http_request *request, enum ask_kind kind,
                  const char *prewarmed)
{
    struct completion *c = mem_new(1, sizeof *c);
    const char *code = NULL;
    c->door = door;
    c->request = request;
    c->quota = (struct quota){.door = door, .request = request, .context = &c->context};
    door->answers++;
    enum err err = context_read(&c->context, door->keys, request);
    if (!err) err = parse(c, kind, prewarmed);
    if (!err)
        err = urgency_read(&c->urgency, c->ask.root, c->context.key, door->settings->deadline_ms);
    const struct fleet_model *model;
    if (!err) err = choose_model(door, &c->ask, &model, &code);
    if (!err) err = hold_model(c, model);
    if (err && waits_take(door->waits, request, err,
                          prewarmed          ? sessions_prewarm
                          : kind == ASK_CHAT ? completion_chat
                                             : completion_text)) {
        finish(c);
        return;
    }
    if (!err && !prewarmed) err = resume_new(&c->resume, door, request, &c->context, &c->ask);
    if (err) {
        fail_with(c, &(struct http_error){
                         .err = err, .message = err_text(), .param = json_param(), .code = code});
        return;
    }
    http_set_gone(request, on_gone, c);
    if (!c->resume) {
        prepare(c);
        return;
    }
    if (c->ask.session.id && !c->ask.session.turn) c->ask.session.turn = resume_turn(c->resume);
    c->state = CLAIMING;
    resume_claim(c->resume, &c->model, on_claimed, c);
}

void completion_chat(struct door *door, struct http_request *request)
{
    start(door, request, ASK_CHAT, NULL);
}

void completion_text(struct door *door, struct http_request *request)
{
    start(door, request, ASK_TEXT, NULL);
}

void completion_prewarm(struct door *door, struct http_request *request, const char *session)
{
    start(door, request, ASK_CHAT, session);
}

#include "scheduler/door/completion.h"

#include "scheduler/door/choose.h"
#include "scheduler/door/completion_internal.h"
#include "scheduler/door/door.h"
#include "scheduler/door/ground.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/resume.h"
#include "scheduler/door/screen.h"
#include "scheduler/door/sessions.h"
#include "scheduler/door/wait.h"
#include "scheduler/lexicon.h"
#include "scheduler/settings.h"

#include "text/pack.h"

#include "base/mem.h"

/* A retry that would be grounded on something else is not the same answer. */
static void on_grounded(void *argument, enum err err)
{
    struct completion *c = argument;
    c->state = STARTING;
    struct http_error error = {0};
    if (!err && c->resume) {
        struct digest digest = grounding_digest(c->grounding);
        json_param_clear();
        err = resume_ground(c->resume, &digest);
        if (err) resume_explain(c->resume, &error);
    }
    if (!err) {
        completion_encode(c);
        return;
    }
    error.err = err;
    error.message = err_text();
    error.param = json_param();
    completion_fail_with(c, &error);
}

/* All messages are there: on to the prompt, by way of what it is grounded on. */
static void ground(struct completion *c)
{
    if (c->ask.context.count == 0) {
        completion_encode(c);
        return;
    }
    struct grounding_options options = {.door = c->door,
                                        .context = &c->context,
                                        .ask = &c->ask,
                                        .tokenizer = lexicon_text(c->pack)->tokenizer,
                                        .context_length = c->model.context_length,
                                        .wait_ms = c->urgency.deadline_ms / 2,
                                        .until_ms = c->resume ? completion_wall_ms(c) : INT64_MAX,
                                        .is_repeatable = c->resume != NULL,
                                        .done = on_grounded,
                                        .owner = c};
    c->state = GROUNDING;
    c->grounding = grounding_start(&options);
}

/* May all that was said before go to a node now? */
static enum err check_turns(const struct completion *c, const char **code)
{
    const struct talk *talk = &c->append.talk;
    json_param_clear();
    for (size_t i = 0; i < talk->fresh; i++)
        TRY(govern_origin(c->door, &c->context, FEATURE_ASSISTANT, talk->turns[i].region, code));
    return ERR_OK;
}

/* The stored turns and the new ones are there, or an answer that was stored. */
static void on_loaded(void *argument, enum err err)
{
    struct completion *c = argument;
    c->state = STARTING;
    if (!err && c->resume && !c->append.repeated)
        err = resume_base(c->resume, c->append.talk.version);
    const char *code = NULL;
    if (!err && !c->append.repeated) err = check_turns(c, &code);
    if (!err && !c->append.repeated) screen_talk(c->screen, &c->append.talk);
    if (err) {
        completion_fail_with(
            c, &(struct http_error){
                   .err = err, .message = err_text(), .param = json_param(), .code = code});
    } else if (!c->append.repeated) {
        ground(c);
    } else if (append_confirm(&c->append, completion_saved)) {
        c->state = SAVING;
    } else {
        completion_replay(c);
    }
}

/* On to the prompt: by way of Redis if the conversation is there. */
static void prepare(struct completion *c)
{
    if (!c->ask.session.id) {
        ground(c);
        return;
    }
    c->state = LOADING;
    append_load(&c->append, on_loaded);
}

/* Hold the text pack of the model that will answer, and no other's. */
static enum err hold_model(struct completion *c, const struct fleet_model *model, const char **code)
{
    struct lexicon_pack *pack;
    TRY(govern_model(c->door, &c->context, FEATURE_ASSISTANT, model, code));
    if (c->ask.context.count > 0)
        TRY(govern_model(c->door, &c->context, FEATURE_GROUNDING, model, code));
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
    const char *code = NULL;
    if (!err) err = hold_model(c, resume_model(c->resume), &code);
    if (!err && c->refused) {
        completion_refuse(c);
        return;
    }
    if (!err) {
        prepare(c);
        return;
    }
    struct http_error error = {
        .err = err, .message = err_text(), .param = json_param(), .code = code};
    resume_explain(c->resume, &error);
    completion_fail_with(c, &error);
}

static enum err parse(struct completion *c, enum ask_kind kind, const char *prewarmed)
{
    size_t size;
    const char *body = http_body(c->request, &size);
    TRY(prewarmed ? ask_prewarm_parse(&c->ask, prewarmed, body, size)
                  : ask_parse(&c->ask, kind, body, size));
    append_init(&c->append, c->door, &c->context, &c->ask, c);
    TRY(redaction_ask(&c->redaction, c->door, &c->context, &c->ask));
    return c->ask.session.id ? append_check(&c->append) : ERR_OK;
}

/* What is said may be answered, or is not. A refusal under an Idempotency-Key is one answer, too: it is claimed as one. */
static void admit(struct completion *c)
{
    c->refused = !screen_prompt(c->screen, &c->ask);
    if (c->refused && !c->resume) {
        completion_refuse(c);
        return;
    }
    if (!c->resume) {
        prepare(c);
        return;
    }
    if (c->ask.session.id && !c->ask.session.turn) c->ask.session.turn = resume_turn(c->resume);
    c->state = CLAIMING;
    resume_claim(c->resume, &c->model, on_claimed, completion_taken, c);
}

static void on_waived(void *owner, enum err err, const char *code)
{
    struct completion *c = owner;
    c->state = STARTING;
    if (!err)
        admit(c);
    else
        completion_fail_with(
            c, &(struct http_error){
                   .err = err, .message = err_text(), .param = json_param(), .code = code});
}

/* Nobody is suspended. */
static void let_in(struct completion *c)
{
    if (waive_ask(&c->waive, on_waived, c))
        c->state = WAIVING;
    else
        admit(c);
}

static void on_screened(void *owner, enum err err, const char *code, uint32_t retry_seconds)
{
    struct completion *c = owner;
    c->state = STARTING;
    if (!err) {
        let_in(c);
        return;
    }
    completion_fail_with(c, &(struct http_error){.err = err,
                                                 .message = err_text(),
                                                 .param = json_param(),
                                                 .code = code,
                                                 .retry_seconds = retry_seconds});
}

/* `prewarmed`: the session whose prompt is computed; NULL: the body is a completion's. */
static void start(struct door *door, struct http_request *request, enum ask_kind kind,
                  const char *prewarmed)
{
    struct completion *c = mem_new(1, sizeof *c);
    const char *code = NULL;
    c->door = door;
    c->request = request;
    own_begin(&c->own);
    c->quota = (struct quota){.door = door, .request = request, .context = &c->context};
    door->answers++;
    enum err err = context_read(&c->context, door->keys, request);
    if (!err) err = govern_admit(door, &c->context, FEATURE_ASSISTANT, &c->governed, &code);
    if (!err) err = waive_read(&c->waive, door, &c->context, &c->governed, request, &code);
    if (!err) err = parse(c, kind, prewarmed);
    if (!err && c->ask.context.count > 0)
        err = govern_also(door, &c->context, FEATURE_GROUNDING, &code);
    if (!err)
        err = urgency_read(&c->urgency, c->ask.root, c->context.key, door->settings->deadline_ms);
    const struct fleet_model *model;
    if (!err) err = choose_model(door, &c->ask, &model, &code);
    if (!err) err = hold_model(c, model, &code);
    if (err && waits_take(door->waits, request, err,
                          prewarmed          ? sessions_prewarm
                          : kind == ASK_CHAT ? completion_chat
                                             : completion_text)) {
        completion_finish(c);
        return;
    }
    if (!err) err = screen_new(&c->screen, door, &c->context, FEATURE_ASSISTANT, &code);
    if (!err) err = screen_check(c->screen, &c->ask);
    if (!err && !prewarmed) err = resume_new(&c->resume, door, request, &c->context, &c->ask);
    if (err) {
        completion_fail_with(
            c, &(struct http_error){
                   .err = err, .message = err_text(), .param = json_param(), .code = code});
        return;
    }
    http_set_gone(request, completion_gone, c);
    if (screen_ask(c->screen, on_screened, c))
        c->state = SCREENING;
    else
        let_in(c);
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

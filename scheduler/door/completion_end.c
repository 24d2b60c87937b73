#include "scheduler/door/answer.h"
#include "scheduler/door/completion_internal.h"
#include "scheduler/door/door.h"
#include "scheduler/door/ground.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/replay.h"
#include "scheduler/door/resume.h"
#include "scheduler/door/screen.h"
#include "scheduler/lexicon.h"

#include "base/mem.h"
#include "base/must.h"

void completion_finish(struct completion *c)
{
    if (c->answer) answer_free(c->answer);
    if (c->pack) lexicon_release(c->pack);
    c->door->answers--;
    resume_free(c->resume);
    append_fini(&c->append);
    grounding_free(c->grounding);
    token_ids_fini(&c->prompt.ids);
    ask_fini(&c->ask);
    redaction_fini(&c->redaction);
    screen_free(c->screen);
    waive_drop(&c->waive);
    govern_drop(&c->governed);
    mem_free(c);
}

/* Give back what was reserved and not used. */
void completion_settle(struct completion *c)
{
    uint64_t used = c->answer ? c->prompt.ids.count + answer_usage(c->answer).completion_tokens : 0;
    used += append_summary_tokens(&c->append);
    if (c->resume) used = resume_release(c->resume, used);
    quota_settle(&c->quota, used);
}

/* End with a failure; its note and field are those of this thread's latest failure. */
void completion_fail_with(struct completion *c, const struct http_error *error)
{
    struct http_error full = *error;
    full.more = c->append.told;
    if (c->request) append_set_header(&c->append, c->request);
    if (c->request && c->answer)
        answer_fail(c->answer, &full);
    else if (c->request)
        http_reply_error(c->request, &full);
    completion_settle(c);
    completion_finish(c);
}

void completion_fail(struct completion *c, enum err err)
{
    completion_fail_with(
        c, &(struct http_error){.err = err, .message = err_text(), .param = json_param()});
}

void completion_fail_retry(struct completion *c, enum err err, uint32_t ms)
{
    completion_fail_with(c, &(struct http_error){.err = err,
                                                 .message = err_text(),
                                                 .param = json_param(),
                                                 .retry_seconds = ms / 1000 + (ms % 1000 != 0)});
}

/* The client went away: whatever runs for it stops. */
void completion_gone(void *argument)
{
    struct completion *c = argument;
    c->request = NULL;
    if (c->answer) answer_abandon(c->answer);
    switch (c->state) {
    case WAIVING: break;   // so does it here
    case SCREENING: break; // completion_finish() drops the question
    case CLAIMING: break;  // completion_finish() drops it
    case LOADING:
    case SAVING: append_drop(&c->append); break;
    case GROUNDING: break; // completion_finish() drops what it waits for
    case RESERVING: break; // completion_settle() gives back what was asked for
    case ENCODING: return; // the worker still reads the texts: on_encoded() finishes
    case SUMMING_UP: break;
    case FLYING: break; // answer_abandon() has cancelled it
    case STARTING: must(!"gone in the middle of the handler"); break;
    }
    completion_settle(c);
    completion_finish(c);
}

/* A newer request goes on with the answer: this connection is told, should anybody still be there. */
void completion_taken(void *argument)
{
    struct completion *c = argument;
    if (!c->request) return; // it ends as soon as a worker lets go of it
    struct http_error error = {.err = ERR_CONFLICT, .message = err_text()};
    resume_explain(c->resume, &error);
    if (c->answer)
        answer_fail(c->answer, &error);
    else
        http_reply_error(c->request, &error);
    completion_gone(c);
}

static void tell_context(struct completion *c)
{
    struct ground_answer answers[ASK_CHOICES_MAX];
    for (uint32_t i = 0; i < c->ask.choice_count; i++)
        answers[i].text = answer_text(c->answer, i, &answers[i].size);
    answer_tell_context(c->answer, grounding_tell(c->grounding, answers, c->ask.choice_count));
}

/* The end of a good answer. */
void completion_complete(struct completion *c)
{
    completion_settle(c);
    append_set_header(&c->append, c->request);
    answer_tell_session(c->answer, c->append.told);
    if (c->grounding) tell_context(c);
    answer_complete(c->answer);
    completion_finish(c);
}

static struct replay_order replay_of(const struct completion *c)
{
    return (struct replay_order){.door = c->door,
                                 .request = c->request,
                                 .ask = &c->ask,
                                 .model = &c->model,
                                 .mark = completion_mark(c)};
}

/* The prompt is not answered, by the rules. */
void completion_refuse(struct completion *c)
{
    struct replay_order order = replay_of(c);
    order.resume = c->resume;
    replay_refusal(&order, screen_refusal(c->screen));
    completion_settle(c);
    completion_finish(c);
}

/* May the model that said it still be heard? An approval is one of models, not of the one that would answer now. */
static enum err check_origin(const struct completion *c, const struct session_turn *turn,
                             const char **code)
{
    struct fleet_model model = c->model;
    if (!c->context.rules) return ERR_OK;
    model.model = turn->model;
    model.adapter = turn->adapter;
    TRY(govern_model(c->door, &c->context, FEATURE_ASSISTANT, &model, code));
    if (c->ask.context.count == 0) return ERR_OK;
    return govern_model(c->door, &c->context, FEATURE_GROUNDING, &model, code);
}

/* A turn that was stored before is answered by what was stored. */
void completion_replay(struct completion *c)
{
    struct replay_order order = replay_of(c);
    struct session_turn turn = c->append.talk.turns[c->append.stored];
    const char *code = NULL;
    enum err err = check_origin(c, &turn, &code);
    if (err) {
        completion_fail_with(c,
                             &(struct http_error){.err = err, .message = err_text(), .code = code});
        return;
    }
    order.told = c->append.told;
    order.resume = c->resume;
    order.mark.model = digest_is_zero(&turn.model) ? NULL : &turn.model;
    append_set_header(&c->append, c->request);
    if (screen_stored(c->screen, &turn.content, &turn.content_size))
        replay_send(&order, &turn);
    else
        replay_refusal(&order, turn.content);
    completion_settle(c);
    completion_finish(c);
}

void completion_saved(void *argument, enum err err)
{
    struct completion *c = argument;
    if (err)
        completion_fail(c, err);
    else if (c->append.repeated && !(c->answer && c->ask.stream))
        completion_replay(c);
    else
        completion_complete(c);
}

#include "scheduler/core/flight.h"
#include "scheduler/door/answer.h"
#include "scheduler/door/completion_internal.h"
#include "scheduler/door/door.h"
#include "scheduler/door/ground.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/openings.h"
#include "scheduler/door/resume.h"
#include "scheduler/door/salts.h"
#include "scheduler/door/sessions.h"
#include "scheduler/door/summary.h"
#include "scheduler/lexicon.h"
#include "scheduler/scribe.h"
#include "scheduler/settings.h"

#include "text/pack.h"

#include "base/clock.h"
#include "base/metric.h"
#include "base/rand.h"

#include <string.h>

enum {
    TEXT_TOKENS =
        16 // of a text completion that does not say max_tokens, as the reference API has it
};

static void on_answered(void *argument, enum err err, uint32_t retry_ms)
{
    struct completion *c = argument;
    json_param_clear();
    if (err) {
        completion_fail_retry(c, err, retry_ms);
        return;
    }
    if (c->ask.prewarm) {
        struct shape_usage usage = answer_usage(c->answer);
        sessions_reply_prewarmed(c->request, &c->append, c->model.name, &usage);
        completion_settle(c);
        completion_finish(c);
        return;
    }
    if (!c->ask.session.id) {
        completion_complete(c);
        return;
    }
    size_t size;
    const char *text = answer_text(c->answer, 0, &size);
    c->state = SAVING;
    append_save(&c->append, text, size, answer_was_cut(c->answer), &c->model, completion_saved);
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
                              .deadline_ns = clock_now_ns() + c->urgency.deadline_ms * CLOCK_MS};
    govern_place(&c->context, order);
    salts_fill(c->door, &c->context, c->prompt.opening_ids, order);
    order->stop_ids = tokenizer_ends(text->tokenizer, &order->stop_id_count);
    for (size_t i = 0; i < sizeof order->trace; i += 8) {
        uint64_t bits = rand_entropy();
        memcpy(order->trace + i, &bits, 8);
    }
}

int64_t completion_wall_ms(const struct completion *c)
{
    return c->resume ? resume_wall_ms(c->resume) : clock_wall_ms();
}

static void on_summed_up(void *argument, enum err err, uint32_t retry_ms)
{
    struct completion *c = argument;
    json_param_clear();
    if (err) {
        completion_fail_retry(c, err, retry_ms);
        return;
    }
    c->state = STARTING;
    completion_encode(c);
}

/* The oldest turns make way for what the model says of them; then the prompt is made again. */
static void sum_up(struct completion *c)
{
    struct flight_order order;
    struct summary_options options = {.door = c->door,
                                      .tokenizer = lexicon_text(c->pack)->tokenizer,
                                      .template = lexicon_template(c->pack),
                                      .wall_ms = completion_wall_ms(c),
                                      .context_length = c->model.context_length,
                                      .screen = c->screen,
                                      .ended = on_summed_up,
                                      .owner = c};
    bool flies = false;
    own_forget(&c->own);
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

/* Whether nothing was answered in this conversation before, as far as one can see. */
static bool is_first(const struct completion *c)
{
    const struct talk *talk = &c->append.talk;
    for (size_t i = 0; !c->ask.session.id && i < c->ask.message_count; i++) {
        if (strcmp(talk_role(c->ask.messages[i].role), "assistant") == 0) return false;
    }
    return !c->ask.session.id || talk->version == 0 || c->append.repeated == 1;
}

struct mark_order completion_mark(const struct completion *c)
{
    if (c->ask.prewarm) return (struct mark_order){0};
    return (struct mark_order){.governed = &c->governed,
                               .first = is_first(c),
                               .model = &c->model.model,
                               .agreement = waive_agreement(&c->waive)};
}

static void fly(struct completion *c)
{
    struct flight_order order;
    c->admitted = true;
    if (append_wants_summary(&c->append, c->prompt.ids.count, c->model.context_length)) {
        sum_up(c);
        return;
    }
    own_pass(&c->own, OWN_LIMITS);
    mark(c, c->ask.max_tokens);
    struct answer_options options = {
        .door = c->door,
        .request = c->request,
        .ask = &c->ask,
        .model = &c->model,
        .tokenizer = lexicon_text(c->pack)->tokenizer,
        .resume = c->resume,
        .screen = c->screen,
        .own = &c->own,
        .mark = completion_mark(c),
        .prompt_tokens = (uint32_t)c->prompt.ids.count,
        .ended = on_answered,
        .owner = c,
    };
    fill_order(c, &order);
    json_param_clear();
    enum err err = answer_start(&c->answer, &options, &order);
    if (err) {
        completion_fail_retry(c, err, err == ERR_BUSY ? flights_refusal_ms(c->door->flights) : 0);
        return;
    }
    own_pass(&c->own, OWN_SEND);
    c->state = FLYING;
}

static void on_reserved(void *owner, enum err err, uint32_t max_tokens, uint32_t retry_seconds)
{
    struct completion *c = owner;
    json_param_clear();
    if (err) {
        completion_fail_with(c, &(struct http_error){.err = err,
                                                     .message = err_text(),
                                                     .retry_seconds = retry_seconds});
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
        completion_fail(c, json_wrong(c->ask.kind == ASK_CHAT ? "messages" : "prompt", "is empty"));
        return;
    }
    bool sums_up = append_wants_summary(&c->append, count, context);
    if (count >= context && !sums_up) {
        completion_fail(
            c, err_note(ERR_TOO_LONG,
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
    enum err err = govern_size(&c->context, sums_up ? 0 : count, &c->ask.max_tokens);
    if (err) {
        completion_fail(c, err);
        return;
    }
    if (c->resume && resume_take_max(c->resume, &c->ask.max_tokens)) said = true;
    own_pass(&c->own, OWN_READ);
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
    if (!quota_reserve(&c->quota, &ask, on_reserved, c, &c->ask.max_tokens)) fly(c);
}

/* The conversation goes before what the answer is grounded on. */
static bool must_shrink(struct completion *c)
{
    size_t count = c->prompt.ids.count;
    uint32_t wanted =
        c->ask.max_tokens ? c->ask.max_tokens : (uint32_t)c->door->settings->answer_tokens;
    if (append_wants_summary(&c->append, count, c->model.context_length)) return false;
    return grounding_shrink(c->grounding, count, wanted);
}

static void use_prompt(struct completion *c)
{
    if (c->prompt.err) {
        json_param_clear();
        completion_fail(c, err_note(c->prompt.err, "%s", c->prompt.note));
        return;
    }
    if (c->ask.session.id &&
        append_shrink(&c->append, c->prompt.ids.count, c->model.context_length)) {
        completion_encode(c);
        return;
    }
    if (c->grounding && must_shrink(c)) {
        completion_encode(c);
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
        completion_settle(c); // after a summary, something is reserved
        completion_finish(c);
        return;
    }
    c->state = STARTING;
    use_prompt(c);
}

/* What all of the tenant's users are told first; without a user nothing is kept apart. */
static void find_opening(struct completion *c)
{
    struct prompt *prompt = &c->prompt;
    const struct session_turn *turn = c->ask.session.id ? append_opening(&c->append) : NULL;
    const struct chat_message *first = c->ask.messages;
    bool system =
        !c->ask.session.id && c->ask.message_count > 0 && strncmp(first->role, "system", 6) == 0;
    prompt->opening = NULL;
    if (!*c->context.user || !(turn || system)) return;
    prompt->opening = turn ? turn->content : first->content;
    prompt->opening_size = turn ? turn->content_size : first->content_size;
    if (!openings_is_common(c->door->openings, c->context.key->tenant, c->context.user,
                            prompt->opening, prompt->opening_size))
        prompt->opening = NULL;
}

/* Messages or text to ids: at once when that is quick, else on a worker. */
void completion_encode(struct completion *c)
{
    const struct text_pack *text = lexicon_text(c->pack);
    struct prompt *prompt = &c->prompt;
    token_ids_fini(&prompt->ids); // of a prompt that was too long
    prompt->tokenizer = text->tokenizer;
    prompt->options = (struct template_options){.add_generation_prompt = !c->ask.prewarm,
                                                .thinking_off = c->ask.thinking_off,
                                                .wall_ms = completion_wall_ms(c)};
    if (c->ask.kind == ASK_CHAT) {
        prompt->template = lexicon_template(c->pack);
        find_opening(c);
        prompt->messages = c->ask.messages;
        prompt->message_count = c->ask.message_count;
        if (c->ask.session.id)
            prompt->messages = append_messages(&c->append, &prompt->message_count);
        if (c->grounding)
            prompt->messages =
                grounding_messages(c->grounding, prompt->messages, &prompt->message_count);
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
    completion_fail(c, err_note(ERR_BUSY, "too many long prompts wait to be tokenised"));
}

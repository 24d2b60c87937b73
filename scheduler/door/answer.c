#include "scheduler/door/answer.h"

#include "scheduler/core/fleet.h"
#include "scheduler/door/ask.h"
#include "scheduler/door/choice_text.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/own.h"
#include "scheduler/door/position.h"
#include "scheduler/door/resume.h"
#include "scheduler/settings.h"
#include "scheduler/uplink.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/must.h"

#include <event2/event.h>

#include <stdio.h>
#include <string.h>

/* One of the answers to the prompt, by a flight of its own. */
struct choice {
    struct answer *answer;
    uint32_t index;
    struct choice_text text;
    uint64_t flight;  // while `in_air`
    uint64_t last_ns; // when ids came last; 0: not yet
    uint32_t cached_tokens;
    bool in_air, ended;
};

struct answer {
    struct answer_options options;
    struct shape shape;
    struct mark mark;
    struct event *later; // ends, outside of the flights' own calls
    struct buf line;     // a chunk in the making
    struct buf line_logprobs;
    struct choice choices[ASK_CHOICES_MAX];
    uint32_t choice_count;
    struct position at; // of the reader, when all that was sent has come
    enum err err;       // of a failed flight, with its note
    uint32_t retry_ms;
    uint64_t heard_ns; // the node's latest word
    char note[ERR_NOTE_MAX];
    bool began, keeps_text, has_ids;
};

static void send_line(struct answer *answer)
{
    char id[POSITION_TEXT_MAX];
    http_stream_event(answer->options.request,
                      answer->has_ids ? position_write(&answer->at, answer->choice_count, id)
                                      : NULL,
                      answer->line.data, answer->line.size);
    buf_clear(&answer->line);
}

/* What comes with `text`: the log-probabilities that were asked for, as JSON in `line_logprobs`. */
static struct shape_piece piece_of(struct choice *choice, const struct buf *text)
{
    struct answer *answer = choice->answer;
    struct shape_piece piece = {.index = choice->index, .text = buf_text(text), .size = text->size};
    if (!answer->options.ask->sampling.logprobs) return piece;
    buf_clear(&answer->line_logprobs);
    logprobs_write(&choice->text.logprobs, &answer->line_logprobs);
    piece.logprobs = answer->line_logprobs.data;
    return piece;
}

/* The first chunk of each choice of a chat says its role alone, and that of a governed answer what stands before it. */
static void begin(struct choice *choice)
{
    struct answer *answer = choice->answer;
    struct position_place *place = &answer->at.places[choice->index];
    if (!answer->began) {
        mark_set_header(&answer->mark, answer->options.request);
        http_stream_begin(answer->options.request);
    }
    answer->began = true;
    if (place->began) return;
    place->began = true;
    if (answer->shape.kind != ASK_CHAT && !answer->shape.opening) return;
    struct shape_piece piece = {.index = choice->index, .text = ""};
    shape_text_chunk(&answer->line, &answer->shape, &piece, true);
    send_line(answer);
}

static void hear(struct answer *answer)
{
    answer->heard_ns = uplink_heard_ns(answer->options.door->uplink);
}

static void is_delivered(struct answer *answer)
{
    const struct answer_options *options = &answer->options;
    if (options->own) own_deliver(options->own, options->door->metrics, answer->heard_ns);
}

/* All that its tokens gave is with the reader after the next event. */
static void reach(struct choice *choice)
{
    struct position_place *place = &choice->answer->at.places[choice->index];
    place->tokens = choice->text.tokens;
    place->bytes = choice->text.bytes;
}

/* Send the text that waits. */
static void send_text(struct choice *choice, bool last)
{
    struct answer *answer = choice->answer;
    if (!answer->options.ask->stream) return;
    begin(choice);
    /* Log-probabilities of text that is held back wait with it, but for the last. */
    struct buf *fresh = &choice->text.fresh;
    if (fresh->size > 0 || (last && logprobs_waiting(&choice->text.logprobs))) {
        struct shape_piece piece = piece_of(choice, fresh);
        shape_text_chunk(&answer->line, &answer->shape, &piece, false);
        reach(choice);
        send_line(answer);
        is_delivered(answer);
    }
    buf_clear(fresh);
}

static bool has_begun(const struct answer *answer)
{
    for (uint32_t i = 0; i < answer->choice_count; i++) {
        if (answer->choices[i].last_ns) return true;
    }
    return false;
}

static void count_time(struct choice *choice)
{
    const struct answer_options *options = &choice->answer->options;
    struct metrics *metrics = options->door->metrics;
    uint64_t now_ns = clock_now_ns();
    if (choice->last_ns)
        metric_observe(metrics, M_token_gap_seconds, options->model->name, NULL,
                       (double)(now_ns - choice->last_ns) / (double)CLOCK_SECOND);
    else if (!has_begun(choice->answer))
        metric_observe(metrics, M_ttft_seconds, options->model->name, NULL,
                       (double)(now_ns - http_arrival_ns(options->request)) / (double)CLOCK_SECOND);
    choice->last_ns = now_ns;
}

/* From inside of the flight's calls the end is only noted: on_later() tells the owner, who may
 * free us. */
static void end_later(struct choice *choice)
{
    choice->ended = true;
    event_active(choice->answer->later, EV_TIMEOUT, 0);
}

static void fail(struct answer *answer, enum err err, uint32_t retry_ms, const char *note)
{
    if (answer->err) return; // the first one counts
    answer->err = err;
    answer->retry_ms = retry_ms;
    snprintf(answer->note, sizeof answer->note, "%s", note);
}

static void on_ids(void *argument, const struct flight_ids *ids)
{
    struct choice *choice = argument;
    struct answer *answer = choice->answer;
    if (choice->ended) return;
    hear(answer);
    count_time(choice);
    choice->cached_tokens = ids->cached_tokens;
    enum err err = choice_text_add(&choice->text, ids);
    if (err) fail(answer, err, 0, err_text());
    if (err || choice->text.finish) end_later(choice);
    if (!answer->err) send_text(choice, false);
}

static void on_end(void *argument, const struct flight_end *end)
{
    struct choice *choice = argument;
    choice->in_air = false;
    if (choice->ended) return; // a stop string was first
    hear(choice->answer);
    choice->cached_tokens = end->cached_tokens;
    if (end->err)
        fail(choice->answer, end->err, end->retry_ms,
             end->note && *end->note ? end->note : err_phrase(end->err));
    else if (end->finish == WIRE_FINISH_STOP || end->finish == WIRE_FINISH_LENGTH)
        choice_text_end(&choice->text, end->finish == WIRE_FINISH_STOP ? "stop" : "length");
    else
        fail(choice->answer, ERR_INTERNAL, 0, "the node ended the answer without a reason");
    end_later(choice);
}

static void land(struct choice *choice)
{
    struct flights *flights = choice->answer->options.door->flights;
    if (choice->in_air) flight_cancel(flights, choice->flight, clock_now_ns());
    choice->in_air = false;
}

static void land_all(struct answer *answer)
{
    for (uint32_t i = 0; i < answer->choice_count; i++)
        land(&answer->choices[i]);
}

/* The owner is told of the last end, or of the first failure. */
static void on_later(evutil_socket_t fd, short what, void *argument)
{
    struct answer *answer = argument;
    (void)fd;
    (void)what;
    uint32_t ended = 0;
    for (uint32_t i = 0; i < answer->choice_count; i++) {
        if (answer->choices[i].ended) land(&answer->choices[i]);
        ended += answer->choices[i].ended;
    }
    if (!answer->err && ended < answer->choice_count) return;
    land_all(answer);
    for (uint32_t i = 0; i < answer->choice_count; i++) {
        if (!choice_text_falls_short(&answer->choices[i].text)) continue;
        enum err err = position_wrong();
        fail(answer, err, 0, err_text());
    }
    if (answer->err) err_note(answer->err, "%s", answer->note);
    answer->options.ended(answer->options.owner, answer->err, answer->retry_ms);
}

/* A flight for one more choice: to the node of the first, where the prompt is. */
static enum err add_choice(struct answer *answer, const struct flight_order *order)
{
    static const struct flight_events events = {.ids = on_ids, .end = on_end};
    const struct answer_options *options = &answer->options;
    struct choice *choice = &answer->choices[answer->choice_count];
    *choice = (struct choice){.answer = answer, .index = answer->choice_count++};
    TRY(choice_text_init(&choice->text,
                         &(struct choice_text_options){.ask = options->ask,
                                                       .tokenizer = options->tokenizer,
                                                       .screen = options->screen,
                                                       .mark = &answer->mark,
                                                       .index = choice->index,
                                                       .keeps = answer->keeps_text,
                                                       .told = answer->at.places[choice->index]}));
    struct flight_order own = *order;
    own.choice = choice->index;
    TRY(flight_start(options->door->flights, &own, &events, choice, clock_now_ns(),
                     &choice->flight));
    choice->in_air = true;
    return ERR_OK;
}

enum err answer_start(struct answer **out, const struct answer_options *options,
                      const struct flight_order *order)
{
    const struct ask *ask = options->ask;
    must(ask->choice_count > 0 && ask->choice_count <= ASK_CHOICES_MAX);
    struct answer *answer = mem_new(1, sizeof *answer);
    answer->options = *options;
    answer->keeps_text = !ask->stream || ask->session.id || ask->context.count > 0;
    answer->later = event_new(options->door->base, -1, 0, on_later, answer);
    must(answer->later != NULL);
    shape_init(&answer->shape, ask->kind, options->model->name, &options->model->model);
    answer->shape.include_usage = ask->include_usage;
    if (options->resume) resume_sign(options->resume, &answer->shape);
    const struct position *told = options->resume ? resume_position(options->resume) : NULL;
    answer->has_ids = told != NULL;
    if (told) answer->at = *told;
    enum err err = ERR_OK;
    while (!err && answer->choice_count < ask->choice_count)
        err = add_choice(answer, order);
    if (err) {
        answer_free(answer);
        return err;
    }
    // It signs, while the nodes begin.
    mark_begin(&answer->mark, options->door, &options->mark, &answer->shape);
    *out = answer;
    return ERR_OK;
}

static void count_tokens(const struct answer *answer)
{
    struct metrics *metrics = answer->options.door->metrics;
    const char *model = answer->options.model->name;
    struct shape_usage usage = answer_usage(answer);
    if (usage.completion_tokens == 0) return;
    metric_add(metrics, M_prompt_tokens_total, model, NULL, usage.prompt_tokens);
    metric_add(metrics, M_cached_tokens_total, model, NULL, usage.cached_tokens);
    metric_add(metrics, M_completion_tokens_total, model, NULL, usage.completion_tokens);
}

void answer_free(struct answer *answer)
{
    land_all(answer);
    count_tokens(answer);
    event_free(answer->later);
    for (uint32_t i = 0; i < answer->choice_count; i++)
        choice_text_fini(&answer->choices[i].text);
    buf_fini(&answer->line);
    buf_fini(&answer->line_logprobs);
    mark_fini(&answer->mark);
    mem_free(answer);
}

void answer_abandon(struct answer *answer)
{
    land_all(answer);
    for (uint32_t i = 0; i < answer->choice_count; i++)
        answer->choices[i].ended = true;
    answer->options.request = NULL;
    event_del(answer->later);
}

static void complete_body(struct answer *answer, const struct shape_usage *usage)
{
    for (uint32_t i = 0; i < answer->choice_count; i++) {
        const struct buf *whole = &answer->choices[i].text.whole;
        mark_add(&answer->mark, i, whole->data, whole->size);
    }
    mark_end(&answer->mark, &answer->shape, answer->choice_count);
    mark_set_header(&answer->mark, answer->options.request);
    shape_body_begin(&answer->line, &answer->shape);
    for (uint32_t i = 0; i < answer->choice_count; i++) {
        struct choice *choice = &answer->choices[i];
        struct shape_piece piece = piece_of(choice, &choice->text.whole);
        shape_body_choice(&answer->line, &answer->shape, &piece, choice->text.finish);
    }
    shape_body_end(&answer->line, &answer->shape, usage);
    http_reply_json(answer->options.request, 200, answer->line.data, answer->line.size);
    is_delivered(answer);
}

void answer_complete(struct answer *answer)
{
    struct http_request *request = answer->options.request;
    struct shape_usage usage = answer_usage(answer);
    if (!answer->options.ask->stream) {
        complete_body(answer, &usage);
        return;
    }
    mark_end(&answer->mark, &answer->shape, answer->choice_count);
    for (uint32_t i = 0; i < answer->choice_count; i++) {
        struct choice *choice = &answer->choices[i];
        struct position_place *place = &answer->at.places[i];
        send_text(choice, true);
        if (place->ended) continue;
        place->ended = true;
        reach(choice);
        shape_final_chunk(&answer->line, &answer->shape, i, choice->text.finish);
        send_line(answer);
    }
    if (answer->shape.include_usage && !answer->at.usage) {
        answer->at.usage = true;
        shape_usage_chunk(&answer->line, &answer->shape, &usage);
        send_line(answer);
    }
    http_stream_event(request, NULL, "[DONE]", 6);
    http_stream_end(request);
}

/* A label that stands behind the text alone is not lost with the answer's end; a reader who may come back gets it then. */
static void label_what_came(struct answer *answer)
{
    const struct shape *shape = &answer->shape;
    bool is_only_behind = answer->mark.label.place == RULES_PLACE_END;
    for (uint32_t i = 0; is_only_behind && !answer->has_ids && i < answer->choice_count; i++) {
        struct shape_piece piece = {
            .index = i, .text = shape->behind, .size = strlen(shape->behind)};
        if (answer->choices[i].text.bytes == 0) continue;
        shape_text_chunk(&answer->line, shape, &piece, false);
        send_line(answer);
    }
}

void answer_fail(struct answer *answer, const struct http_error *error)
{
    struct http_request *request = answer->options.request;
    if (!answer->began) {
        http_reply_error(request, error);
        return;
    }
    label_what_came(answer);
    http_write_error(&answer->line, error);
    send_line(answer);
    http_stream_end(request);
}

void answer_tell_session(struct answer *answer, const char *session)
{
    answer->shape.session = session;
}

void answer_tell_context(struct answer *answer, const char *context)
{
    answer->shape.context = context;
}

bool answer_was_cut(const struct answer *answer)
{
    const char *finish = answer->choices[0].text.finish;
    return finish && strcmp(finish, "length") == 0;
}

const char *answer_text(const struct answer *answer, uint32_t choice, size_t *size)
{
    must(choice < answer->choice_count);
    const struct buf *whole = &answer->choices[choice].text.whole;
    *size = whole->size;
    return buf_text(whole);
}

struct shape_usage answer_usage(const struct answer *answer)
{
    struct shape_usage usage = {.prompt_tokens = answer->options.prompt_tokens,
                                .cached_tokens = answer->choices[0].cached_tokens};
    for (uint32_t i = 0; i < answer->choice_count; i++)
        usage.completion_tokens += answer->choices[i].text.tokens;
    return usage;
}

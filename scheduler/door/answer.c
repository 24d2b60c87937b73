#include "scheduler/door/answer.h"

#include "scheduler/core/fleet.h"
#include "scheduler/door/ask.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/logprobs.h"
#include "scheduler/settings.h"

#include "text/stream.h"
#include "text/tokenizer.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/must.h"

#include <event2/event.h>

#include <stdio.h>

struct answer {
    struct answer_options options;
    struct shape shape;
    struct stream *stream;
    struct event *later; // the end, outside of the flight's own calls
    uint64_t flight;     // while `in_air`
    struct buf text;     // all of it, for plain replies and sessions
    struct buf pending;  // to be sent with the next chunk
    struct buf line;     // a chunk in the making
    struct buf line_logprobs;
    struct logprobs logprobs; // of what `pending` or `text` holds
    uint64_t last_ns;         // when ids came last; 0: not yet
    uint32_t cached_tokens, completion_tokens;
    const char *finish; // "stop" or "length"
    enum err err;       // of a failed flight, with its note
    uint32_t retry_ms;
    char note[ERR_NOTE_MAX];
    bool in_air, ended, began, keeps_text;
};

static void send_line(struct answer *answer)
{
    http_stream_event(answer->options.request, answer->line.data, answer->line.size);
    buf_clear(&answer->line);
}

/* What comes with `text`: the log-probabilities that were asked for, as JSON in `line_logprobs`. */
static struct shape_piece piece_of(struct answer *answer, const struct buf *text)
{
    struct shape_piece piece = {.text = buf_text(text), .size = text->size};
    if (!answer->options.ask->sampling.logprobs) return piece;
    buf_clear(&answer->line_logprobs);
    logprobs_write(&answer->logprobs, &answer->line_logprobs);
    piece.logprobs = answer->line_logprobs.data;
    return piece;
}

/* Send the text that waits. The first chunk of a chat says its role alone. */
static void send_text(struct answer *answer, bool last)
{
    if (!answer->options.ask->stream) return;
    if (!answer->began) {
        http_stream_begin(answer->options.request);
        answer->began = true;
        if (answer->shape.kind == ASK_CHAT) {
            shape_text_chunk(&answer->line, &answer->shape, &(struct shape_piece){.text = ""},
                             true);
            send_line(answer);
        }
    }
    /* Log-probabilities of text that is held back wait with it, but for the last. */
    if (answer->pending.size > 0 || (last && logprobs_waiting(&answer->logprobs))) {
        struct shape_piece piece = piece_of(answer, &answer->pending);
        shape_text_chunk(&answer->line, &answer->shape, &piece, false);
        send_line(answer);
    }
    buf_clear(&answer->pending);
}

static void add_text(struct answer *answer, size_t before)
{
    struct buf *pending = &answer->pending;
    if (answer->keeps_text && pending->size > before)
        buf_add(&answer->text, pending->data + before, pending->size - before);
    if (!answer->options.ask->stream) buf_clear(pending);
}

static void count_time(struct answer *answer)
{
    struct metrics *metrics = answer->options.door->metrics;
    uint64_t now_ns = clock_now_ns();
    if (answer->last_ns)
        metric_observe(metrics, M_token_gap_seconds, answer->options.model->name, NULL,
                       (double)(now_ns - answer->last_ns) / (double)CLOCK_SECOND);
    else
        metric_observe(metrics, M_ttft_seconds, answer->options.model->name, NULL,
                       (double)(now_ns - http_arrival_ns(answer->options.request)) /
                           (double)CLOCK_SECOND);
    answer->last_ns = now_ns;
}

/* From inside of the flight's calls the end is only noted: on_later() tells the owner, who may
 * free us. */
static void end_later(struct answer *answer)
{
    answer->ended = true;
    event_active(answer->later, EV_TIMEOUT, 0);
}

static void on_ids(void *argument, const struct flight_ids *ids)
{
    struct answer *answer = argument;
    if (answer->ended) return;
    count_time(answer);
    answer->cached_tokens = ids->cached_tokens;
    size_t before = answer->pending.size;
    for (size_t i = 0; i < ids->count; i++) {
        answer->completion_tokens++;
        if (answer->options.ask->sampling.logprobs && ids->logprobs)
            logprobs_add(&answer->logprobs, ids->ids[i], ids->logprobs[i],
                         ids->tops ? ids->tops + i * ids->top_count : NULL,
                         ids->tops ? ids->top_count : 0);
        if (stream_push(answer->stream, ids->ids[i], &answer->pending) != STREAM_STOPPED) continue;
        answer->finish = "stop";
        end_later(answer);
        break;
    }
    add_text(answer, before);
    send_text(answer, false);
}

static void on_end(void *argument, const struct flight_end *end)
{
    struct answer *answer = argument;
    answer->in_air = false;
    if (answer->ended) return; // a stop string was first
    answer->cached_tokens = end->cached_tokens;
    if (end->err == ERR_OK && end->finish != WIRE_FINISH_STOP &&
        end->finish != WIRE_FINISH_LENGTH) {
        answer->err = ERR_INTERNAL;
        snprintf(answer->note, sizeof answer->note, "the node ended the answer without a reason");
    } else if (end->err) {
        answer->err = end->err;
        answer->retry_ms = end->retry_ms;
        snprintf(answer->note, sizeof answer->note, "%s",
                 end->note && *end->note ? end->note : err_phrase(end->err));
    } else {
        size_t before = answer->pending.size;
        answer->finish = end->finish == WIRE_FINISH_STOP ? "stop" : "length";
        stream_finish(answer->stream, &answer->pending);
        add_text(answer, before);
    }
    end_later(answer);
}

static void on_later(evutil_socket_t fd, short what, void *argument)
{
    struct answer *answer = argument;
    (void)fd;
    (void)what;
    if (answer->in_air) flight_cancel(answer->options.door->flights, answer->flight);
    answer->in_air = false;
    if (answer->err) err_note(answer->err, "%s", answer->note);
    answer->options.ended(answer->options.owner, answer->err, answer->retry_ms);
}

enum err answer_start(struct answer **out, const struct answer_options *options,
                      const struct flight_order *order)
{
    static const struct flight_events events = {.ids = on_ids, .end = on_end};
    const struct ask *ask = options->ask;
    struct stream *stream;
    bool at_begin = ask->kind == ASK_CHAT || (ask->prompt_size == 0 && ask->id_count == 0);
    TRY(stream_new(&stream, options->tokenizer, ask->stops, ask->stop_count, at_begin));

    struct answer *answer = mem_new(1, sizeof *answer);
    answer->options = *options;
    answer->stream = stream;
    answer->keeps_text = !ask->stream || ask->session;
    answer->later = event_new(options->door->base, -1, 0, on_later, answer);
    must(answer->later != NULL);
    logprobs_init(&answer->logprobs, ask->kind, options->tokenizer);
    shape_init(&answer->shape, ask->kind, options->model->name, &options->model->model);
    answer->shape.include_usage = ask->include_usage;
    enum err err = flight_start(options->door->flights, order, &events, answer, clock_now_ns(),
                                &answer->flight);
    if (err) {
        answer_free(answer);
        return err;
    }
    answer->in_air = true;
    *out = answer;
    return ERR_OK;
}

static void count_tokens(const struct answer *answer)
{
    struct metrics *metrics = answer->options.door->metrics;
    const char *model = answer->options.model->name;
    if (answer->completion_tokens == 0) return;
    metric_add(metrics, M_prompt_tokens_total, model, NULL, answer->options.prompt_tokens);
    metric_add(metrics, M_cached_tokens_total, model, NULL, answer->cached_tokens);
    metric_add(metrics, M_completion_tokens_total, model, NULL, answer->completion_tokens);
}

void answer_free(struct answer *answer)
{
    if (answer->in_air) flight_cancel(answer->options.door->flights, answer->flight);
    count_tokens(answer);
    event_free(answer->later);
    stream_free(answer->stream);
    buf_fini(&answer->text);
    buf_fini(&answer->pending);
    buf_fini(&answer->line);
    buf_fini(&answer->line_logprobs);
    logprobs_fini(&answer->logprobs);
    mem_free(answer);
}

void answer_abandon(struct answer *answer)
{
    if (answer->in_air) flight_cancel(answer->options.door->flights, answer->flight);
    answer->in_air = false;
    answer->ended = true;
    answer->options.request = NULL;
    event_del(answer->later);
}

void answer_complete(struct answer *answer)
{
    struct http_request *request = answer->options.request;
    struct shape_usage usage = answer_usage(answer);
    if (!answer->options.ask->stream) {
        struct shape_piece piece = piece_of(answer, &answer->text);
        shape_body(&answer->line, &answer->shape, &piece, answer->finish, &usage);
        http_reply_json(request, 200, answer->line.data, answer->line.size);
        return;
    }
    send_text(answer, true);
    shape_final_chunk(&answer->line, &answer->shape, answer->finish);
    send_line(answer);
    if (answer->shape.include_usage) {
        shape_usage_chunk(&answer->line, &answer->shape, &usage);
        send_line(answer);
    }
    http_stream_event(request, "[DONE]", 6);
    http_stream_end(request);
}

void answer_fail(struct answer *answer, const struct http_error *error)
{
    struct http_request *request = answer->options.request;
    if (!answer->began) {
        http_reply_error(request, error);
        return;
    }
    http_write_error(&answer->line, error);
    send_line(answer);
    http_stream_end(request);
}

const char *answer_text(const struct answer *answer, size_t *size)
{
    *size = answer->text.size;
    return buf_text(&answer->text);
}

struct shape_usage answer_usage(const struct answer *answer)
{
    return (struct shape_usage){answer->options.prompt_tokens, answer->cached_tokens,
                                answer->completion_tokens};
}

#include "scheduler/door/summary.h"

#include "scheduler/core/flight.h"
#include "scheduler/door/door.h"

#include "text/stream.h"
#include "text/tokenizer.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"

#include <event2/event.h>

#include <stdio.h>
#include <string.h>

static const char task[] = "Sum up the conversation that you are given in a few sentences, in the "
                           "language in which it was "
                           "held. Keep names, numbers, what was decided and what is still open. "
                           "Answer with the summary alone.";

struct summary {
    struct summary_options options;
    struct stream *stream;
    struct event *later; // tells the end, outside of the flights' own calls
    struct buf text;
    uint64_t flight; // while `in_air`
    uint32_t prompt_tokens, completion_tokens;
    enum err err;
    uint32_t retry_ms;
    char note[ERR_NOTE_MAX];
    bool in_air;
};

static void on_ids(void *argument, const struct flight_ids *ids)
{
    struct summary *summary = argument;
    for (size_t i = 0; i < ids->count; i++)
        (void)stream_push(summary->stream, ids->ids[i],
                          &summary->text); // there are no stop strings
    summary->completion_tokens += (uint32_t)ids->count;
}

static void on_end(void *argument, const struct flight_end *end)
{
    struct summary *summary = argument;
    summary->in_air = false;
    summary->err = end->err;
    summary->retry_ms = end->retry_ms;
    snprintf(summary->note, sizeof summary->note, "%s",
             end->note && *end->note ? end->note : err_phrase(end->err));
    stream_finish(summary->stream, &summary->text);
    event_active(summary->later, EV_TIMEOUT, 0);
}

static void on_later(evutil_socket_t fd, short what, void *argument)
{
    struct summary *summary = argument;
    (void)fd;
    (void)what;
    if (summary->err) err_note(summary->err, "the summary of the session: %s", summary->note);
    summary->options.ended(summary->options.owner, summary->err, summary->retry_ms);
}

/* The task and the last `size` bytes of the transcript as a prompt's ids. */
static enum err encode(const struct summary_options *options, const struct buf *transcript,
                       size_t size, struct token_ids *ids)
{
    const char *text = transcript->data + transcript->size - size;
    while (size > 0 && ((unsigned char)*text & 0xc0) == 0x80) { // not from inside of a character
        text++;
        size--;
    }
    const struct chat_message messages[] = {
        {"system", 6, task, sizeof task - 1},
        {"user", 4, text, size},
    };
    const struct template_options how = {
        .add_generation_prompt = true, .thinking_off = true, .wall_ms = options->wall_ms};
    return template_encode(options->template, options->tokenizer, messages, 2, &how, ids);
}

static enum err encode_to_fit(const struct summary_options *options, const struct buf *transcript,
                              uint32_t max_tokens, struct token_ids *ids)
{
    size_t size = transcript->size < SUMMARY_BYTES_MAX ? transcript->size : SUMMARY_BYTES_MAX;
    for (;; size /= 2) {
        TRY(encode(options, transcript, size, ids));
        if (ids->count + max_tokens <= options->context_length) return ERR_OK;
        if (size < 2)
            return err_note(ERR_TOO_LONG,
                            "the model's context of %u tokens is too small for a "
                            "summary; let the session's oldest turns go instead: "
                            "\"compact\": \"drop\"",
                            options->context_length);
        ids->count = 0;
    }
}

static enum err launch(struct summary *summary, const struct flight_order *order,
                       const struct token_ids *ids, uint32_t max_tokens)
{
    static const struct flight_events events = {.ids = on_ids, .end = on_end};
    struct flight_order own = *order;
    own.ids = ids->ids;
    own.id_count = ids->count;
    own.choice = 0;
    own.common_blocks = 0; // the task is ours, and the rest the user's
    own.max_tokens = max_tokens;
    own.sampling = (struct wire_sampling){.top_p = 1, .repetition_penalty = 1};
    TRY(stream_new(&summary->stream, summary->options.tokenizer, NULL, 0, true));
    TRY(flight_start(summary->options.door->flights, &own, &events, summary, clock_now_ns(),
                     &summary->flight));
    summary->in_air = true;
    summary->prompt_tokens = (uint32_t)ids->count;
    return ERR_OK;
}

enum err summary_start(struct summary **out, const struct summary_options *options,
                       const struct flight_order *order, const struct buf *transcript)
{
    uint32_t max_tokens = options->context_length / 8;
    if (max_tokens > SUMMARY_TOKENS_MAX) max_tokens = SUMMARY_TOKENS_MAX;
    struct summary *summary = mem_new(1, sizeof *summary);
    struct token_ids ids = {0};
    summary->options = *options;
    summary->later = event_new(options->door->base, -1, 0, on_later, summary);
    must(summary->later != NULL && max_tokens > 0);
    enum err err = encode_to_fit(options, transcript, max_tokens, &ids);
    if (!err) err = launch(summary, order, &ids, max_tokens);
    token_ids_fini(&ids);
    if (err) {
        summary_free(summary);
        return err;
    }
    *out = summary;
    return ERR_OK;
}

void summary_free(struct summary *summary)
{
    if (!summary) return;
    if (summary->in_air)
        flight_cancel(summary->options.door->flights, summary->flight, clock_now_ns());
    event_free(summary->later);
    stream_free(summary->stream);
    buf_fini(&summary->text);
    mem_free(summary);
}

const char *summary_text(const struct summary *summary, size_t *size)
{
    const char *text = buf_text(&summary->text);
    *size = summary->text.size;
    for (; *size > 0 && strchr(" \t\r\n", *text); text++)
        --*size;
    while (*size > 0 && strchr(" \t\r\n", text[*size - 1]))
        --*size;
    return text;
}

uint32_t summary_tokens(const struct summary *summary)
{
    return summary->prompt_tokens + summary->completion_tokens;
}

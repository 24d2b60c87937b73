#include "scheduler/door/choice_text.h"

#include "scheduler/core/flight.h"
#include "scheduler/door/ask.h"
#include "scheduler/door/mark.h"
#include "scheduler/door/screen.h"

#include "text/stream.h"

enum err choice_text_init(struct choice_text *text, const struct choice_text_options *options)
{
    const struct ask *ask = options->ask;
    bool at_begin = ask->kind == ASK_CHAT || (ask->prompt_size == 0 && ask->id_count == 0);
    *text = (struct choice_text){.options = *options};
    logprobs_init(&text->logprobs, ask->kind, options->tokenizer);
    TRY(stream_new(&text->stream, options->tokenizer, ask->stops, ask->stop_count, at_begin));
    text->sieve = screen_sieve(options->screen);
    return ERR_OK;
}

void choice_text_fini(struct choice_text *text)
{
    screen_note(text->options.screen, text->sieve, SIEVE_OUTPUT);
    sieve_free(text->sieve);
    stream_free(text->stream);
    buf_fini(&text->raw);
    buf_fini(&text->fresh);
    buf_fini(&text->whole);
    logprobs_fini(&text->logprobs);
}

/* The text ends here with what the rules say instead. A reply that has not begun says nothing else. */
static void refuse(struct choice_text *text)
{
    bool streams = text->options.ask->stream;
    if (!streams) {
        buf_clear(&text->whole);
        buf_clear(&text->fresh);
    }
    if (text->fresh.size > 0 || (streams && text->bytes > 0)) buf_add_text(&text->fresh, "\n\n");
    buf_add_text(&text->fresh, screen_refusal(text->options.screen));
    text->finish = SCREEN_FINISH;
}

/* What has come through the stream in `raw` goes on through the sieve. False: it is over. */
static bool strain(struct choice_text *text, bool is_last)
{
    sieve_push(text->sieve, text->raw.data, text->raw.size, &text->fresh);
    if (is_last) sieve_end(text->sieve, &text->fresh);
    buf_clear(&text->raw);
    if (!sieve_is_over(text->sieve)) return true;
    refuse(text);
    return false;
}

/* The text of one more id. False: no other id counts. */
static bool take_id(struct choice_text *text, int32_t id)
{
    struct buf *out = text->sieve ? &text->raw : &text->fresh;
    bool stops = stream_push(text->stream, id, out) == STREAM_STOPPED;
    if (stops) text->finish = "stop";
    if (text->sieve && !strain(text, stops)) return false;
    return !stops;
}

static void take_logprobs(struct choice_text *text, const struct flight_ids *ids, size_t i)
{
    if (!text->options.ask->sampling.logprobs || !ids->logprobs) return;
    logprobs_add(&text->logprobs, ids->ids[i], ids->logprobs[i],
                 ids->tops ? ids->tops + i * ids->top_count : NULL, ids->tops ? ids->top_count : 0);
}

/* One more token, and all the text so far has `bytes`. Where the reader was they are what the reader has; fewer, if the
 * answer's end gave the rest, so that no token follows. */
static enum err pass(struct choice_text *text, size_t bytes)
{
    const struct position_place *told = &text->options.told;
    if (++text->tokens > told->tokens + 1) return ERR_OK;
    if (text->tokens > told->tokens)
        return text->told_bytes < told->bytes ? position_wrong() : ERR_OK;
    if (text->tokens < told->tokens) return ERR_OK;
    text->told_bytes = (uint32_t)bytes;
    logprobs_forget(&text->logprobs);
    return bytes > told->bytes ? position_wrong() : ERR_OK;
}

/* All of `fresh` counts; what the reader has of it is taken out, and in a plain reply it waits in `whole`. */
static void count(struct choice_text *text)
{
    const struct choice_text_options *options = &text->options;
    struct buf *fresh = &text->fresh;
    size_t size = fresh->size;
    size_t known = options->told.bytes > text->bytes ? options->told.bytes - text->bytes : 0;
    text->bytes += (uint32_t)size;
    if (size == 0) return;
    if (options->keeps) buf_add(&text->whole, fresh->data, size);
    if (!options->ask->stream) {
        buf_clear(fresh);
        return;
    }
    mark_add(options->mark, options->index, fresh->data, size);
    buf_consume(fresh, known < size ? known : size);
}

enum err choice_text_add(struct choice_text *text, const struct flight_ids *ids)
{
    bool goes_on = true;
    buf_clear(&text->fresh);
    for (size_t i = 0; goes_on && i < ids->count; i++) {
        take_logprobs(text, ids, i);
        goes_on = take_id(text, ids->ids[i]);
        TRY(pass(text, text->bytes + text->fresh.size));
    }
    count(text);
    return ERR_OK;
}

void choice_text_end(struct choice_text *text, const char *finish)
{
    buf_clear(&text->fresh);
    text->finish = finish;
    stream_finish(text->stream, text->sieve ? &text->raw : &text->fresh);
    if (text->sieve) (void)strain(text, true);
    count(text);
}

bool choice_text_falls_short(const struct choice_text *text)
{
    return text->options.told.tokens > text->tokens || text->options.told.bytes > text->bytes;
}

#include "scheduler/door/logprobs.h"

#include "scheduler/door/json.h"

#include "text/tokenizer.h"

void logprobs_init(struct logprobs *logprobs, enum ask_kind kind, const struct tokenizer *tokenizer)
{
    *logprobs = (struct logprobs){.kind = kind, .tokenizer = tokenizer};
}

void logprobs_fini(struct logprobs *logprobs)
{
    buf_fini(&logprobs->tokens);
    buf_fini(&logprobs->values);
    buf_fini(&logprobs->tops);
    buf_fini(&logprobs->offsets);
}

static void comma(struct buf *out)
{
    if (out->size > 0) buf_add_byte(out, ',');
}

static void write_number(struct buf *out, float logprob)
{
    if (!(logprob > -9999.0f))
        logprob = -9999.0f; // JSON has no infinity; the reference API's floor
    buf_addf(out, "%.7g", (double)logprob);
}

static void write_piece(const struct logprobs *logprobs, struct buf *out, int32_t id)
{
    size_t size;
    const char *piece = tokenizer_piece(logprobs->tokenizer, id, &size);
    json_write_text(out, piece ? piece : "", size);
}

static void write_token(const struct logprobs *logprobs, struct buf *out, int32_t id, float logprob)
{
    size_t size;
    const char *piece = tokenizer_piece(logprobs->tokenizer, id, &size);
    buf_add_text(out, "{\"token\":");
    write_piece(logprobs, out, id);
    buf_add_text(out, ",\"logprob\":");
    write_number(out, logprob);
    buf_add_text(out, ",\"bytes\":[");
    for (size_t i = 0; i < size; i++)
        buf_addf(out, "%s%u", i ? "," : "", (unsigned char)piece[i]);
    buf_add_byte(out, ']');
}

static void add_chat(struct logprobs *logprobs, int32_t id, float logprob,
                     const struct wire_top *tops, size_t top_count)
{
    struct buf *out = &logprobs->tokens;
    comma(out);
    write_token(logprobs, out, id, logprob);
    buf_add_text(out, ",\"top_logprobs\":[");
    for (size_t i = 0; i < top_count; i++) {
        if (i) buf_add_byte(out, ',');
        write_token(logprobs, out, tops[i].id, tops[i].logprob);
        buf_add_byte(out, '}');
    }
    buf_add_text(out, "]}");
}

static void add_text(struct logprobs *logprobs, int32_t id, float logprob,
                     const struct wire_top *tops, size_t top_count)
{
    size_t size;
    comma(&logprobs->tokens);
    write_piece(logprobs, &logprobs->tokens, id);
    comma(&logprobs->values);
    write_number(&logprobs->values, logprob);
    comma(&logprobs->offsets);
    buf_addf(&logprobs->offsets, "%zu", logprobs->offset);
    comma(&logprobs->tops);
    buf_add_byte(&logprobs->tops, '{');
    for (size_t i = 0; i < top_count; i++) {
        if (i) buf_add_byte(&logprobs->tops, ',');
        write_piece(logprobs, &logprobs->tops, tops[i].id);
        buf_add_byte(&logprobs->tops, ':');
        write_number(&logprobs->tops, tops[i].logprob);
    }
    buf_add_byte(&logprobs->tops, '}');
    (void)tokenizer_piece(logprobs->tokenizer, id, &size);
    logprobs->offset += size;
}

void logprobs_add(struct logprobs *logprobs, int32_t id, float logprob, const struct wire_top *tops,
                  size_t top_count)
{
    if (tokenizer_is_control(logprobs->tokenizer, id)) return;
    if (logprobs->kind == ASK_CHAT)
        add_chat(logprobs, id, logprob, tops, top_count);
    else
        add_text(logprobs, id, logprob, tops, top_count);
}

bool logprobs_waiting(const struct logprobs *logprobs)
{
    return logprobs->tokens.size > 0;
}

void logprobs_forget(struct logprobs *logprobs)
{
    buf_clear(&logprobs->tokens);
    buf_clear(&logprobs->values);
    buf_clear(&logprobs->tops);
    buf_clear(&logprobs->offsets);
}

void logprobs_write(struct logprobs *logprobs, struct buf *out)
{
    if (logprobs->kind == ASK_CHAT)
        buf_addf(out, "{\"content\":[%s],\"refusal\":null}", buf_text(&logprobs->tokens));
    else
        buf_addf(out,
                 "{\"tokens\":[%s],\"token_logprobs\":[%s],\"top_logprobs\":[%s],"
                 "\"text_offset\":[%s]}",
                 buf_text(&logprobs->tokens), buf_text(&logprobs->values),
                 buf_text(&logprobs->tops), buf_text(&logprobs->offsets));
    logprobs_forget(logprobs);
}

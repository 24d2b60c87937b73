#include "scheduler/door/shape.h"

#include "scheduler/door/json.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/rand.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void shape_new_id(enum ask_kind kind, char id[SHAPE_ID_SIZE])
{
    snprintf(id, SHAPE_ID_SIZE, "%s-%016" PRIx64 "%08x", kind == ASK_CHAT ? "chatcmpl" : "cmpl",
             rand_entropy(), (unsigned)(rand_entropy() >> 32));
}

void shape_init(struct shape *shape, enum ask_kind kind, const char *model,
                const struct digest *digest)
{
    char hex[DIGEST_TEXT_SIZE];
    *shape = (struct shape){.kind = kind, .model = model, .created = clock_wall_ms() / 1000};
    shape_new_id(kind, shape->id);
    snprintf(shape->fingerprint, sizeof shape->fingerprint, "fp_%.10s", digest_text(digest, hex));
}

static void write_head(struct buf *out, const struct shape *shape, const char *object)
{
    buf_addf(out, "{\"id\":\"%s\",\"object\":\"%s\",\"created\":%" PRId64 ",\"model\":", shape->id,
             object, shape->created);
    json_write_string(out, shape->model);
    buf_addf(out, ",\"system_fingerprint\":\"%s\",\"choices\":[", shape->fingerprint);
}

static const char *chunk_object(const struct shape *shape)
{
    return shape->kind == ASK_CHAT ? "chat.completion.chunk" : "text_completion";
}

static void write_usage(struct buf *out, const struct shape_usage *usage)
{
    buf_addf(out,
             "\"usage\":{\"prompt_tokens\":%u,\"completion_tokens\":%u,\"total_tokens\":%u,"
             "\"prompt_tokens_details\":{\"cached_tokens\":%u}}",
             usage->prompt_tokens, usage->completion_tokens,
             usage->prompt_tokens + usage->completion_tokens, usage->cached_tokens);
}

static const char *logprobs_of(const struct shape_piece *piece)
{
    return piece->logprobs ? piece->logprobs : "null";
}

static void write_member(struct buf *out, const char *member)
{
    if (!member || !*member) return;
    buf_add_byte(out, ',');
    buf_add_text(out, member);
}

static void write_rest(struct buf *out, const struct shape *shape)
{
    write_member(out, shape->session);
    write_member(out, shape->context);
    write_member(out, shape->marks);
}

/* A string of up to three parts. */
static void write_content(struct buf *out, const char *before, const struct shape_piece *piece,
                          const char *behind)
{
    bool is_alone = (!before || !*before) && (!behind || !*behind);
    struct buf whole = {0};
    if (!is_alone) {
        buf_add_text(&whole, before ? before : "");
        buf_add(&whole, piece->text, piece->size);
        buf_add_text(&whole, behind ? behind : "");
    }
    json_write_text(out, is_alone ? piece->text : buf_text(&whole),
                    is_alone ? piece->size : whole.size);
    buf_fini(&whole);
}

static void end_chunk(struct buf *out, const struct shape *shape, bool first)
{
    buf_add_byte(out, ']');
    if (first) write_member(out, shape->opening);
    buf_add_text(out, shape->include_usage ? ",\"usage\":null}" : "}");
}

void shape_text_chunk(struct buf *out, const struct shape *shape, const struct shape_piece *piece,
                      bool first)
{
    const char *before = first ? shape->before : NULL;
    write_head(out, shape, chunk_object(shape));
    if (shape->kind == ASK_CHAT) {
        buf_addf(out, "{\"index\":%u,\"delta\":{%s\"content\":", piece->index,
                 first ? "\"role\":\"assistant\"," : "");
        write_content(out, before, piece, NULL);
        buf_add_text(out, first ? ",\"refusal\":null}" : "}");
    } else {
        buf_addf(out, "{\"index\":%u,\"text\":", piece->index);
        write_content(out, before, piece, NULL);
    }
    buf_addf(out, ",\"logprobs\":%s,\"finish_reason\":null}", logprobs_of(piece));
    end_chunk(out, shape, first);
}

void shape_final_chunk(struct buf *out, const struct shape *shape, uint32_t index,
                       const char *finish)
{
    const struct shape_piece nothing = {.text = ""};
    bool is_chat = shape->kind == ASK_CHAT;
    bool is_labelled = shape->behind && *shape->behind;
    write_head(out, shape, chunk_object(shape));
    buf_addf(out, "{\"index\":%u,%s%s", index,
             is_chat ? "\"delta\":{" : "\"text\":", is_chat && is_labelled ? "\"content\":" : "");
    if (is_labelled || !is_chat) write_content(out, NULL, &nothing, shape->behind);
    buf_addf(out, "%s,\"logprobs\":null,\"finish_reason\":\"%s\"}]", is_chat ? "}" : "", finish);
    write_rest(out, shape);
    buf_add_text(out, shape->include_usage ? ",\"usage\":null}" : "}");
}

void shape_usage_chunk(struct buf *out, const struct shape *shape, const struct shape_usage *usage)
{
    write_head(out, shape, chunk_object(shape));
    buf_add_text(out, "],");
    write_usage(out, usage);
    write_member(out, shape->marks);
    buf_add_byte(out, '}');
}

void shape_body_begin(struct buf *out, const struct shape *shape)
{
    write_head(out, shape, shape->kind == ASK_CHAT ? "chat.completion" : "text_completion");
}

void shape_body_choice(struct buf *out, const struct shape *shape, const struct shape_piece *piece,
                       const char *finish)
{
    buf_addf(out, "%s{\"index\":%u,%s:", piece->index > 0 ? "," : "", piece->index,
             shape->kind == ASK_CHAT ? "\"message\":{\"role\":\"assistant\",\"content\""
                                     : "\"text\"");
    write_content(out, shape->before, piece, shape->behind);
    if (shape->kind == ASK_CHAT) buf_add_text(out, ",\"refusal\":null}");
    buf_addf(out, ",\"logprobs\":%s,\"finish_reason\":\"%s\"}", logprobs_of(piece), finish);
}

void shape_body_end(struct buf *out, const struct shape *shape, const struct shape_usage *usage)
{
    buf_add_text(out, "],");
    write_usage(out, usage);
    write_rest(out, shape);
    buf_add_byte(out, '}');
}

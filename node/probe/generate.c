/* qiao-probe generate: the model goes on from a prompt, or answers a chat message; text streams to stdout. */
#include "node/engine/kv.h"
#include "node/engine/sampler.h"
#include "node/probe/probe.h"

#include "text/pack.h"
#include "text/stream.h"
#include "text/tokenizer.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/gguf.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Everything of one run; zeroed at first, freed by fini() whatever was made. */
struct generation {
    struct text_pack *pack;
    struct token_ids ids; // the prompt
    struct decoder *decoder;
    struct kv_table table;
    struct stream *stream;
    struct sampler *sampler;
    struct buf text; // what the stream lets go
};

static void fini(struct generation *g)
{
    stream_free(g->stream);
    sampler_free(g->sampler);
    if (g->decoder) kv_table_fini(g->decoder->pool, &g->table);
    decoder_free(g->decoder);
    token_ids_fini(&g->ids);
    text_pack_close(g->pack);
    buf_fini(&g->text);
}

static enum err open_pack(const char *path, struct text_pack **out)
{
    struct gguf *gguf;
    TRY(gguf_open(&gguf, path));
    enum err err = text_pack_from_gguf(out, gguf);
    gguf_close(gguf);
    return err;
}

static enum err encode_chat(struct generation *g, const struct probe_conf *conf)
{
    struct template named;
    const struct template *template = &g->pack->template;
    if (*conf->chat_template) {
        TRY(template_parse_name(&named, conf->chat_template));
        template = &named;
    }
    struct chat_message messages[2];
    size_t count = 0;
    if (*conf->system)
        messages[count++] = (struct chat_message){"system", 6, conf->system, strlen(conf->system)};
    messages[count++] = (struct chat_message){"user", 4, conf->prompt, strlen(conf->prompt)};
    struct template_options options = {.add_generation_prompt = true, .wall_ms = clock_wall_ms()};
    return template_encode(template, g->pack->tokenizer, messages, count, &options, &g->ids);
}

static enum err encode(struct generation *g, const struct probe_conf *conf)
{
    TRY(open_pack(conf->model, &g->pack));
    if (conf->chat)
        TRY(encode_chat(g, conf));
    else
        TRY(tokenizer_encode(g->pack->tokenizer, conf->prompt, strlen(conf->prompt),
                             TOKENIZER_ADD_BOS | TOKENIZER_PARSE_SPECIAL, &g->ids));
    if (g->ids.count == 0)
        return err_note(ERR_INVALID, "--prompt is empty and the model has no BOS to begin with");
    return ERR_OK;
}

/* Send the text that the stream has let go. */
static enum err print(struct generation *g)
{
    bool sent =
        fwrite(buf_text(&g->text), 1, g->text.size, stdout) == g->text.size && fflush(stdout) == 0;
    buf_clear(&g->text);
    return sent ? ERR_OK : err_note(ERR_IO, "stdout: %s", strerror(errno));
}

static enum err decode(struct generation *g, const struct wire_sampling *sampling, uint32_t most)
{
    for (uint32_t made = 0; made < most; made++) {
        struct sampler_pick pick;
        struct sampler_place place = {.position = g->table.token_count};
        TRY(sampler_draw(g->sampler, forward_logits(g->decoder->forward, 0), sampling, NULL, &place,
                         &pick));
        if (tokenizer_is_end(g->pack->tokenizer, pick.id)) break;
        if (stream_push(g->stream, pick.id, &g->text) == STREAM_STOPPED) break;
        TRY(print(g));
        if (made + 1 < most) TRY(decoder_extend(g->decoder, &g->table, &pick.id, 1, 0));
    }
    stream_finish(g->stream, &g->text);
    return print(g);
}

/* The pool holds what this run can need and no more. */
static enum err open_decoder(struct generation *g, const struct probe_conf *conf, uint32_t *most)
{
    struct decoder_options options;
    TRY(probe_decoder_options(conf, &options));
    uint32_t wanted = (uint32_t)g->ids.count + *most;
    if (!options.context_max || wanted < options.context_max) options.context_max = wanted;
    TRY(decoder_new(&g->decoder, &options));
    uint32_t context = g->decoder->limits.context_max;
    if (g->ids.count >= context) {
        return err_note(ERR_TOO_LONG, "the prompt has %zu tokens, and the context holds %" PRIu32,
                        g->ids.count, context);
    }
    if (*most > context - (uint32_t)g->ids.count) *most = context - (uint32_t)g->ids.count;
    return ERR_OK;
}

static enum err run(struct generation *g, const struct probe_conf *conf)
{
    struct wire_sampling sampling = {
        .temperature = (float)conf->temperature,
        .top_p = (float)conf->top_p,
        .min_p = (float)conf->min_p,
        .top_k = (uint32_t)conf->top_k,
        .repetition_penalty = 1,
        .seed = conf->seed,
    };
    uint32_t most = (uint32_t)conf->max_tokens;
    TRY(encode(g, conf));
    TRY(open_decoder(g, conf, &most));
    uint32_t vocab_size = model_shape(g->decoder->model)->vocab_size;
    TRY(sampler_check(&sampling, vocab_size));
    g->sampler = sampler_new(vocab_size, &g->decoder->ops);
    TRY(stream_new(&g->stream, g->pack->tokenizer, NULL, 0, false));
    kv_table_init(&g->table, g->decoder->limits.context_max);
    TRY(decoder_extend(g->decoder, &g->table, g->ids.ids, (uint32_t)g->ids.count, 0));
    if (conf->echo) {
        tokenizer_decode(g->pack->tokenizer, g->ids.ids, g->ids.count, true, &g->text);
        TRY(print(g));
    }
    TRY(decode(g, &sampling, most));
    putchar('\n');
    return ERR_OK;
}

enum err probe_generate(const struct probe_conf *conf)
{
    if (!*conf->model) return err_note(ERR_INVALID, "--model FILE is missing: which GGUF file?");
    struct generation generation = {0};
    enum err err = run(&generation, conf);
    fini(&generation);
    return err;
}

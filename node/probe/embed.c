/* qiao-probe embed: vectors of texts, a text a line of --text or of stdin. One text: its vector; several: the cosine of
 * each with each; --json: all vectors. And the bench of an encoder: texts a second. */
#include "node/engine/kv.h"
#include "node/probe/encoder.h"
#include "node/probe/probe.h"

#include "text/tokenizer.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/gguf.h"
#include "base/mem.h"
#include "base/rand.h"

#include <jansson.h>

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TEXTS_MAX = 1024,
    BENCH_TEXTS = 64,
    BENCH_TOKENS = 128
};

/* Texts as their model reads them. */
struct batch_of_texts {
    struct token_ids ids[TEXTS_MAX];
    size_t count;
};

static enum err add_text(struct batch_of_texts *texts, const struct tokenizer *tokenizer,
                         const char *text, size_t size)
{
    if (texts->count == TEXTS_MAX) return err_note(ERR_TOO_LARGE, "more than %d texts", TEXTS_MAX);
    struct token_ids plain = {0};
    uint32_t segment;
    enum err err = tokenizer_encode(tokenizer, text, size, 0, &plain);
    if (!err) tokenizer_frame(tokenizer, &plain, NULL, &texts->ids[texts->count++], &segment);
    token_ids_fini(&plain);
    return err;
}

static enum err add_lines(struct batch_of_texts *texts, const struct tokenizer *tokenizer,
                          const char *text)
{
    enum err err = ERR_OK;
    while (!err && *text) {
        size_t size = strcspn(text, "\n");
        if (size > 0) err = add_text(texts, tokenizer, text, size);
        text += size + (text[size] == '\n');
    }
    return err;
}

static enum err read_texts(struct batch_of_texts *texts, const struct probe_conf *conf)
{
    struct gguf *gguf;
    struct tokenizer *tokenizer;
    struct buf stdin_text = {0};
    char chunk[4096];
    size_t size;
    TRY(gguf_open(&gguf, conf->model));
    enum err err = tokenizer_new(&tokenizer, gguf);
    gguf_close(gguf);
    if (err) return err;
    while (!*conf->text && stdin_text.size <= TOKENIZER_TEXT_MAX &&
           (size = fread(chunk, 1, sizeof chunk, stdin)) > 0)
        buf_add(&stdin_text, chunk, size);
    err = add_lines(texts, tokenizer, *conf->text ? conf->text : buf_text(&stdin_text));
    if (!err && texts->count == 0) err = err_note(ERR_INVALID, "--text T: there is no text");
    buf_fini(&stdin_text);
    tokenizer_free(tokenizer);
    return err;
}

static enum err embed_by_encoder(const struct probe_conf *conf, const struct batch_of_texts *texts,
                                 float **out, uint32_t *dim)
{
    struct encoder encoder;
    struct bert_text list[TEXTS_MAX];
    TRY(encoder_open(&encoder, conf));
    for (size_t i = 0; i < texts->count; i++)
        list[i] =
            (struct bert_text){.ids = texts->ids[i].ids, .count = (uint32_t)texts->ids[i].count};
    *dim = bert_shape(encoder.bert)->dim;
    *out = mem_new(texts->count * *dim, sizeof **out);
    enum err err = encoder_run(&encoder, list, texts->count, *dim, *out);
    encoder_close(&encoder);
    return err;
}

static enum err embed_by_decoder(const struct probe_conf *conf, const struct batch_of_texts *texts,
                                 float **out, uint32_t *dim)
{
    struct decoder_options options;
    struct decoder *decoder;
    TRY(probe_decoder_options(conf, &options));
    TRY(decoder_new(&decoder, &options));
    *dim = model_shape(decoder->model)->dim;
    *out = mem_new(texts->count * *dim, sizeof **out);
    enum err err = ERR_OK;
    for (size_t i = 0; i < texts->count && !err; i++) {
        struct kv_table table;
        float *vector = *out + i * *dim;
        kv_table_init(&table, model_shape(decoder->model)->context_length);
        err = decoder_extend(decoder, &table, texts->ids[i].ids, (uint32_t)texts->ids[i].count, 0);
        if (!err) memcpy(vector, forward_hidden(decoder->forward, 0), *dim * sizeof *vector);
        kv_table_fini(decoder->pool, &table);
    }
    decoder_free(decoder);
    return err;
}

static double dot(const float *a, const float *b, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

static void to_unit_length(float *vector, uint32_t n)
{
    double length = sqrt(dot(vector, vector, n));
    for (uint32_t i = 0; length > 0 && i < n; i++)
        vector[i] = (float)((double)vector[i] / length);
}

static void print_vectors(const struct probe_conf *conf, const float *vectors, size_t count,
                          uint32_t dim)
{
    for (size_t i = 0; (count == 1 || conf->json) && i < count; i++) {
        printf(conf->json ? i ? ",\n[" : "[[" : "");
        for (uint32_t d = 0; d < dim; d++)
            printf("%s%.9g", d ? conf->json ? "," : " " : "", (double)vectors[i * dim + d]);
        printf(conf->json ? "]" : "\n");
    }
    if (conf->json) printf("]\n");
    for (size_t i = 0; count > 1 && !conf->json && i < count; i++) {
        for (size_t j = 0; j < count; j++)
            printf("%s%8.5f", j ? " " : "", dot(vectors + i * dim, vectors + j * dim, dim));
        putchar('\n');
    }
}

enum err probe_embed(const struct probe_conf *conf)
{
    bool encodes;
    uint32_t dim = 0;
    float *vectors = NULL;
    struct batch_of_texts *texts = mem_new(1, sizeof *texts);
    enum err err = encoder_is(conf->model, &encodes);
    if (!err) err = read_texts(texts, conf);
    if (!err) err = (encodes ? embed_by_encoder : embed_by_decoder)(conf, texts, &vectors, &dim);
    for (size_t i = 0; !err && i < texts->count; i++)
        to_unit_length(vectors + i * dim, dim);
    if (!err) print_vectors(conf, vectors, texts->count, dim);
    for (size_t i = 0; i < texts->count; i++)
        token_ids_fini(&texts->ids[i]);
    mem_free(texts);
    mem_free(vectors);
    return err;
}

static int by_size(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static enum err time_texts(struct encoder *encoder, const struct probe_conf *conf, uint32_t tokens)
{
    struct bert_text texts[BENCH_TEXTS];
    struct rand rand;
    double rates[32];
    uint32_t dim = bert_shape(encoder->bert)->dim;
    int32_t *ids = mem_new((size_t)BENCH_TEXTS * tokens, sizeof *ids);
    float *out = mem_new((size_t)BENCH_TEXTS * dim, sizeof *out);
    rand_init(&rand, 1);
    for (size_t i = 0; i < (size_t)BENCH_TEXTS * tokens; i++)
        ids[i] = (int32_t)rand_below(&rand, bert_shape(encoder->bert)->vocab_size);
    for (uint32_t i = 0; i < BENCH_TEXTS; i++)
        texts[i] = (struct bert_text){.ids = ids + (size_t)i * tokens, .count = tokens};
    enum err err = encoder_run(encoder, texts, BENCH_TEXTS, dim, out);
    for (uint64_t run = 0; run < conf->runs && !err; run++) {
        uint64_t start_ns = clock_now_ns();
        err = encoder_run(encoder, texts, BENCH_TEXTS, dim, out);
        rates[run] = BENCH_TEXTS * 1e9 / (double)(clock_now_ns() - start_ns + 1);
    }
    mem_free(ids);
    mem_free(out);
    if (err) return err;
    qsort(rates, conf->runs, sizeof *rates, by_size);
    printf(conf->json ? "{\"texts_per_s\": %.6g, \"slowest\": %.6g, \"fastest\": %.6g}\n"
                      : "embed %.1f texts/s (%.1f to %.1f)",
           rates[conf->runs / 2], rates[0], rates[conf->runs - 1]);
    if (!conf->json) printf(", %d texts of %" PRIu32 " tokens\n", BENCH_TEXTS, tokens);
    return ERR_OK;
}

enum err probe_bench_encoder(const struct probe_conf *conf)
{
    struct encoder encoder;
    uint32_t tokens = BENCH_TOKENS;
    if (*conf->prompt) TRY(probe_read_count("prompt", conf->prompt, 1 << 14, &tokens));
    TRY(encoder_open(&encoder, conf));
    enum err err = time_texts(&encoder, conf, tokens);
    encoder_close(&encoder);
    return err;
}

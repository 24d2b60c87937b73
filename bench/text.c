/* bench-text MODEL.gguf TEXT... : how fast a model's tokenizer loads, encodes and decodes.
 *
 * One thread. Each text (its first TOKENIZER_TEXT_MAX bytes, cut at a character) is encoded whole
 * until a second has passed; the best run counts. MB are 10^6 bytes of text. */
#include "text/stream.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/gguf.h"

#include <stdio.h>

static bool read_text(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return false;
    }
    char *room = buf_grow(out, TOKENIZER_TEXT_MAX);
    size_t count = fread(room, 1, TOKENIZER_TEXT_MAX, file);
    fclose(file);
    out->size = utf8_valid_size(room, count);
    return true;
}

static uint64_t encode_once(const struct tokenizer *tokenizer, const struct buf *text,
                            struct token_ids *ids)
{
    uint64_t start_ns = clock_now_ns();
    ids->count = 0;
    (void)tokenizer_encode(tokenizer, text->data, text->size, 0, ids); // within its limit
    return clock_now_ns() - start_ns;
}

static uint64_t stream_once(const struct tokenizer *tokenizer, const struct token_ids *ids,
                            struct buf *out)
{
    struct stream *stream;
    struct stream_stop stop = {"\n\nUser:", 7};
    if (stream_new(&stream, tokenizer, &stop, 1, true) != ERR_OK) return 1;
    uint64_t start_ns = clock_now_ns();
    buf_clear(out);
    for (size_t i = 0; i < ids->count; i++)
        stream_push(stream, ids->ids[i], out);
    stream_finish(stream, out);
    uint64_t took_ns = clock_now_ns() - start_ns;
    stream_free(stream);
    return took_ns;
}

static void bench_text(const struct tokenizer *tokenizer, const char *path)
{
    struct buf text = {0}, back = {0};
    struct token_ids ids = {0};
    if (!read_text(path, &text)) return;
    uint64_t encode_ns = UINT64_MAX, stream_ns = UINT64_MAX, end_ns = clock_now_ns() + CLOCK_SECOND;
    while (encode_ns == UINT64_MAX || clock_now_ns() < end_ns) {
        uint64_t encoded_ns = encode_once(tokenizer, &text, &ids);
        uint64_t streamed_ns = stream_once(tokenizer, &ids, &back);
        if (encoded_ns < encode_ns) encode_ns = encoded_ns;
        if (streamed_ns < stream_ns) stream_ns = streamed_ns;
    }
    printf("%-40s %8zu bytes %8zu ids  encode %6.2f MB/s %6.2f Mids/s  stream %6.2f Mids/s\n", path,
           text.size, ids.count, (double)text.size * 1e3 / (double)encode_ns,
           (double)ids.count * 1e3 / (double)encode_ns,
           (double)ids.count * 1e3 / (double)stream_ns);
    token_ids_fini(&ids);
    buf_fini(&text);
    buf_fini(&back);
}

int main(int argc, char **argv)
{
    struct gguf *gguf;
    struct tokenizer *tokenizer;
    if (argc < 2) {
        fprintf(stderr, "usage: bench-text MODEL.gguf TEXT...\n");
        return 2;
    }
    uint64_t start_ns = clock_now_ns();
    enum err err = gguf_open(&gguf, argv[1]);
    if (err == ERR_OK) err = tokenizer_new(&tokenizer, gguf);
    if (err != ERR_OK) {
        fprintf(stderr, "bench-text: %s: %s\n", argv[1], err_text());
        return 1;
    }
    printf("%s: %d pieces, loaded in %.0f ms\n", argv[1], tokenizer_size(tokenizer),
           (double)(clock_now_ns() - start_ns) / 1e6);
    for (int i = 2; i < argc; i++)
        bench_text(tokenizer, argv[i]);
    tokenizer_free(tokenizer);
    gguf_close(gguf);
    return 0;
}

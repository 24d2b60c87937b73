/* Any bytes as a text pack. One that opens must encode any text into ids of its own and stream them
 * back as valid UTF-8. Built with libFuzzer, or with tests/fuzz/text_pack_corpus.c. */
#include "text/pack.h"
#include "text/stream.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

#include "base/buf.h"
#include "base/must.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void speak(const struct text_pack *pack, const char *text, size_t size, unsigned flags)
{
    struct token_ids ids = {0};
    struct buf out = {0};
    struct stream *stream;
    struct stream_stop stop = {"b<", 2};
    must(tokenizer_encode(pack->tokenizer, text, size, flags, &ids) == ERR_OK);
    must(ids.count <= 2 * size + 2); // SentencePiece may put a space behind every special piece
    must(stream_new(&stream, pack->tokenizer, &stop, 1, true) == ERR_OK);
    for (size_t i = 0; i < ids.count; i++) {
        must(ids.ids[i] >= 0 && ids.ids[i] < tokenizer_size(pack->tokenizer));
        stream_push(stream, ids.ids[i], &out);
    }
    stream_finish(stream, &out);
    must(utf8_valid(buf_text(&out), out.size));
    stream_free(stream);
    buf_fini(&out);
    token_ids_fini(&ids);
}

static void chat(const struct text_pack *pack)
{
    struct chat_message messages[] = {{"system", 6, " s ", 3}, {"user", 4, "\xE4\xB8\xAD <", 5}};
    struct token_ids ids = {0};
    (void)template_encode(&pack->template, pack->tokenizer, messages, 2,
                          &(struct template_options){0}, &ids);
    token_ids_fini(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] =
        "It's 123 abab  <|im_end|>\n\n \xE4\xB8\xAD\xF0\x9F\x98\x80\xFF ab<0x41>";
    struct text_pack *pack;
    if (text_pack_open(&pack, data, size) != ERR_OK) return 0;
    speak(pack, text, sizeof text - 1, 0);
    speak(pack, text, sizeof text - 1, TOKENIZER_ADD_BOS | TOKENIZER_PARSE_SPECIAL);
    size_t tail = size < 512 ? size : 512;
    speak(pack, (const char *)data + size - tail, tail, TOKENIZER_PARSE_SPECIAL);
    chat(pack);
    text_pack_close(pack);
    return 0;
}

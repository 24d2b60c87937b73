#include "text/pack.h"

#include "text/rows.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

#include "base/buf.h"
#include "base/gguf.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

/* A name goes into URLs, logs and metrics: UTF-8 without control characters. */
static enum err copy_name(char out[TEXT_PACK_NAME_MAX], struct gguf_string from, const char *key)
{
    if (from.size == 0 || from.size >= TEXT_PACK_NAME_MAX || !utf8_valid(from.text, from.size))
        return err_note(ERR_FORMAT, "%s must be 1 to %d bytes of UTF-8", key,
                        TEXT_PACK_NAME_MAX - 1);
    for (size_t i = 0; i < from.size; i++)
        if ((uint8_t)from.text[i] < 0x20 || from.text[i] == 0x7F)
            return err_note(ERR_FORMAT, "%s holds a control character", key);
    memcpy(out, from.text, from.size);
    out[from.size] = '\0';
    return ERR_OK;
}

static enum err read_names(struct text_pack *pack, const struct gguf *gguf)
{
    struct gguf_string string;
    char key[TEXT_PACK_NAME_MAX + sizeof ".context_length"];
    TRY(gguf_get_string(gguf, "general.architecture", &string));
    TRY(copy_name(pack->architecture, string, "general.architecture"));
    snprintf(key, sizeof key, "%s.context_length", pack->architecture);
    TRY(gguf_get_u32(gguf, key, &pack->context_length));
    if (pack->context_length == 0) return err_note(ERR_FORMAT, "%s is 0", key);
    memcpy(pack->name, "model", sizeof "model");
    if (!gguf_has(gguf, "general.name")) return ERR_OK;
    TRY(gguf_get_string(gguf, "general.name", &string));
    return copy_name(pack->name, string, "general.name");
}

static enum err read_template(struct text_pack *pack, const struct gguf *gguf)
{
    struct gguf_string text = {0};
    if (gguf_has(gguf, "tokenizer.chat_template"))
        TRY(gguf_get_string(gguf, "tokenizer.chat_template", &text));
    // A model without a template that we speak still completes: the chat door says what is missing.
    if (template_read(&pack->template, text.text, text.size) != ERR_OK)
        pack->template = (struct template){.kind = TEMPLATE_NONE};
    return ERR_OK;
}

static enum err open_with_digest(struct text_pack **out, const struct gguf *gguf,
                                 struct digest digest)
{
    struct text_pack *pack = mem_new(1, sizeof *pack);
    pack->digest = digest;
    enum err err = read_names(pack, gguf);
    if (err == ERR_OK) err = read_template(pack, gguf);
    if (err == ERR_OK) {
        err = strcmp(pack->architecture, "sasrec") == 0 ? rows_read(&pack->rows, gguf)
                                                        : tokenizer_new(&pack->tokenizer, gguf);
    }
    if (err != ERR_OK) {
        text_pack_close(pack);
        return err == ERR_NOT_FOUND ? err_note(ERR_FORMAT, "%s", err_text()) : err;
    }
    *out = pack;
    return ERR_OK;
}

enum err text_pack_open(struct text_pack **out, const void *bytes, size_t size)
{
    if (size > GGUF_PACK_MAX)
        return err_note(ERR_TOO_LARGE, "the text pack has %zu bytes; at most %d are taken", size,
                        GGUF_PACK_MAX);
    struct gguf *gguf;
    TRY(gguf_parse(&gguf, bytes, size));
    enum err err = open_with_digest(out, gguf, digest_of(bytes, size));
    gguf_close(gguf);
    return err;
}

enum err text_pack_from_gguf(struct text_pack **out, const struct gguf *gguf)
{
    struct buf image = {0};
    enum err err = gguf_write_pack(gguf, &image);
    if (err == ERR_OK) err = open_with_digest(out, gguf, digest_of(image.data, image.size));
    buf_fini(&image);
    return err;
}

void text_pack_close(struct text_pack *pack)
{
    if (!pack) return;
    tokenizer_free(pack->tokenizer);
    rows_free(pack->rows);
    mem_free(pack);
}

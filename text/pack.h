/* text/pack.h -- all that a scheduler needs to speak with a model, without the model's file.
 *
 * A node makes the pack of its model with gguf_write_pack() (base/gguf.h): a GGUF image of metadata
 * alone. It comes over the wire, so it is a stranger's input: bounded by GGUF_PACK_MAX and checked
 * in full before anything of it is used. Its identity is the digest of its bytes.
 *
 * Thread: immutable after open, any may use it. */
#ifndef TEXT_PACK_H
#define TEXT_PACK_H

#include "text/template.h"

#include "base/digest.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct gguf;
struct rows;
struct tokenizer;

enum {
    TEXT_PACK_NAME_MAX = 128 // bytes of a model's name, the NUL included
};

struct text_pack {
    char name[TEXT_PACK_NAME_MAX]; // general.name; printable, "model" where the file has none
    char architecture[TEXT_PACK_NAME_MAX];
    uint32_t context_length;     // tokens; from <architecture>.context_length, at least 1
    struct template template;    // kind TEMPLATE_NONE when the model's own was not recognised
    struct tokenizer *tokenizer; // NULL for a recommender, which speaks no words
    struct rows *rows;           // a recommender's (text/rows.h); NULL where its rows have no names
    struct digest digest;        // of the pack's bytes
};

/* From the bytes of a pack; they may go after. ERR_TOO_LARGE, and the errors of gguf_parse() and
 * tokenizer_new(). An unknown chat template is no failure: `template.kind` says so. */
enum err text_pack_open(struct text_pack **out, const void *bytes, size_t size);
/* From an open GGUF (a model file, in tools and in the node); the digest is that of the pack that
 * gguf_write_pack() makes of it. */
enum err text_pack_from_gguf(struct text_pack **out, const struct gguf *gguf);
void text_pack_close(struct text_pack *pack);

#endif

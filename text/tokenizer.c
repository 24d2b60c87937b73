#include "text/tokenizer.h"

#include "text/bpe.h"
#include "text/special.h"
#include "text/spm.h"
#include "text/vocab.h"
#include "text/wordpiece.h"

#include "base/buf.h"
#include "base/mem.h"

#include <string.h>

struct tokenizer {
    struct vocab vocab;
    struct special special;
    struct bpe bpe; // the one that the vocabulary's model asks for
    struct spm spm;
};

void token_ids_fini(struct token_ids *list)
{
    mem_free(list->ids);
    *list = (struct token_ids){0};
}

int32_t *token_ids_room(struct token_ids *list, size_t count)
{
    if (list->capacity - list->count < count) {
        size_t capacity = list->capacity ? list->capacity * 2 : 64;
        while (capacity - list->count < count)
            capacity *= 2;
        list->ids = mem_resize(list->ids, capacity, sizeof *list->ids);
        list->capacity = capacity;
    }
    return list->ids + list->count;
}

void token_ids_add(struct token_ids *list, int32_t id)
{
    *token_ids_room(list, 1) = id;
    list->count++;
}

enum err tokenizer_new(struct tokenizer **out, const struct gguf *gguf)
{
    struct tokenizer *tokenizer = mem_new(1, sizeof *tokenizer);
    enum err err = vocab_read(&tokenizer->vocab, gguf);
    if (err == ERR_OK) err = special_init(&tokenizer->special, &tokenizer->vocab);
    if (err == ERR_OK && tokenizer->vocab.model == VOCAB_BPE)
        bpe_init(&tokenizer->bpe, &tokenizer->vocab);
    if (err == ERR_OK && tokenizer->vocab.model == VOCAB_SPM)
        err = spm_init(&tokenizer->spm, &tokenizer->vocab);
    if (err != ERR_OK) {
        tokenizer_free(tokenizer);
        return err;
    }
    *out = tokenizer;
    return ERR_OK;
}

void tokenizer_free(struct tokenizer *tokenizer)
{
    if (!tokenizer) return;
    bpe_fini(&tokenizer->bpe);
    spm_fini(&tokenizer->spm);
    special_fini(&tokenizer->special);
    vocab_fini(&tokenizer->vocab);
    mem_free(tokenizer);
}

/* One encoding under way. `after_special`: a SentencePiece stretch gets its space at the text's
 * begin and behind every special piece, as llama.cpp does. */
struct encoding {
    const struct tokenizer *tokenizer;
    struct merge_scratch scratch;
    struct token_ids *out;
    bool after_special;
};

static void encode_stretch(struct encoding *e, const char *text, size_t size)
{
    if (size == 0) return;
    const struct vocab *vocab = &e->tokenizer->vocab;
    if (vocab->model == VOCAB_BPE)
        bpe_encode(&e->tokenizer->bpe, &e->scratch, text, size, e->out);
    else if (vocab->model == VOCAB_WORDPIECE)
        wordpiece_encode(vocab, text, size, e->out);
    else
        spm_encode(&e->tokenizer->spm, &e->scratch, text, size,
                   vocab->add_space_prefix && e->after_special, e->out);
    e->after_special = false;
}

/* `text` is the parts' bytes, one after the other. Special pieces part it, the leftmost first and
 * the longest of those that begin together; what lies between two of them is encoded as one
 * stretch. */
static void encode_text(struct encoding *e, const char *text, size_t size,
                        const struct token_part *parts)
{
    const struct special *special = &e->tokenizer->special;
    size_t stretch = 0, at = 0, part = 0, part_end = parts[0].size;
    while (at < size) {
        while (at >= part_end)
            part_end += parts[++part].size;
        int32_t id;
        size_t control_size = parts[part].parse_special ? part_end - at : 0;
        size_t match = special_match(special, text + at, size - at, control_size, &id);
        if (match == 0) {
            at++;
            continue;
        }
        encode_stretch(e, text + stretch, at - stretch);
        token_ids_add(e->out, id);
        e->after_special = true;
        at += match;
        stretch = at;
    }
    encode_stretch(e, text + stretch, size - stretch);
}

enum err tokenizer_encode_parts(const struct tokenizer *tokenizer, const struct token_part *parts,
                                size_t count, bool add_bos, struct token_ids *out)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].size > TOKENIZER_TEXT_MAX - size)
            return err_note(ERR_TOO_LARGE, "the text has more than %d bytes", TOKENIZER_TEXT_MAX);
        size += parts[i].size;
    }
    if (add_bos && tokenizer->vocab.add_bos) token_ids_add(out, tokenizer->vocab.bos);
    if (size == 0) return ERR_OK;
    struct encoding e = {.tokenizer = tokenizer, .out = out, .after_special = true};
    if (count == 1) {
        encode_text(&e, parts[0].text, size, parts);
    } else {
        struct buf whole = {0};
        for (size_t i = 0; i < count; i++)
            buf_add(&whole, parts[i].text, parts[i].size);
        encode_text(&e, whole.data, size, parts);
        buf_fini(&whole);
    }
    merge_scratch_fini(&e.scratch);
    return ERR_OK;
}

enum err tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t size,
                          unsigned flags, struct token_ids *out)
{
    struct token_part part = {
        .text = text, .size = size, .parse_special = (flags & TOKENIZER_PARSE_SPECIAL) != 0};
    return tokenizer_encode_parts(tokenizer, &part, 1, (flags & TOKENIZER_ADD_BOS) != 0, out);
}

static void add_all(struct token_ids *out, const struct token_ids *list)
{
    if (list->count == 0) return;
    memcpy(token_ids_room(out, list->count), list->ids, list->count * sizeof *list->ids);
    out->count += list->count;
}

void tokenizer_frame(const struct tokenizer *tokenizer, const struct token_ids *first,
                     const struct token_ids *second, struct token_ids *out, uint32_t *segment)
{
    const struct vocab *vocab = &tokenizer->vocab;
    bool marks = vocab->model == VOCAB_WORDPIECE;
    if (vocab->add_bos) token_ids_add(out, vocab->bos);
    add_all(out, first);
    if (marks && second) token_ids_add(out, vocab->eos);
    *segment = second ? (uint32_t)out->count : 0;
    if (second) add_all(out, second);
    if (vocab->eos != VOCAB_NONE) token_ids_add(out, vocab->eos);
}

size_t tokenizer_frame_size(const struct tokenizer *tokenizer, bool pair)
{
    const struct vocab *vocab = &tokenizer->vocab;
    size_t ends = vocab->eos != VOCAB_NONE;
    return vocab->add_bos + ends + (pair && vocab->model == VOCAB_WORDPIECE);
}

const char *tokenizer_piece(const struct tokenizer *tokenizer, int32_t id, size_t *size)
{
    if (id >= 0 && id < tokenizer->vocab.size) return vocab_piece(&tokenizer->vocab, id, size);
    *size = 0;
    return NULL;
}

int32_t tokenizer_size(const struct tokenizer *tokenizer)
{
    return tokenizer->vocab.size;
}

int32_t tokenizer_bos(const struct tokenizer *tokenizer)
{
    return tokenizer->vocab.bos;
}

int32_t tokenizer_eos(const struct tokenizer *tokenizer)
{
    return tokenizer->vocab.eos;
}

bool tokenizer_adds_bos(const struct tokenizer *tokenizer)
{
    return tokenizer->vocab.add_bos;
}

bool tokenizer_adds_space(const struct tokenizer *tokenizer)
{
    return tokenizer->vocab.add_space_prefix;
}

const int32_t *tokenizer_ends(const struct tokenizer *tokenizer, size_t *count)
{
    *count = tokenizer->vocab.end_count;
    return tokenizer->vocab.ends;
}

bool tokenizer_is_end(const struct tokenizer *tokenizer, int32_t id)
{
    for (size_t i = 0; i < tokenizer->vocab.end_count; i++)
        if (tokenizer->vocab.ends[i] == id) return true;
    return false;
}

bool tokenizer_is_control(const struct tokenizer *tokenizer, int32_t id)
{
    if (id < 0 || id >= tokenizer->vocab.size) return true;
    uint8_t type = tokenizer->vocab.types[id];
    return type == VOCAB_CONTROL || type == VOCAB_UNKNOWN || type == VOCAB_UNUSED;
}

int32_t tokenizer_find(const struct tokenizer *tokenizer, const char *text)
{
    int32_t id;
    size_t size = strlen(text);
    return special_match(&tokenizer->special, text, size, size, &id) == size && size > 0
               ? id
               : TOKENIZER_NONE;
}

void tokenizer_decode(const struct tokenizer *tokenizer, const int32_t *ids, size_t count,
                      bool at_begin, struct buf *out)
{
    bool strip = at_begin && tokenizer->vocab.add_space_prefix;
    for (size_t i = 0; i < count; i++) {
        if (tokenizer_is_control(tokenizer, ids[i])) continue;
        size_t size;
        const char *piece = tokenizer_piece(tokenizer, ids[i], &size);
        if (strip && size > 0 && piece[0] == ' ') {
            piece++;
            size--;
        }
        strip = false;
        buf_add(out, piece, size);
    }
}

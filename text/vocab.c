#include "text/vocab.h"

#include "text/utf8.h"

#include "base/gguf.h"
#include "base/mem.h"
#include "base/must.h"

#include <math.h>
#include <string.h>

#define KEY "tokenizer.ggml."

/* Where a piece's bytes come from while the image is read. */
struct reading {
    const struct gguf *gguf;
    struct gguf_string *texts; // [size] as the file writes them
    int16_t byte_of[324];      // GPT-2's printable alphabet: code -> byte; -1 where it has none
};

static bool same(struct gguf_string string, const char *text)
{
    return string.size == strlen(text) && memcmp(string.text, text, string.size) == 0;
}

/* GPT-2 writes bytes as printable characters: those that are printable in Latin-1 stand for
 * themselves, the others for U+0100 and on, in order (openai/gpt-2, encoder.py,
 * bytes_to_unicode). */
static void alphabet_fill(int16_t byte_of[324])
{
    for (size_t i = 0; i < 324; i++)
        byte_of[i] = -1;
    int next = 0x100;
    for (int byte = 0; byte < 256; byte++) {
        bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) ||
                         (byte >= 0xAE && byte <= 0xFF);
        byte_of[printable ? byte : next++] = (int16_t)byte;
    }
    must(next == 324);
}

/* The bytes that a byte-level piece stands for, into `out` (at least `size` bytes); false when the
 * piece is not written in the alphabet. */
static bool alphabet_decode(const int16_t byte_of[324], const char *text, size_t size, char *out,
                            size_t *out_size)
{
    size_t count = 0;
    while (size > 0) {
        int32_t code;
        size_t step = utf8_next(text, size, &code);
        if (code < 0 || code >= 324 || byte_of[code] < 0) return false;
        out[count++] = (char)byte_of[code];
        text += step;
        size -= step;
    }
    *out_size = count;
    return true;
}

const char *vocab_piece(const struct vocab *vocab, int32_t id, size_t *size)
{
    must(id >= 0 && id < vocab->size);
    *size = vocab->starts[id + 1] - vocab->starts[id];
    return vocab->bytes + vocab->starts[id];
}

static enum err read_model(struct vocab *vocab, const struct gguf *gguf)
{
    struct gguf_string model, pre;
    TRY(gguf_get_string(gguf, KEY "model", &model));
    if (same(model, "llama")) {
        vocab->model = VOCAB_SPM;
        return ERR_OK;
    }
    if (same(model, "bert")) {
        vocab->model = VOCAB_WORDPIECE;
        return ERR_OK;
    }
    if (!same(model, "gpt2"))
        return err_note(ERR_UNSUPPORTED,
                        KEY "model '%.*s' is not supported; supported are gpt2 (byte-level BPE), "
                            "llama (SentencePiece) and bert (WordPiece)",
                        (int)(model.size < 64 ? model.size : 64), model.text);
    vocab->model = VOCAB_BPE;
    vocab->pre = VOCAB_PRE_GPT2;
    if (!gguf_has(gguf, KEY "pre")) return ERR_OK;
    TRY(gguf_get_string(gguf, KEY "pre", &pre));
    if (same(pre, "gpt-2") || same(pre, "default")) return ERR_OK;
    if (same(pre, "qwen2")) {
        vocab->pre = VOCAB_PRE_QWEN2;
        return ERR_OK;
    }
    if (same(pre, "llama-bpe") || same(pre, "llama3") || same(pre, "llama-v3")) {
        vocab->pre = VOCAB_PRE_LLAMA3;
        vocab->whole_words = true;
        return ERR_OK;
    }
    return err_note(ERR_UNSUPPORTED,
                    KEY "pre '%.*s' is not supported; supported are qwen2, llama-bpe, gpt-2 and "
                        "default",
                    (int)(pre.size < 64 ? pre.size : 64), pre.text);
}

static enum err read_texts(struct vocab *vocab, struct reading *reading)
{
    const struct gguf *gguf = reading->gguf;
    enum gguf_value_type type;
    size_t count;
    TRY(gguf_get_array(gguf, KEY "tokens", &type, &count));
    if (count == 0) return err_note(ERR_FORMAT, KEY "tokens is empty");
    if (count > VOCAB_SIZE_MAX)
        return err_note(ERR_TOO_LARGE, KEY "tokens has %zu pieces; at most %d are read", count,
                        VOCAB_SIZE_MAX);
    vocab->size = (int32_t)count;
    reading->texts = mem_new(count, sizeof *reading->texts);
    TRY(gguf_get_strings(gguf, KEY "tokens", reading->texts, count));
    for (size_t i = 0; i < count; i++) {
        if (reading->texts[i].size > VOCAB_PIECE_MAX)
            return err_note(ERR_TOO_LARGE, KEY "tokens[%zu] has %zu bytes; at most %d are read", i,
                            reading->texts[i].size, VOCAB_PIECE_MAX);
    }
    return ERR_OK;
}

/* Tokens that part the turns of a chat, which some converters mark as user-defined: a user's text
 * must not hold them, so they are control pieces whatever the file says. */
static bool is_chat_mark(struct gguf_string text)
{
    static const char *const marks[] = {
        "<|im_start|>",        "<|im_end|>",        "<|endoftext|>", "<|eot_id|>",
        "<|eom_id|>",          "<|begin_of_text|>", "<|end|>",       "<|end_of_text|>",
        "<|start_header_id|>", "<|end_header_id|>", "<s>",           "</s>",
        "<|python_tag|>",
    };
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (same(text, marks[i])) return true;
    return false;
}

static enum err read_types(struct vocab *vocab, const struct reading *reading)
{
    enum gguf_value_type type;
    size_t count, size = (size_t)vocab->size;
    TRY(gguf_get_array(reading->gguf, KEY "token_type", &type, &count));
    if (count != size)
        return err_note(ERR_FORMAT, KEY "token_type has %zu entries for %zu pieces", count, size);
    int32_t *types = mem_new(size, sizeof *types);
    enum err err = gguf_get_ints(reading->gguf, KEY "token_type", types, size);
    vocab->types = mem_new(size, 1);
    for (size_t i = 0; i < size && err == ERR_OK; i++) {
        if (types[i] == VOCAB_USER && is_chat_mark(reading->texts[i])) types[i] = VOCAB_CONTROL;
        if (types[i] < VOCAB_NORMAL || types[i] > VOCAB_BYTE)
            err = err_note(ERR_FORMAT, KEY "token_type[%zu] is %d; a type is 1 to 6", i, types[i]);
        vocab->types[i] = (uint8_t)types[i];
    }
    mem_free(types);
    return err;
}

/* "<0x0A>" -> 10; -1 for anything else. */
static int byte_named(struct gguf_string text)
{
    if (text.size != 6 || memcmp(text.text, "<0x", 3) != 0 || text.text[5] != '>') return -1;
    int value = 0;
    for (size_t i = 3; i < 5; i++) {
        char c = text.text[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                           : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* U+2581 stands for a space in SentencePiece. */
static size_t spaces_decode(struct gguf_string text, char *out)
{
    size_t count = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.size - i >= 3 && memcmp(text.text + i, "\xE2\x96\x81", 3) == 0) {
            out[count++] = ' ';
            i += 2;
        } else {
            out[count++] = text.text[i];
        }
    }
    return count;
}

/* The bytes that piece `id` stands for, into `out`; how many. */
static enum err piece_bytes(const struct vocab *vocab, const struct reading *reading, size_t id,
                            char *out, size_t *out_size)
{
    struct gguf_string text = reading->texts[id];
    *out_size = text.size;
    if (vocab->types[id] == VOCAB_BYTE) {
        int byte = byte_named(text);
        if (byte < 0)
            return err_note(ERR_FORMAT, KEY "tokens[%zu] is of type byte but is not named <0xNN>",
                            id);
        out[0] = (char)byte;
        *out_size = 1;
        return ERR_OK;
    }
    if (vocab->model != VOCAB_BPE && vocab->types[id] != VOCAB_CONTROL) {
        *out_size = spaces_decode(text, out);
        return ERR_OK;
    }
    if (vocab->types[id] == VOCAB_NORMAL &&
        alphabet_decode(reading->byte_of, text.text, text.size, out, out_size))
        return ERR_OK;
    memcpy(out, text.text, text.size);
    return ERR_OK;
}

static enum err read_pieces(struct vocab *vocab, const struct reading *reading)
{
    size_t size = (size_t)vocab->size, room = 0, used = 0;
    for (size_t i = 0; i < size; i++)
        room += reading->texts[i].size + 1; // at most 2^20 × 1025: no overflow, and fits starts
    vocab->bytes = mem_new(room, 1);
    vocab->starts = mem_new(size + 1, sizeof *vocab->starts);
    piece_map_init(&vocab->map, size);
    for (int i = 0; i < 256; i++)
        vocab->byte_ids[i] = VOCAB_NONE;
    for (size_t i = 0; i < size; i++) {
        size_t count;
        char *out = vocab->bytes + used;
        TRY(piece_bytes(vocab, reading, i, out, &count));
        vocab->starts[i] = (uint32_t)used;
        used += count;
        uint8_t first = (uint8_t)out[0];
        if (vocab->types[i] == VOCAB_BYTE) vocab->byte_ids[first] = (int32_t)i;
        if (vocab->types[i] == VOCAB_NORMAL && count > 0)
            piece_map_add(&vocab->map, out, count, (int32_t)i);
    }
    vocab->starts[size] = (uint32_t)used;
    return ERR_OK;
}

static enum err read_scores(struct vocab *vocab, const struct reading *reading)
{
    enum gguf_value_type type;
    size_t count, size = (size_t)vocab->size;
    TRY(gguf_get_array(reading->gguf, KEY "scores", &type, &count));
    if (count != size)
        return err_note(ERR_FORMAT, KEY "scores has %zu entries for %zu pieces", count, size);
    vocab->scores = mem_new(size, sizeof *vocab->scores);
    TRY(gguf_get_floats(reading->gguf, KEY "scores", vocab->scores, size));
    for (size_t i = 0; i < size; i++)
        if (!isfinite(vocab->scores[i]))
            return err_note(ERR_FORMAT, KEY "scores[%zu] is not a finite number", i);
    return ERR_OK;
}

/* Any text must have ids: its bytes have, or the unknown piece stands in. */
static enum err check_bytes(struct vocab *vocab)
{
    if (vocab->model == VOCAB_WORDPIECE) return ERR_OK; // read_marks() has seen the unknown piece
    for (int byte = 0; byte < 256; byte++) {
        char c = (char)byte;
        if (vocab->model == VOCAB_BPE) vocab->byte_ids[byte] = piece_map_find(&vocab->map, &c, 1);
        if (vocab->byte_ids[byte] != VOCAB_NONE) continue;
        if (vocab->model == VOCAB_BPE || vocab->unk == VOCAB_NONE)
            return err_note(ERR_FORMAT, KEY "tokens has no piece for the byte 0x%02X%s", byte,
                            vocab->model == VOCAB_SPM ? ", and there is no unknown_token_id" : "");
    }
    return ERR_OK;
}

/* "left right", both in the alphabet, in which a space is no letter. */
static bool merge_parse(const struct vocab *vocab, const struct reading *reading,
                        struct gguf_string text, struct vocab_merge *out)
{
    char bytes[2 * VOCAB_PIECE_MAX + 2];
    if (text.size < 3 || text.size >= sizeof bytes) return false;
    const char *space = memchr(text.text + 1, ' ', text.size - 1);
    if (!space) return false;
    size_t left_text = (size_t)(space - text.text), left, right;
    if (!alphabet_decode(reading->byte_of, text.text, left_text, bytes, &left)) return false;
    if (!alphabet_decode(reading->byte_of, space + 1, text.size - left_text - 1, bytes + left,
                         &right))
        return false;
    out->left = piece_map_find(&vocab->map, bytes, left);
    out->right = piece_map_find(&vocab->map, bytes + left, right);
    out->merged = piece_map_find(&vocab->map, bytes, left + right);
    return out->left >= 0 && out->right >= 0 && out->merged >= 0;
}

static enum err read_merges(struct vocab *vocab, const struct reading *reading)
{
    enum gguf_value_type type;
    size_t count;
    TRY(gguf_get_array(reading->gguf, KEY "merges", &type, &count));
    if (count > VOCAB_MERGES_MAX)
        return err_note(ERR_TOO_LARGE, KEY "merges has %zu entries; at most %d are read", count,
                        VOCAB_MERGES_MAX);
    struct gguf_string *texts = mem_new(count + 1, sizeof *texts);
    vocab->merges = mem_new(count + 1, sizeof *vocab->merges);
    vocab->merge_count = count;
    enum err err = gguf_get_strings(reading->gguf, KEY "merges", texts, count);
    for (size_t i = 0; i < count && err == ERR_OK; i++) {
        if (!merge_parse(vocab, reading, texts[i], &vocab->merges[i]))
            err =
                err_note(ERR_FORMAT,
                         KEY "merges[%zu] is not two pieces of the vocabulary, parted by a space, "
                             "that make a third",
                         i);
    }
    mem_free(texts);
    return err;
}

/* An id from its key; absent, or all ones as some converters write it, is VOCAB_NONE. */
static enum err read_id(const struct vocab *vocab, const struct gguf *gguf, const char *key,
                        int32_t *out)
{
    uint32_t id;
    *out = VOCAB_NONE;
    if (!gguf_has(gguf, key)) return ERR_OK;
    TRY(gguf_get_u32(gguf, key, &id));
    if (id == UINT32_MAX) return ERR_OK;
    if (id >= (uint32_t)vocab->size)
        return err_note(ERR_FORMAT, "%s is %u; the vocabulary has %d pieces", key, id, vocab->size);
    *out = (int32_t)id;
    return ERR_OK;
}

static enum err read_bool(const struct gguf *gguf, const char *key, bool *out)
{
    return gguf_has(gguf, key) ? gguf_get_bool(gguf, key, out) : ERR_OK;
}

static void add_end(struct vocab *vocab, int32_t id)
{
    if (id == VOCAB_NONE) return;
    size_t at = 0;
    while (at < vocab->end_count && vocab->ends[at] < id)
        at++;
    if (at < vocab->end_count && vocab->ends[at] == id) return;
    if (vocab->end_count == VOCAB_ENDS_MAX) return;
    memmove(vocab->ends + at + 1, vocab->ends + at, (vocab->end_count - at) * sizeof *vocab->ends);
    vocab->ends[at] = id;
    vocab->end_count++;
}

/* What WordPiece puts around a text. Files name it by other keys, or only by its piece. */
static enum err read_mark(const struct vocab *vocab, const struct reading *reading, const char *key,
                          const char *piece, int32_t *out)
{
    int32_t named;
    TRY(read_id(vocab, reading->gguf, key, &named));
    if (named != VOCAB_NONE) *out = named;
    for (int32_t i = 0; i < vocab->size && *out == VOCAB_NONE; i++)
        if (same(reading->texts[i], piece)) *out = i;
    if (*out != VOCAB_NONE) return ERR_OK;
    return err_note(ERR_FORMAT, "%s is missing, and " KEY "tokens has no %s", key, piece);
}

static enum err read_marks(struct vocab *vocab, const struct reading *reading)
{
    TRY(read_mark(vocab, reading, KEY "cls_token_id", "[CLS]", &vocab->bos));
    TRY(read_mark(vocab, reading, KEY "seperator_token_id", "[SEP]", &vocab->eos));
    TRY(read_mark(vocab, reading, KEY "unknown_token_id", "[UNK]", &vocab->unk));
    vocab->add_bos = true;
    vocab->add_space_prefix = true;
    return ERR_OK;
}

static enum err read_specials(struct vocab *vocab, const struct reading *reading)
{
    const struct gguf *gguf = reading->gguf;
    TRY(read_id(vocab, gguf, KEY "bos_token_id", &vocab->bos));
    TRY(read_id(vocab, gguf, KEY "eos_token_id", &vocab->eos));
    TRY(read_id(vocab, gguf, KEY "eot_token_id", &vocab->eot));
    TRY(read_id(vocab, gguf, KEY "eom_token_id", &vocab->eom));
    TRY(read_id(vocab, gguf, KEY "padding_token_id", &vocab->pad));
    TRY(read_id(vocab, gguf, KEY "unknown_token_id", &vocab->unk));
    if (vocab->model == VOCAB_WORDPIECE) return read_marks(vocab, reading);
    vocab->add_bos = vocab->model == VOCAB_SPM || vocab->pre == VOCAB_PRE_LLAMA3;
    vocab->add_space_prefix = vocab->model == VOCAB_SPM;
    TRY(read_bool(gguf, KEY "add_bos_token", &vocab->add_bos));
    if (vocab->bos == VOCAB_NONE) vocab->add_bos = false;
    if (vocab->model == VOCAB_SPM)
        TRY(read_bool(gguf, KEY "add_space_prefix", &vocab->add_space_prefix));
    add_end(vocab, vocab->eos);
    add_end(vocab, vocab->eot);
    add_end(vocab, vocab->eom);
    static const char *const ends[] = {"<|im_end|>", "<|endoftext|>",   "<|eot_id|>", "<|eom_id|>",
                                       "<|end|>",    "<|end_of_text|>", "</s>"};
    for (int32_t i = 0; i < vocab->size; i++) {
        if (vocab->types[i] != VOCAB_CONTROL) continue;
        for (size_t j = 0; j < sizeof ends / sizeof *ends; j++)
            if (same(reading->texts[i], ends[j])) add_end(vocab, i);
    }
    return ERR_OK;
}

static enum err read_all(struct vocab *vocab, struct reading *reading)
{
    TRY(read_model(vocab, reading->gguf));
    TRY(read_texts(vocab, reading));
    TRY(read_types(vocab, reading));
    TRY(read_specials(vocab, reading));
    TRY(read_pieces(vocab, reading));
    TRY(check_bytes(vocab));
    if (vocab->model == VOCAB_BPE) return read_merges(vocab, reading);
    return vocab->model == VOCAB_SPM ? read_scores(vocab, reading) : ERR_OK;
}

enum err vocab_read(struct vocab *out, const struct gguf *gguf)
{
    struct vocab vocab = {0};
    struct reading reading = {.gguf = gguf};
    alphabet_fill(reading.byte_of);
    enum err err = read_all(&vocab, &reading);
    mem_free(reading.texts);
    if (err != ERR_OK) {
        vocab_fini(&vocab);
        // What a tokenizer lacks is a fault of the file, not a thing that someone asked for.
        return err == ERR_NOT_FOUND ? err_note(ERR_FORMAT, "%s", err_text()) : err;
    }
    *out = vocab;
    return ERR_OK;
}

void vocab_fini(struct vocab *vocab)
{
    mem_free(vocab->starts);
    mem_free(vocab->bytes);
    mem_free(vocab->types);
    mem_free(vocab->scores);
    mem_free(vocab->merges);
    piece_map_fini(&vocab->map);
    *vocab = (struct vocab){0};
}

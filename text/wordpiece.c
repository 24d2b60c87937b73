#include "text/wordpiece.h"

#include "text/tokenizer.h"
#include "text/utf8.h"
#include "text/vocab.h"

#include <utf8proc.h>

#include <stdbool.h>
#include <stdint.h>

enum {
    FOLD_MAX = 32 // characters that one can decompose into, with room to spare
};

/* The word that is being read, behind the space that marks its begin. */
struct word {
    char text[1 + WORDPIECE_WORD_MAX * UTF8_CHARACTER_MAX];
    size_t size;
    size_t characters; // may go beyond the maximum; the text does not
};

static bool is_cjk(int32_t code)
{
    static const int32_t ranges[][2] = {
        {0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F},
        {0x2B740, 0x2B81F}, {0x2B820, 0x2CEAF}, {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F},
    };

    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (code >= ranges[i][0] && code <= ranges[i][1]) return true;
    return false;
}

static bool is_punctuation(int32_t code)
{
    if (code < 0x80)
        return (code >= '!' && code <= '/') || (code >= ':' && code <= '@') ||
               (code >= '[' && code <= '`') || (code >= '{' && code <= '~');
    utf8proc_category_t category = utf8proc_category(code);
    return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

/* Characters that leave no trace. */
static bool is_dropped(int32_t code)
{
    if (code == '\t' || code == '\n' || code == '\r') return false;
    if (code <= 0 || code == 0xFFFD) return true;
    utf8proc_category_t category = utf8proc_category(code);
    return category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF ||
           category == UTF8PROC_CATEGORY_CO;
}

static void word_begin(struct word *word)
{
    word->text[0] = ' ';
    word->size = 1;
    word->characters = 0;
}

static void word_add(struct word *word, int32_t code)
{
    if (word->characters++ < WORDPIECE_WORD_MAX)
        word->size += utf8_write(word->text + word->size, code);
}

/* The longest piece at the start of `text` and its bytes; VOCAB_NONE. */
static int32_t longest_piece(const struct vocab *vocab, const char *text, size_t size,
                             size_t *piece_size)
{
    size_t end = size < vocab->map.longest ? size : vocab->map.longest;
    for (; end > 0; end--) {
        bool within = end < size && ((uint8_t)text[end] & 0xC0) == 0x80; // of a character
        if (within) continue;
        int32_t id = piece_map_find(&vocab->map, text, end);
        if (id == PIECE_MAP_NONE) continue;
        *piece_size = end;
        return id;
    }
    return VOCAB_NONE;
}

/* The word's pieces, and then a new word. */
static void word_end(struct word *word, const struct vocab *vocab, struct token_ids *out)
{
    size_t before = out->count;
    bool known = word->characters <= WORDPIECE_WORD_MAX;
    for (size_t at = 0, step; known && word->characters > 0 && at < word->size; at += step) {
        int32_t id = longest_piece(vocab, word->text + at, word->size - at, &step);
        known = id != VOCAB_NONE;
        if (known) token_ids_add(out, id);
    }
    if (!known) {
        out->count = before;
        token_ids_add(out, vocab->unk);
    }
    word_begin(word);
}

/* A character in its folded form: more than one, or none where it is an accent. */
static void add_folded(struct word *word, const struct vocab *vocab, int32_t code,
                       struct token_ids *out)
{
    utf8proc_int32_t parts[FOLD_MAX] = {code};
    utf8proc_ssize_t count = 1;
    if (code >= 0x80) {
        int boundary = 0;
        count = utf8proc_decompose_char(code, parts, FOLD_MAX, UTF8PROC_DECOMPOSE, &boundary);
    }
    for (utf8proc_ssize_t i = 0; i < count && i < FOLD_MAX; i++) {
        if (parts[i] >= 0x80 && utf8proc_category(parts[i]) == UTF8PROC_CATEGORY_MN) continue;
        int32_t lower = utf8proc_tolower(parts[i]);
        bool alone = is_punctuation(lower) || is_cjk(code);
        if (alone) word_end(word, vocab, out);
        word_add(word, lower);
        if (alone) word_end(word, vocab, out);
    }
}

void wordpiece_encode(const struct vocab *vocab, const char *text, size_t size,
                      struct token_ids *out)
{
    struct word word;
    word_begin(&word);
    for (size_t at = 0; at < size;) {
        int32_t code;
        at += utf8_next(text + at, size - at, &code);
        if (is_dropped(code)) continue;
        if (utf8_is_space(code))
            word_end(&word, vocab, out);
        else
            add_folded(&word, vocab, code, out);
    }
    word_end(&word, vocab, out);
}

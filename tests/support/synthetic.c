#include "tests/support/synthetic.h"

#include "text/utf8.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"

#include <stdlib.h>
#include <string.h>

enum {
    HAN_FIRST = 0x4E00,
    HAN_LAST = 0x9FA5,
    LETTERS_MAX = 64
};

static void add_code(struct buf *out, int32_t code)
{
    char bytes[UTF8_CHARACTER_MAX];
    buf_add(out, bytes, utf8_write(bytes, code));
}

void synthetic_all_han(struct synthetic_han *han, const struct fold *fold)
{
    han->count = 0;
    for (int32_t code = HAN_FIRST; code <= HAN_LAST; code++) {
        int32_t folded[FOLD_MAX];
        bool stays = fold_character(fold, code, folded) == 1 && folded[0] == code;
        if (stays && han->count < sizeof han->codes / sizeof *han->codes)
            han->codes[han->count++] = code;
    }
}

void synthetic_term(struct buf *out, struct rand *rand, const struct synthetic_han *han)
{
    if (rand_below(rand, 2)) {
        for (uint64_t left = 2 + rand_below(rand, 4); left > 0; left--)
            add_code(out, han->codes[rand_below(rand, han->count)]);
        return;
    }
    for (uint64_t left = 4 + rand_below(rand, 6); left > 0; left--)
        buf_add_byte(out, (unsigned char)('a' + rand_below(rand, 26)));
}

void synthetic_bundle(struct buf *out, size_t count, uint64_t seed, const struct synthetic_han *han)
{
    struct rand rand;
    rand_init(&rand, seed);
    buf_add_text(out, "qiao terms 1\nname synthetic\nserial 1\nmade 2026-11-01\n"
                      "category veiled mask mask\ncategory barred block block\n");
    for (size_t i = 0; i < count; i++) {
        buf_add_text(out, i % 4 ? "term veiled " : "term barred ");
        synthetic_term(out, &rand, han);
        buf_add_byte(out, '\n');
    }
}

/* A traditional character that is folded to `code`; itself where there is none. */
static int32_t traditional_of(const struct fold *fold, int32_t code)
{
    static int32_t table[HAN_LAST - HAN_FIRST + 1];
    if (!table[0]) {
        for (int32_t i = 0; i <= HAN_LAST - HAN_FIRST; i++)
            table[i] = HAN_FIRST + i;
        for (int32_t from = HAN_FIRST; from <= HAN_LAST; from++) {
            int32_t folded[FOLD_MAX];
            if (fold_character(fold, from, folded) == 1 && folded[0] != from &&
                folded[0] >= HAN_FIRST && folded[0] <= HAN_LAST)
                table[folded[0] - HAN_FIRST] = from;
        }
    }
    return code >= HAN_FIRST && code <= HAN_LAST ? table[code - HAN_FIRST] : code;
}

/* Of one letter in lower case; 0: this variant says nothing of it. */
static int32_t letter_of(enum synthetic_variant variant, int32_t code)
{
    static const char letters[] = "aceiopsxybkmht";
    static const int32_t cyrillic[] = {0x430, 0x441, 0x435, 0x456, 0x43E, 0x440, 0x455,
                                       0x445, 0x443, 0x432, 0x43A, 0x43C, 0x43D, 0x442};
    static const char plain[] = "oilesatbg", digits[] = "011354789";
    const char *at;
    if (code < 'a' || code > 'z') return 0;
    switch (variant) {
    case SYNTHETIC_CAPITALS: return code - 'a' + 'A';
    case SYNTHETIC_WIDE: return code - 'a' + 0xFF41;
    case SYNTHETIC_MATH: return code - 'a' + 0x1D5BA; // sans-serif
    case SYNTHETIC_CYRILLIC:
        at = strchr(letters, (char)code);
        return at ? cyrillic[at - letters] : 0;
    case SYNTHETIC_DIGITS: at = strchr(plain, (char)code); return at ? digits[at - plain] : 0;
    default: return 0;
    }
}

static void write_gap(struct buf *out, enum synthetic_variant variant, struct rand *rand)
{
    static const char *const stars[] = {"*", "-", "_", "~", "·", "😀"};
    static const char *const dots[] = {"，", "、", ". ", "/", "\n"};
    switch (variant) {
    case SYNTHETIC_JOINERS: buf_add_text(out, "\xE2\x80\x8B\xE2\x80\x8D"); break;
    case SYNTHETIC_STARS: buf_add_text(out, stars[rand_below(rand, 6)]); break;
    case SYNTHETIC_SPACED: buf_add_byte(out, ' '); break;
    case SYNTHETIC_DOTTED: buf_add_text(out, dots[rand_below(rand, 5)]); break;
    default: break;
    }
}

bool synthetic_write(struct buf *out, enum synthetic_variant variant, const char *term,
                     struct rand *rand, const struct fold *fold)
{
    int32_t codes[LETTERS_MAX];
    size_t count = 0, changed = 0;
    for (size_t at = 0, size = strlen(term); at < size && count < LETTERS_MAX; count++)
        at += utf8_next(term + at, size - at, &codes[count]);
    must(count >= 2);
    size_t star = 1 + rand_below(rand, count - 1);
    for (size_t i = 0; i < count; i++) {
        int32_t other = variant == SYNTHETIC_TRADITIONAL ? traditional_of(fold, codes[i])
                                                         : letter_of(variant, codes[i]);
        bool goes = other && other != codes[i];
        if (variant == SYNTHETIC_DIGITS && changed + 1 > count / 2) goes = false;
        if (i > 0 && (variant != SYNTHETIC_STARS || i == star)) write_gap(out, variant, rand);
        add_code(out, goes ? other : codes[i]);
        changed += goes;
        if (variant == SYNTHETIC_MARKS && codes[i] < 0x80) buf_add_text(out, "\xCC\xB6");
    }
    switch (variant) {
    case SYNTHETIC_PLAIN:
    case SYNTHETIC_JOINERS:
    case SYNTHETIC_STARS: return true;
    case SYNTHETIC_MARKS: return codes[0] < 0x80;
    case SYNTHETIC_SPACED: return count >= 3 || codes[0] >= 0x80;
    case SYNTHETIC_DOTTED: return count >= 3;
    default: return changed > 0;
    }
}

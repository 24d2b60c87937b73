#include "text/disguise.h"

#include "text/utf8.h"

#include "base/mem.h"
#include "base/must.h"

#include <utf8proc.h>

#include <stdbool.h>
#include <string.h>

enum {
    PLANE = 0x10000,
    MANY = 0xFF, // of an entry's kind: asked for each time
    GAP = 0x10   // a kind with this bit is a gap
};

struct entry {
    uint16_t code, shape;
    uint8_t kind; // a fold_class, GAP | a disguise_gap, or MANY
};

struct disguise {
    const struct fold *fold;
    struct entry entries[PLANE];
};

struct look {
    int32_t from, to;
};

static const struct look looks[] = {
#define LOOKS(from, to) {from, to},
#include "text/disguise.def"
#undef LOOKS
};

static bool is_between(int32_t code, int32_t first, int32_t last)
{
    return code >= first && code <= last;
}

/* Letters in boxes, circles and flags, which Unicode takes for pictures. */
static int32_t boxed(int32_t code)
{
    if (is_between(code, 0x1F150, 0x1F169)) return 'a' + code - 0x1F150;
    if (is_between(code, 0x1F170, 0x1F189)) return 'a' + code - 0x1F170;
    if (is_between(code, 0x1F1E6, 0x1F1FF)) return 'a' + code - 0x1F1E6;
    return code;
}

/* `code` where it is in no table. */
static int32_t look(int32_t code)
{
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++)
        if (looks[i].from == code) return looks[i].to;
    return code;
}

static bool is_mark(int32_t code)
{
    return is_between(code, 0x1AB0, 0x1AFF) || is_between(code, 0x1DC0, 0x1DFF) ||
           is_between(code, 0x20D0, 0x20FF) || is_between(code, 0xFE00, 0xFE0F) ||
           is_between(code, 0xFE20, 0xFE2F);
}

static enum disguise_gap judge_sign(int32_t code)
{
    // `code` is folded, so that the full-width forms are these, too.
    if (code < 0x80 && code > 0x20 && strchr("*#%&\\", (char)code)) return DISGUISE_WEAK;
    if (code < 0x80 && code > 0x20 && strchr("|<>", (char)code)) return DISGUISE_STRONG;
    if (code == '.') return DISGUISE_DOT;
    if (code == 0xB7 || code == 0x2022 || code == 0x2027 || code == 0x30FB) return DISGUISE_WEAK;
    if (code == 0x2014 || code == 0x2015) return DISGUISE_STRONG;
    switch (utf8proc_category(code)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF: return DISGUISE_HIDDEN;
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_SK:
    case UTF8PROC_CATEGORY_SM:
    case UTF8PROC_CATEGORY_SO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CO: return DISGUISE_WEAK;
    default: return DISGUISE_STRONG;
    }
}

static enum disguise_gap judge_gap(int32_t code, int32_t folded)
{
    bool ends_line =
        is_between(code, '\n', '\r') || code == 0x85 || code == 0x2028 || code == 0x2029;
    if (ends_line) return DISGUISE_STRONG;
    if (utf8_is_space(code)) return DISGUISE_SPACE;
    return judge_sign(folded);
}

/* The mapping itself, without the table. */
static size_t read_slowly(const struct disguise *disguise, int32_t code,
                          struct disguise_symbol out[FOLD_MAX], enum disguise_gap *gap)
{
    int32_t folded[FOLD_MAX];
    size_t count = 0;
    *gap = DISGUISE_HIDDEN;
    if (is_mark(code)) return 0;
    size_t folds = fold_character(disguise->fold, boxed(code), folded);
    int32_t direct = look(code);
    for (size_t i = 0; i < folds; i++) {
        enum fold_class class = fold_class_of(disguise->fold, folded[i]);
        int32_t shape = direct != code && folds == 1 ? direct : look(folded[i]);
        if (class == FOLD_APART && shape == folded[i]) {
            *gap = judge_gap(code, folded[i]);
            continue; // 1⁄2: the signs inside of a character
        }
        out[count++] = (struct disguise_symbol){.code = folded[i], .shape = shape, .class = class};
    }
    return count;
}

struct disguise *disguise_new(const struct fold *fold)
{
    struct disguise *disguise = mem_new(1, sizeof *disguise);
    disguise->fold = fold;
    for (int32_t code = 0; code < PLANE; code++) {
        struct disguise_symbol symbols[FOLD_MAX];
        enum disguise_gap gap = DISGUISE_HIDDEN;
        struct entry *entry = &disguise->entries[code];
        size_t count =
            is_between(code, 0xD800, 0xDFFF) ? 0 : read_slowly(disguise, code, symbols, &gap);
        bool fits = count == 1 && symbols[0].code < PLANE && symbols[0].shape < PLANE;
        entry->kind = MANY;
        if (count == 0) entry->kind = (uint8_t)(GAP | gap);
        if (fits)
            *entry = (struct entry){.code = (uint16_t)symbols[0].code,
                                    .shape = (uint16_t)symbols[0].shape,
                                    .kind = (uint8_t)symbols[0].class};
    }
    return disguise;
}

void disguise_free(struct disguise *disguise)
{
    mem_free(disguise);
}

size_t disguise_read(const struct disguise *disguise, int32_t code,
                     struct disguise_symbol out[FOLD_MAX], enum disguise_gap *gap)
{
    must(code >= 0);
    const struct entry *entry = code < PLANE ? &disguise->entries[code] : NULL;
    if (!entry || entry->kind == MANY) return read_slowly(disguise, code, out, gap);
    if (entry->kind & GAP) {
        *gap = (enum disguise_gap)(entry->kind & ~GAP);
        return 0;
    }
    *out = (struct disguise_symbol){
        .code = entry->code, .shape = entry->shape, .class = (enum fold_class)entry->kind};
    return 1;
}

static bool is_latin(int32_t code)
{
    return code >= 'a' && code <= 'z';
}

enum disguise_likeness disguise_judge(const struct disguise_symbol *seen,
                                      const struct disguise_symbol *meant)
{
    if (seen->code == meant->code) return DISGUISE_SAME;
    if (meant->class == FOLD_DIGIT || meant->class == FOLD_APART) return DISGUISE_OTHER;
    if (is_latin(seen->code) && is_latin(meant->code)) return DISGUISE_OTHER; // i and l
    if (seen->class == FOLD_LETTER && is_latin(meant->code)) return DISGUISE_SCRIPT;
    return DISGUISE_HINT;
}

#include "text/fold.h"

#include "text/utf8.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"

#include <utf8proc.h>

#include <opencc/opencc.h>
#include <stdbool.h>
#include <string.h>

enum {
    PLANE = 0x10000,
    HAN_FIRST = 0x3400,
    HAN_LAST = 0x9FFF,
    VARIANT_COUNT = HAN_LAST - HAN_FIRST + 1
};

/* An entry: a character and its class, or one of these two. */
#define ENTRY(code, class) ((uint32_t)(code) | (uint32_t)(class) << 24)
#define ENTRY_CODE(entry)  ((int32_t)((entry)&0xFFFFFF))
#define ENTRY_CLASS(entry) ((enum fold_class)((entry) >> 24))
#define GONE               UINT32_C(0xFFFFFFFE)
#define MANY               UINT32_C(0xFFFFFFFF)

struct fold {
    uint32_t entries[PLANE];
    uint16_t variants[VARIANT_COUNT]; // from HAN_FIRST on
};

static bool is_between(int32_t code, int32_t first, int32_t last)
{
    return code >= first && code <= last;
}

static bool is_hangul(int32_t code)
{
    return is_between(code, 0xAC00, 0xD7A3);
}

static bool is_kana(int32_t code)
{
    return is_between(code, 0x3041, 0x30FF) && code != 0x30FB; // the middle dot parts
}

static bool is_ideograph(int32_t code)
{
    return is_between(code, HAN_FIRST, HAN_LAST) || is_between(code, 0x20000, 0x3FFFF) ||
           is_between(code, 0xF900, 0xFAFF) || code == 0x3005 || code == 0x3007 || is_kana(code) ||
           is_hangul(code) || is_between(code, 0x0E00, 0x0EFF) ||
           is_between(code, 0x1000, 0x109F) || is_between(code, 0x1780, 0x17FF);
}

static enum fold_class judge(int32_t code)
{
    utf8proc_category_t category = utf8proc_category(code);
    if (category < UTF8PROC_CATEGORY_LU || category > UTF8PROC_CATEGORY_NO) return FOLD_APART;
    if (is_ideograph(code)) return FOLD_IDEOGRAPH;
    return category >= UTF8PROC_CATEGORY_ND ? FOLD_DIGIT : FOLD_LETTER;
}

/* The mapping itself, without the table. */
static size_t map(const struct fold *fold, int32_t code, int32_t out[FOLD_MAX])
{
    int boundclass = UTF8PROC_BOUNDCLASS_START;
    size_t count = 0;
    out[0] = code;
    utf8proc_ssize_t mapped = 1;
    if (!is_hangul(code) && !is_kana(code)) // their parts would be taken apart
        mapped = utf8proc_decompose_char(code, out, FOLD_MAX,
                                         UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD |
                                             UTF8PROC_IGNORE,
                                         &boundclass);
    must(mapped >= 0 && mapped <= FOLD_MAX);
    for (utf8proc_ssize_t i = 0; i < mapped; i++) {
        if (is_between(out[i], 0x0300, 0x036F)) continue;
        bool is_han = is_between(out[i], HAN_FIRST, HAN_LAST);
        out[count++] = is_han ? fold->variants[out[i] - HAN_FIRST] : out[i];
    }
    return count;
}

/* Every Han character on a line of its own, so that no phrase is seen, through OpenCC. */
static enum err read_variants(struct fold *fold)
{
    struct buf text = {0};
    opencc_t opencc = opencc_open("t2s.json");
    if ((intptr_t)opencc == -1)
        return err_note(ERR_IO, "OpenCC does not open t2s.json (Debian: libopencc-data): %s",
                        opencc_error());
    for (int32_t code = HAN_FIRST; code <= HAN_LAST; code++) {
        char *room = buf_grow(&text, 4);
        must(utf8_write(room, code) == 3);
        room[3] = '\n';
    }
    char *simple = opencc_convert_utf8(opencc, text.data, text.size);
    size_t left = simple ? strlen(simple) : 0;
    const char *at = simple;
    for (size_t i = 0; i < VARIANT_COUNT; i++) {
        int32_t code = UTF8_INVALID;
        size_t size = left ? utf8_next(at, left, &code) : 0;
        bool is_one = size > 0 && size < left && at[size] == '\n' && code > 0 && code < PLANE;
        fold->variants[i] = (uint16_t)(is_one ? code : (int32_t)i + HAN_FIRST);
        const char *end = left ? memchr(at, '\n', left) : NULL;
        size_t line = end ? (size_t)(end - at) + 1 : left;
        at += line;
        left -= line;
    }
    if (simple) opencc_convert_utf8_free(simple);
    opencc_close(opencc);
    buf_fini(&text);
    return ERR_OK;
}

static uint32_t entry_of(const struct fold *fold, int32_t code)
{
    int32_t out[FOLD_MAX];
    size_t count = map(fold, code, out);
    if (count == 0) return GONE;
    if (count > 1 || out[0] >= PLANE) return MANY;
    return ENTRY(out[0], judge(out[0]));
}

enum err fold_new(struct fold **out)
{
    struct fold *fold = mem_new(1, sizeof *fold);
    enum err err = read_variants(fold);
    if (err) {
        mem_free(fold);
        return err;
    }
    for (int32_t code = 0; code < PLANE; code++) {
        bool is_surrogate = is_between(code, 0xD800, 0xDFFF);
        fold->entries[code] = is_surrogate ? ENTRY(code, FOLD_APART) : entry_of(fold, code);
    }
    *out = fold;
    return ERR_OK;
}

void fold_free(struct fold *fold)
{
    mem_free(fold);
}

size_t fold_character(const struct fold *fold, int32_t code, int32_t out[FOLD_MAX])
{
    must(code >= 0);
    uint32_t entry = code < PLANE ? fold->entries[code] : MANY;
    if (entry == GONE) return 0;
    if (entry == MANY) return map(fold, code, out);
    out[0] = ENTRY_CODE(entry);
    return 1;
}

enum fold_class fold_class_of(const struct fold *fold, int32_t code)
{
    if (code >= PLANE || fold->entries[code] >= GONE) return judge(code);
    // A folded character folds to itself, but for a few whose entry says another: ask for those again.
    return ENTRY_CODE(fold->entries[code]) == code ? ENTRY_CLASS(fold->entries[code]) : judge(code);
}

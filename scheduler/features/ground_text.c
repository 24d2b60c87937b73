#include "scheduler/features/ground_text.h"

#include "text/utf8.h"

#include "base/buf.h"

#include <utf8proc.h>

#include <string.h>

static bool is_han(int32_t code)
{
    return (code >= 0x3400 && code <= 0x9FFF) || (code >= 0xF900 && code <= 0xFAFF) ||
           (code >= 0x20000 && code <= 0x3FFFF);
}

enum ground_language ground_language_of(const char *text, size_t size)
{
    int32_t code;
    for (size_t at = 0; at < size;) {
        at += utf8_next(text + at, size - at, &code);
        if (is_han(code)) return GROUND_CHINESE;
    }
    return GROUND_ENGLISH;
}

const char *ground_language_tag(enum ground_language language)
{
    return language == GROUND_CHINESE ? "zh" : "en";
}

// ---- cleaning ----------------------------------------------------------------------------------

enum fate {
    KEPT,
    SPACE,
    GONE
};

static enum fate fate_of(int32_t code)
{
    if (code < 0) return GONE; // no UTF-8
    if (utf8_is_space(code)) return SPACE;
    switch (utf8proc_category(code)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP: return SPACE;
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN: return GONE;
    default: return KEPT;
    }
}

/* Brackets that begin a control piece of some vocabulary, or the number of an entry. */
static const char *harmless(int32_t code)
{
    switch (code) {
    case '<':
    case 0xFE64:
    case 0xFF1C: return "\xE2\x80\xB9"; // ‹
    case '>':
    case 0xFE65:
    case 0xFF1E: return "\xE2\x80\xBA"; // ›
    case '[':
    case 0x3010: // 【
    case 0xFF3B: return "(";
    case ']':
    case 0x3011:
    case 0xFF3D: return ")";
    default: return NULL;
    }
}

void ground_clean(struct buf *out, const char *text, size_t size, size_t most)
{
    size_t first = out->size;
    bool parted = false;
    for (size_t at = 0; at < size;) {
        int32_t code;
        size_t step = utf8_next(text + at, size - at, &code);
        enum fate fate = fate_of(code);
        const char *piece = text + at;
        const char *other = harmless(code);
        size_t piece_size = other ? strlen(other) : step;
        at += step;
        if (fate == SPACE) parted = true;
        if (fate != KEPT) continue;
        bool spaced = parted && out->size > first;
        if (out->size - first + spaced + piece_size > most) return;
        if (spaced) buf_add_byte(out, ' ');
        buf_add(out, other ? other : piece, piece_size);
        parted = false;
    }
}

size_t ground_cut(const char *text, size_t size, size_t most)
{
    if (size <= most) return size;
    while (most > 0 && ((unsigned char)text[most] & 0xC0) == 0x80)
        most--;
    return most;
}

// ---- citations ---------------------------------------------------------------------------------

static bool opens(int32_t code)
{
    return code == '[' || code == 0x3010 || code == 0xFF3B;
}

static bool closes(int32_t code)
{
    return code == ']' || code == 0x3011 || code == 0xFF3D;
}

static bool parts(int32_t code)
{
    return code == ',' || code == ';' || code == ' ' || code == 0xFF0C || code == 0x3001;
}

/* Behind a bracket: numbers up to the other one. */
static bool lists(const char *text, size_t size, uint32_t number)
{
    uint64_t value = 0;
    bool found = false, counts = false;
    for (size_t at = 0; at < size;) {
        int32_t code;
        at += utf8_next(text + at, size - at, &code);
        if (code >= '0' && code <= '9') {
            value = value > UINT32_MAX ? value : value * 10 + (uint64_t)(code - '0');
            counts = true;
            continue;
        }
        found |= counts && value == number;
        value = 0;
        counts = false;
        if (closes(code)) return found;
        if (!parts(code)) return false;
    }
    return false;
}

bool ground_cites(const char *text, size_t size, uint32_t number)
{
    for (size_t at = 0; at < size;) {
        int32_t code;
        at += utf8_next(text + at, size - at, &code);
        if (opens(code) && lists(text + at, size - at, number)) return true;
    }
    return false;
}

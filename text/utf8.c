#include "text/utf8.h"

#include "base/buf.h"
#include "base/must.h"

#include <string.h>

enum {
    CODE_MAX = 0x10FFFF
};

/* What may follow a lead byte (Unicode standard, table 3-7): how many bytes, and the range of the
 * first of them; the others are always 80..BF. */
struct lead {
    uint8_t tail, low, high;
};

static struct lead lead_of(uint8_t byte)
{
    if (byte >= 0xC2 && byte <= 0xDF) return (struct lead){1, 0x80, 0xBF};
    if (byte == 0xE0) return (struct lead){2, 0xA0, 0xBF};
    if (byte == 0xED) return (struct lead){2, 0x80, 0x9F};
    if (byte >= 0xE1 && byte <= 0xEF) return (struct lead){2, 0x80, 0xBF};
    if (byte == 0xF0) return (struct lead){3, 0x90, 0xBF};
    if (byte >= 0xF1 && byte <= 0xF3) return (struct lead){3, 0x80, 0xBF};
    if (byte == 0xF4) return (struct lead){3, 0x80, 0x8F};
    return (struct lead){0, 1, 0};
}

size_t utf8_next(const char *text, size_t size, int32_t *code)
{
    must(size > 0);
    uint8_t first = (uint8_t)text[0];
    if (first < 0x80) {
        *code = first;
        return 1;
    }
    struct lead lead = lead_of(first);
    if (lead.tail == 0) {
        *code = UTF8_INVALID;
        return 1;
    }
    int32_t value = first & (0x3F >> lead.tail);
    for (size_t i = 1; i <= lead.tail; i++) {
        if (i == size) {
            *code = UTF8_INCOMPLETE;
            return size;
        }
        uint8_t byte = (uint8_t)text[i];
        bool fits = i == 1 ? byte >= lead.low && byte <= lead.high : (byte & 0xC0) == 0x80;
        if (!fits) {
            *code = UTF8_INVALID;
            return i;
        }
        value = value << 6 | (byte & 0x3F);
    }
    *code = value;
    return lead.tail + 1u;
}

size_t utf8_valid_size(const char *text, size_t size)
{
    size_t at = 0;
    while (at < size) {
        uint64_t eight;
        if (size - at >= 8) {
            memcpy(&eight, text + at, 8);
            if ((eight & UINT64_C(0x8080808080808080)) == 0) {
                at += 8;
                continue;
            }
        }
        int32_t code;
        size_t step = utf8_next(text + at, size - at, &code);
        if (code < 0) return at;
        at += step;
    }
    return size;
}

bool utf8_valid(const char *text, size_t size)
{
    return utf8_valid_size(text, size) == size;
}

size_t utf8_write(char out[UTF8_CHARACTER_MAX], int32_t code)
{
    must(code >= 0 && code <= CODE_MAX && (code < 0xD800 || code > 0xDFFF));
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t tail = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    out[0] = (char)(0x1F80 >> tail | code >> (6 * tail));
    for (size_t i = 1; i <= tail; i++)
        out[i] = (char)(0x80 | (code >> (6 * (tail - i)) & 0x3F));
    return tail + 1;
}

bool utf8_is_space(int32_t code)
{
    if (code <= 0x20) return code == ' ' || (code >= '\t' && code <= '\r');
    if (code < 0x85) return false;
    return code == 0x85 || code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) ||
           code == 0x2028 || code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

void utf8_repair(struct buf *out, const char *text, size_t size)
{
    while (size > 0) {
        size_t whole = utf8_valid_size(text, size);
        buf_add(out, text, whole);
        text += whole;
        size -= whole;
        if (size == 0) return;
        int32_t code;
        size_t step = utf8_next(text, size, &code);
        buf_add_text(out, UTF8_REPLACEMENT);
        text += step;
        size -= step;
    }
}

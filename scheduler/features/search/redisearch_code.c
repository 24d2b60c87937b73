#include "scheduler/features/search/redisearch_code.h"

#include "scheduler/features/filter_term.h"

#include "base/buf.h"
#include "base/digest.h"

#include <string.h>

static bool is_plain(unsigned char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9');
}

static void add_byte(struct buf *out, unsigned char byte)
{
    static const char digits[] = "0123456789abcdef";
    if (is_plain(byte)) {
        buf_add_byte(out, byte);
        return;
    }
    const char code[] = {'_', digits[byte >> 4], digits[byte & 15]};
    buf_add(out, code, sizeof code);
}

void code_bytes(struct buf *out, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        add_byte(out, (unsigned char)bytes[i]);
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool code_read(struct buf *out, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] != '_') {
            buf_add_byte(out, (unsigned char)text[i]);
            continue;
        }
        if (size - i < 3 || digit_of(text[i + 1]) < 0 || digit_of(text[i + 2]) < 0) return false;
        buf_add_byte(out, (unsigned char)(16 * digit_of(text[i + 1]) + digit_of(text[i + 2])));
        i += 2;
    }
    return true;
}

void code_folded(struct buf *out, const char *text)
{
    struct buf folded = {0};
    while (*text) {
        int32_t code = filter_next_folded(&text);
        if (code < 0x80)
            add_byte(&folded, (unsigned char)code);
        else
            buf_addf(&folded, "_u%06x", (unsigned)code);
    }
    if (folded.size > CODE_FOLDED_MAX) {
        char digest[DIGEST_TEXT_SIZE];
        struct digest whole = digest_of(folded.data, folded.size);
        buf_addf(out, "_h%s", digest_text(&whole, digest));
    } else {
        buf_add(out, buf_text(&folded), folded.size);
    }
    buf_fini(&folded);
}

uint64_t code_order(double number)
{
    uint64_t bits, sign = UINT64_C(1) << 63;
    number += 0.0; // no -0
    memcpy(&bits, &number, sizeof bits);
    return bits & sign ? ~bits : bits | sign;
}

#include "text/redact_internal.h"
#include "text/utf8.h"

#include "base/buf.h"
#include "base/mem.h"

#include <string.h>

enum {
    LOCAL_MAX = 64, // characters of a mailbox before its '@' (RFC 5321)
    DOMAIN_MAX = 255
};

/* A text while it is looked through. */
struct scan {
    struct redact_text text;
    int32_t *codes;
    uint32_t *offsets; // [count + 1] of the characters' bytes
    struct redact_span *spans;
    size_t span_count, span_capacity;
    uint32_t kinds;
};

static const char *const names[REDACT_KINDS] = {[REDACT_PHONE] = "PHONE",
                                                [REDACT_IDENTITY] = "ID",
                                                [REDACT_CARD] = "CARD",
                                                [REDACT_EMAIL] = "EMAIL",
                                                [REDACT_ADDRESS] = "ADDRESS"};

const char *redact_name(enum redact_kind kind)
{
    return names[kind];
}

/* U+FF01 to U+FF5E are the wide forms of '!' to '~', U+3000 that of a space; a few dashes stand for hyphens. */
static int32_t plain(int32_t code)
{
    if (code >= 0xFF01 && code <= 0xFF5E) return code - 0xFF01 + '!';
    if (code == 0x3000 || code == 0xA0) return ' ';
    if (code == 0x2010 || code == 0x2011 || code == 0x2013 || code == 0x2212) return '-';
    return code < 0 ? UINT16_MAX : code; // a mistake is a character that is none of ours
}

static void read_text(struct scan *scan, const char *text, size_t size)
{
    size_t count = 0;
    scan->codes = mem_new(size + 1, sizeof *scan->codes);
    scan->offsets = mem_new(size + 1, sizeof *scan->offsets);
    for (size_t at = 0; at < size; count++) {
        int32_t code;
        scan->offsets[count] = (uint32_t)at;
        at += utf8_next(text + at, size - at, &code);
        scan->codes[count] = plain(code);
    }
    scan->offsets[count] = (uint32_t)size;
    scan->text = (struct redact_text){scan->codes, count};
}

static void add_span(struct scan *scan, const struct redact_span *span)
{
    if (scan->span_count == scan->span_capacity) {
        scan->span_capacity = scan->span_capacity ? 2 * scan->span_capacity : 8;
        scan->spans = mem_resize(scan->spans, scan->span_capacity, sizeof *scan->spans);
    }
    scan->spans[scan->span_count++] = *span;
}

// ---- mailboxes ---------------------------------------------------------------------------------

static bool is_local(int32_t code)
{
    return redact_is_letter(code) || redact_is_digit(code) || code == '.' || code == '_' ||
           code == '%' || code == '+' || code == '-';
}

static bool is_label(int32_t code)
{
    return redact_is_letter(code) || redact_is_digit(code) || code == '-';
}

/* Where the domain that begins at `at` ends; `at` itself when it has no dot before a name of two letters or more. */
static size_t domain_end(const struct redact_text *text, size_t at)
{
    size_t end = at, label = at;
    for (size_t i = at; i <= text->count && i - at <= DOMAIN_MAX; i++) {
        int32_t code = redact_at(text, i);
        if (is_label(code)) continue;
        if (i == label) break;
        if (label > at && i - label >= 2 && redact_is_letter(redact_at(text, label))) end = i;
        if (code != '.') break;
        label = i + 1;
    }
    return end;
}

/* A mailbox that begins at `at`, where the character before is none of a name's. */
static bool find_mailbox(const struct redact_text *text, size_t at, struct redact_span *out)
{
    size_t i = at;
    while (i - at <= LOCAL_MAX && is_local(redact_at(text, i)))
        i++;
    if (i == at || redact_at(text, i) != '@') return false;
    size_t end = domain_end(text, i + 1);
    *out = (struct redact_span){at, end, REDACT_EMAIL};
    return end > i + 1;
}

// ---- the text ----------------------------------------------------------------------------------

static bool wants(const struct scan *scan, enum redact_kind kind)
{
    return scan->kinds & (1u << kind);
}

/* What begins at `at`, or, of an address, stands around it. */
static bool find(const struct scan *scan, size_t at, size_t least, struct redact_span *out)
{
    const struct redact_text *text = &scan->text;
    int32_t code = redact_at(text, at), before = at > least ? redact_at(text, at - 1) : 0;
    if (wants(scan, REDACT_EMAIL) && is_local(code) && !is_local(before) &&
        find_mailbox(text, at, out))
        return true;
    if (wants(scan, REDACT_ADDRESS) && redact_place(text, at, least, out)) return true;
    bool begins = redact_is_digit(code) ? !redact_is_digit(before) : code == '+' || code == '(';
    return begins && redact_number(text, at, scan->kinds, out);
}

static void find_all(struct scan *scan)
{
    size_t least = 0;
    for (size_t at = 0; at < scan->text.count;) {
        struct redact_span span;
        if (!find(scan, at, least, &span)) {
            at++;
            continue;
        }
        add_span(scan, &span);
        at = least = span.end;
    }
}

static void write_text(const struct scan *scan, const char *text, struct buf *out)
{
    size_t from = 0;
    for (size_t i = 0; i < scan->span_count; i++) {
        const struct redact_span *span = &scan->spans[i];
        buf_add(out, text + from, scan->offsets[span->begin] - from);
        buf_addf(out, "[%s]", names[span->kind]);
        from = scan->offsets[span->end];
    }
    buf_add(out, text + from, scan->offsets[scan->text.count] - from);
}

size_t redact_text(uint32_t kinds, const char *text, size_t size, struct buf *out,
                   uint32_t counts[REDACT_KINDS])
{
    struct scan scan = {.kinds = kinds};
    if (counts)
        for (size_t i = 0; i < REDACT_KINDS; i++)
            counts[i] = 0;
    if (kinds == 0 || size == 0 || size > UINT32_MAX) return 0;
    read_text(&scan, text, size);
    find_all(&scan);
    for (size_t i = 0; counts && i < scan.span_count; i++)
        counts[scan.spans[i].kind]++;
    if (scan.span_count > 0) write_text(&scan, text, out);
    explicit_bzero(scan.codes, (size + 1) * sizeof *scan.codes);
    mem_free(scan.codes);
    mem_free(scan.offsets);
    mem_free(scan.spans);
    return scan.span_count;
}

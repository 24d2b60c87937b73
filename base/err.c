#include "base/err.h"

#include "base/must.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RETRY_N = ERR_RETRY_NEVER,
    RETRY_S = ERR_RETRY_SAME,
    RETRY_O = ERR_RETRY_OTHER
};

struct err_row {
    const char *name;
    const char *code;
    const char *phrase;
    int http;
    int retry;
};

static const struct err_row rows[ERR_COUNT] = {
#define ERR(name, http, code, retry, phrase) \
    [ERR_##name] = {#name, code, phrase, http, RETRY_##retry},
#include "base/err.def"
#undef ERR
};

static _Thread_local char note[ERR_NOTE_MAX];

void must_fail(const char *condition, const char *file, int line)
{
    fprintf(stderr, "qiao: broken promise: %s (%s:%d)\n", condition, file, line);
    abort();
}

/* Cut an over-long note before the character that does not fit whole. */
static void trim_partial_character(void)
{
    size_t end = strlen(note);
    size_t start = end;
    while (start > 0 && ((unsigned char)note[start - 1] & 0xC0) == 0x80)
        start--;
    if (start == 0) return;
    unsigned char lead = (unsigned char)note[start - 1];
    size_t want = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (end - (start - 1) < want) note[start - 1] = '\0';
}

enum err(err_note)(enum err code, const char *format, ...)
{
    char text[ERR_NOTE_MAX]; // the arguments may point into the old note
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    memcpy(note, text, sizeof note);
    if (length >= (int)sizeof note) trim_partial_character();
    return code;
}

const char *err_text(void)
{
    return note;
}

static const struct err_row *row_of(enum err code)
{
    return (unsigned)code < ERR_COUNT ? &rows[code] : &rows[ERR_INTERNAL];
}

const char *err_name(enum err code)
{
    return row_of(code)->name;
}

const char *err_api_code(enum err code)
{
    return row_of(code)->code;
}

const char *err_phrase(enum err code)
{
    return row_of(code)->phrase;
}

int err_http_status(enum err code)
{
    return row_of(code)->http;
}

enum err_retry err_retry_class(enum err code)
{
    return (enum err_retry)row_of(code)->retry;
}

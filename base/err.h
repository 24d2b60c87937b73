/* base/err.h -- how a function says that it failed.
 *
 * A fallible function returns `enum err` and nothing else; what it makes comes back through an out
 * parameter, which is untouched unless the function returns ERR_OK. The code says what a caller can
 * do about it; the note says what a person should know, and lives in this thread until the next
 * failure. A failure that crosses a thread or a wire carries its note in the message. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

enum err {
#define ERR(name, http, code, retry, phrase) ERR_##name,
#include "base/err.def"
#undef ERR
    ERR_COUNT
};

enum {
    ERR_NOTE_MAX = 512
};

/* Who may try again after a failure. */
enum err_retry {
    ERR_RETRY_NEVER,
    ERR_RETRY_SAME,
    ERR_RETRY_OTHER
};

/* Remember a note for this thread and return `code`: `return err_note(ERR_FORMAT, "...", ...)`.
 * The note is cut at ERR_NOTE_MAX - 1 bytes, never inside a UTF-8 character. */
enum err err_note(enum err code, const char *format, ...)
    __attribute__((format(printf, 2, 3), cold));

/* The same, so that a compiler sees that what comes back is `code` (a caller of TRY() then knows
 * that an out parameter was set). `code` is read twice: no side effects. */
#define err_note(code, ...) err_code_of_((err_note)((code), __VA_ARGS__), (code))

static inline enum err err_code_of_(enum err noted, enum err code)
{
    (void)noted;
    return code;
}

/* The note of the latest failure in this thread; borrowed, valid until the next err_note(). */
const char *err_text(void);

/* The enum's own name ("TOO_LONG"), the API's code string, the phrase and the HTTP status. An
 * unknown number (from a wire) is answered as ERR_INTERNAL. */
const char *err_name(enum err code);
const char *err_api_code(enum err code);
const char *err_phrase(enum err code);
int err_http_status(enum err code);
enum err_retry err_retry_class(enum err code);

/* Pass a failure to the caller. Only for functions that hold nothing to give back. */
#define TRY(call)                                \
    do {                                         \
        enum err try_err_ = (call);              \
        if (try_err_ != ERR_OK) return try_err_; \
    } while (0)

#endif

/* text/redact_internal.h -- what the parts of redact.h share; nobody else includes it.
 *
 *      redact.c            the text as characters, the spans that are found, what is written instead
 *          |
 *      redact_number.c     what a run of digits is      redact_place.c     what is around a house's number
 *
 * A text is an array of characters whose wide forms are made plain. Thread: any. */
#ifndef TEXT_REDACT_INTERNAL_H
#define TEXT_REDACT_INTERNAL_H

#include "text/redact.h"

struct redact_text {
    const int32_t *codes; // [count]
    size_t count;
};

struct redact_span {
    size_t begin, end; // characters
    enum redact_kind kind;
};

/* The character, 0 outside of the text. */
static inline int32_t redact_at(const struct redact_text *text, size_t at)
{
    return at < text->count ? text->codes[at] : 0;
}

static inline bool redact_is_digit(int32_t code)
{
    return code >= '0' && code <= '9';
}

static inline bool redact_is_letter(int32_t code)
{
    return (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z');
}

/* A phone's, card's or identity's number that begins at `at` with a digit, '+' or '('; false: none of `kinds` does. */
bool redact_number(const struct redact_text *text, size_t at, uint32_t kinds,
                   struct redact_span *out);
/* An address around the character `at`, whose beginning is not before `least`. */
bool redact_place(const struct redact_text *text, size_t at, size_t least, struct redact_span *out);

#endif

/* text/utf8.h -- UTF-8 (RFC 3629) read from strangers: validation, iteration, repair.
 *
 * Invalid bytes are grouped as the Unicode standard advises (chapter 3, "substitution of maximal
 * subparts"): each longest run of bytes that could have begun a character counts as one mistake.
 * Thread: any. */
#ifndef TEXT_UTF8_H
#define TEXT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum {
    UTF8_INVALID = -1,    // no character: a mistake
    UTF8_INCOMPLETE = -2, // the text ends inside of a character that may still become whole
    UTF8_CHARACTER_MAX = 4
};

#define UTF8_REPLACEMENT "\xEF\xBF\xBD" // U+FFFD

/* Whether all of it is valid UTF-8: no overlong form, no surrogate, nothing above U+10FFFF, nothing
 * cut off. */
bool utf8_valid(const char *text, size_t size);
/* The offset of the first byte that is not valid; `size` when all is. */
size_t utf8_valid_size(const char *text, size_t size);

/* The character at the start of `text` (size > 0) into `code`, or UTF8_INVALID or UTF8_INCOMPLETE;
 * returns how many bytes it (or the mistake) takes, at least 1. */
size_t utf8_next(const char *text, size_t size, int32_t *code);
/* Bytes of `code` into `out`; the count. `code` is a scalar value (ours to promise). */
size_t utf8_write(char out[UTF8_CHARACTER_MAX], int32_t code);

/* The White_Space property: what \s means to every tokenizer here, and what templates trim. */
bool utf8_is_space(int32_t code);

/* Append `text` with every mistake, a cut-off end included, replaced by U+FFFD. */
void utf8_repair(struct buf *out, const char *text, size_t size);

#endif

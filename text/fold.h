/* text/fold.h -- characters made alike, so that a query finds what was written otherwise.
 *
 *      width       Ａ -> a, ｶ -> カ, ㎏ -> kg        (Unicode's compatibility mappings, through utf8proc)
 *      case        A -> a, ß -> ss
 *      marks       é -> e                           (U+0300 to U+036F; the voice marks of kana stay)
 *      variants    機 -> 机, 爲 -> 为                 (OpenCC's table of traditional characters)
 *
 * Variants are folded character by character, in documents as in queries: what OpenCC's phrases decide by context
 * (乾坤 is not 干坤) is decided nowhere, so that both still meet, and every term keeps its place in the source. Characters
 * beyond U+FFFF have no variants here.
 *
 * A table of the first 65,536 characters is made once (some 50 ms) and never changes. Thread: any. */
#ifndef TEXT_FOLD_H
#define TEXT_FOLD_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct fold;

enum {
    FOLD_MAX = 18 // characters that one can become: Unicode's longest mapping
};

enum fold_class {
    FOLD_APART,     // spaces, punctuation, symbols: between terms
    FOLD_LETTER,    // of scripts that part their words
    FOLD_DIGIT,     // any number
    FOLD_IDEOGRAPH, // of scripts that do not: Han, kana, Hangul, Thai, Lao, Khmer, Myanmar
};

/* ERR_IO: OpenCC's tables (t2s.json) are not there. */
enum err fold_new(struct fold **out);
void fold_free(struct fold *fold);

/* What `code`, a scalar value, becomes: the count of characters in `out`, 0 for a mark that falls away. */
size_t fold_character(const struct fold *fold, int32_t code, int32_t out[FOLD_MAX]);
/* Of a folded character. */
enum fold_class fold_class_of(const struct fold *fold, int32_t code);

#endif

/* tests/support/synthetic.h -- terms that no one uses, drawn from a seed, and what a hand makes of them to get them past a filter. */
#ifndef TESTS_SUPPORT_SYNTHETIC_H
#define TESTS_SUPPORT_SYNTHETIC_H

#include "text/fold.h"

#include "base/rand.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum synthetic_variant {
    SYNTHETIC_PLAIN,
    SYNTHETIC_CAPITALS,
    SYNTHETIC_WIDE,        // full-width forms
    SYNTHETIC_MATH,        // letters of formulas, beyond U+FFFF
    SYNTHETIC_TRADITIONAL, // Han variants
    SYNTHETIC_CYRILLIC,    // look-alikes of another script, as many as there are
    SYNTHETIC_DIGITS,      // digits for letters, up to half of them
    SYNTHETIC_JOINERS,     // zero-width characters within
    SYNTHETIC_MARKS,       // a mark above each letter
    SYNTHETIC_STARS,       // a sign in one place
    SYNTHETIC_SPACED,      // a space between all
    SYNTHETIC_DOTTED,      // sentence marks between all, of three symbols and more
    SYNTHETIC_VARIANTS
};

/* Characters that Han terms are drawn from. */
struct synthetic_han {
    int32_t codes[8192];
    size_t count;
};

/* Every character of the first plane that is folded to itself. */
void synthetic_all_han(struct synthetic_han *han, const struct fold *fold);
/* Two to five of them, or four to nine letters, in lower case. */
void synthetic_term(struct buf *out, struct rand *rand, const struct synthetic_han *han);
/* A bundle's file (base/terms.h) with so many different terms, in the categories `veiled` (masked) and `barred` (blocked). */
void synthetic_bundle(struct buf *out, size_t count, uint64_t seed,
                      const struct synthetic_han *han);
/* The term as somebody writes it; false: it cannot be written so. */
bool synthetic_write(struct buf *out, enum synthetic_variant variant, const char *term,
                     struct rand *rand, const struct fold *fold);

#endif

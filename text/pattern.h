/* text/pattern.h -- patterns of bounded length, looked for in every place at once.
 *
 *      \d  a digit        \a  a letter        \h  an ideograph        \w  any of them
 *      [abc0-9]           one of these        x, 中                   itself, folded
 *      …?                 it may be missing   …{3}  …{2,5}            so many of it
 *
 * A pattern is a row of positions, at most PATTERN_POSITIONS_MAX when its counts are written out; the first and the last must be there,
 * and at least PATTERN_LEAST of all. There is no alternative and no unbounded count, so that a text that comes piece by piece is held back
 * in bounds; two patterns say `or`. A step is one shift of a word for each pattern (Shift-And with optional positions: Navarro and
 * Raffinot, "Flexible Pattern Matching in Strings", 2002, chapter 4).
 *
 * Thread: any; a pattern is immutable, a run is one word of its owner's. */
#ifndef TEXT_PATTERN_H
#define TEXT_PATTERN_H

#include "text/disguise.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PATTERN_POSITIONS_MAX = 64,
    PATTERN_LEAST = 3,         // symbols
    PATTERN_LITERALS_MAX = 256 // beyond ASCII
};

struct pattern_literal {
    int32_t code;
    uint64_t places; // where it may stand
};

struct pattern {
    uint64_t ascii[128]; // places of each, those of its class among them
    uint64_t classes[4]; // of enum fold_class
    struct pattern_literal literals[PATTERN_LITERALS_MAX]; // by code
    size_t literal_count;
    uint64_t optional; // places that may be missing
    unsigned size;     // places
    unsigned least;    // of symbols
};

/* ERR_INVALID says what is wrong, and where. `text` is UTF-8. */
enum err pattern_read(struct pattern *out, const struct disguise *disguise, const char *text,
                      size_t size);

/* One more symbol: the new run. 0: nothing is under way. */
uint64_t pattern_step(const struct pattern *pattern, uint64_t run,
                      const struct disguise_symbol *symbol);
/* The same, but nothing begins here. */
uint64_t pattern_go_on(const struct pattern *pattern, uint64_t run,
                       const struct disguise_symbol *symbol);

static inline bool pattern_is_whole(const struct pattern *pattern, uint64_t run)
{
    return run >> (pattern->size - 1) & 1;
}

/* At most so many symbols back whatever is under way began. */
static inline unsigned pattern_reach(uint64_t run)
{
    return run ? 64 - (unsigned)__builtin_clzll(run) : 0;
}

#endif

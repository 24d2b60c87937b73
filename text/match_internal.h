/* text/match_internal.h -- what match_build.c makes and match.c walks over; nobody else includes it.
 *
 *      symbols    shapes of the terms, as numbers from 1 on; 0: in no term
 *      states     0 is the root; the children of s are first[s] to first[s + 1], by the symbol that leads to them
 *      terms      by their symbols, so those that end in one state stand side by side
 *
 * Thread: immutable when it is built. */
#ifndef TEXT_MATCH_INTERNAL_H
#define TEXT_MATCH_INTERNAL_H

#include "text/match.h"
#include "text/pattern.h"

#include <stdbool.h>

enum {
    MATCH_PLANE = 0x10000
};

struct match_term {
    uint32_t entry;
    uint32_t symbols; // where they begin in `meant`
    uint8_t size;
    bool left, right; // borders of a word are asked for
    uint64_t gaps;    // bit i: the term itself has one before its symbol i
};

struct match_state {
    uint32_t symbol; // that leads here
    uint32_t first;  // child
    uint32_t fail;   // the longest other state that its symbols end with
    uint32_t next;   // the nearest of those, on the way of `fail`, where terms end; 0: none
    uint32_t term;   // the first that ends here
    uint32_t term_count;
    uint32_t depth;
};

struct match_pattern {
    struct pattern pattern;
    uint32_t entry;
};

struct match {
    const struct disguise *disguise;
    uint16_t low
        [MATCH_PLANE]; // symbols of shapes below the plane; 0: none, or more than fit: `codes` is asked
    int32_t *codes;             // shapes in order: symbol i + 1 is codes[i]
    uint32_t *root;             // [symbols + 1]: children of the root
    struct match_state *states; // [state_count + 1]
    struct match_term *terms;
    struct disguise_symbol *meant;
    struct match_pattern *patterns;
    size_t code_count, state_count, term_count, meant_count, pattern_count;
    size_t longest;
};

uint32_t match_symbol(const struct match *match, int32_t shape);
/* The state behind `state` when `symbol` has come. */
uint32_t match_next(const struct match *match, uint32_t state, uint32_t symbol);

#endif

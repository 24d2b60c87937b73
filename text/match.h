/* text/match.h -- many terms and patterns in one walk over a text, however they are written.
 *
 *      text --text/disguise--> symbols and gaps --automaton over shapes, patterns--> candidates --judged--> hits
 *
 * The automaton is Aho and Corasick's ("Efficient string matching", 1975), over the shapes of symbols: its states in breadth-first order, so
 * that the children of a state stand side by side and a state is known by its number alone. What has the shapes of a term is judged
 * symbol by symbol:
 *
 *      hints         at most half of a term's symbols may be digits, signs or neighbours in shape for others (b4d, 自已; not 101 for lol)
 *      hidden, weak  gaps may stand in any term (b-a-d, 坏*人), spaces and dots between ideographs too, also between digits
 *      other gaps    only where each two symbols of a term of three or more have one (b a d, 一、二、三), or where the term has one itself
 *      words         what begins or ends with a letter or digit begins or ends there with a word, unless it is MATCH_PART
 *
 * A gap of more than MATCH_GAP_MAX signs that are seen ends all that is under way. Patterns (text/pattern.h) compare folded characters, not
 * shapes, pass weak gaps alone, and stand apart from letters and digits beside them.
 *
 * A text may come in pieces of whole characters, parted anywhere: hits and match_safe() after a character depend on nothing but the text
 * until there.
 *
 * Bounds: MATCH_… below. Thread: a match is immutable and any thread's, a run is one owner's. */
#ifndef TEXT_MATCH_H
#define TEXT_MATCH_H

#include "text/disguise.h"

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct match;
struct match_run;

enum {
    MATCH_TERMS_MAX = 1 << 18,
    MATCH_PATTERNS_MAX = 32,
    MATCH_SYMBOLS_MAX = 64, // of a term
    MATCH_SYMBOLS_LEAST = 2,
    MATCH_GAP_MAX = 4
};

enum match_kind {
    MATCH_TERM,   // a word, where it has letters or digits at its ends
    MATCH_PART,   // anywhere
    MATCH_PATTERN // text/pattern.h
};

struct match_entry {
    enum match_kind kind;
    const char *text; // UTF-8; copied
    size_t size;
};

struct match_hit {
    uint32_t entry;
    uint64_t begin, end; // bytes of the text
};

typedef void match_fn(void *owner, const struct match_hit *hit);

/* ERR_INVALID: the note is of the entry whose number is in `*wrong`. `disguise` outlives the match. */
enum err match_new(struct match **out, const struct disguise *disguise,
                   const struct match_entry *entries, size_t count, size_t *wrong);
void match_free(struct match *match);
/* Bytes of the longest entry, folded: more than those are never under way, gaps aside. */
size_t match_longest(const struct match *match);
/* Bytes that it takes. */
size_t match_bytes(const struct match *match);

/* The match outlives its runs. */
struct match_run *match_run_new(const struct match *match);
void match_run_free(struct match_run *run);
/* The text goes on; bytes that are not UTF-8 are strong gaps. */
void match_push(struct match_run *run, const char *text, size_t size, match_fn *hit, void *owner);
/* It ends here. */
void match_end(struct match_run *run, match_fn *hit, void *owner);
/* No hit that is still to come begins before this byte; nor can it take in more of what is before. */
uint64_t match_safe(const struct match_run *run);

#endif

/* scheduler/features/search/query.h -- what a user wrote, as the terms that an index looks for.
 *
 *      wireless "noise cancelling" -cable 智能手机
 *
 *      word              a group: the term itself, and what may stand for it (below)
 *      "…"               a phrase: its terms side by side, in this order
 *      -word, -"…"       documents with it are not wanted
 *      common word       (text/common.h, or whatever `common` has) beside other words it finds nothing, and adds little to the score of
 *                        what they find; alone, or among its like, it is a word
 *      run of ideographs each pair is a group, and so is, with little weight, a dictionary word of three and more characters. One
 *                        ideograph alone: every term that begins with it
 *
 * A word of letters that no document has may stand for others that the index has (words.h), each weighing less than
 * what was written (the first QUERY_GUESSES_MAX of such words: to look for what is like a word takes a while):
 *
 *      the last word     words that begin with it
 *      a misspelled one  English words at an edit distance of 1 from `one_typo` letters on, of 2 from `two_typos` on
 *      pinyin            Chinese words that sound so: `shouji` is 手机, `huaweishouji` 华为 and 手机
 *
 * A word that stands there again weighs a little more. With `all`, pairs across borders are left out, and a word of the
 * dictionary is the phrase of its pairs.
 *
 * Bounds: QUERY_BYTES_MAX bytes, LEXICAL_TERMS_MAX terms; what comes behind them is left out. Thread: one owner. */
#ifndef SCHEDULER_FEATURES_SEARCH_QUERY_H
#define SCHEDULER_FEATURES_SEARCH_QUERY_H

#include "scheduler/features/search/lexical.h"

#include "text/analyze.h"

struct words;

enum {
    QUERY_BYTES_MAX = 2048,
    QUERY_PHRASE_MAX = 32,  // terms of a phrase
    QUERY_STANDINS_MAX = 8, // words that may stand for one
    QUERY_GUESSES_MAX = 16, // words for which others are looked for
    QUERY_ROOM = 48 << 10   // bytes of all terms' texts
};

/* Whether any document has the term. */
typedef bool query_has_fn(void *owner, const struct lexical_term *term);

struct query_options {
    struct analyst *analyst;
    const struct analyze_options *analyze;
    query_has_fn *has; // asked where there are `words`
    void *owner;
    struct words *words;                // NULL: nothing stands for a word
    const struct analyze_stops *common; // NULL: no word is
    bool all;
    bool typos;
    size_t one_typo, two_typos; // letters
};

struct query {
    struct lexical_term terms[LEXICAL_TERMS_MAX];
    size_t count;
    char room[QUERY_ROOM];
    size_t used;
};

/* Fill `query`, whose terms point into itself. */
void query_build(struct query *query, const struct query_options *options, const char *text,
                 size_t size);
/* What was asked is over: nothing of it stays. */
void query_forget(struct query *query);
/* Add a copy of a term, or its weight where it stands already in another group. False: it is not new, or there is no
 * room. For standin.h. */
bool query_add(struct query *query, struct lexical_term term);
/* Whether `term` of a document is one that the query looks for: for highlighting. */
bool query_wants(const struct query *query, const char *term, size_t size);

#endif

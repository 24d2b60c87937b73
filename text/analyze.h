/* text/analyze.h -- the one analyzer: terms out of text, for documents and for queries alike.
 *
 * Characters are folded first (text/fold.h). Then
 *
 *      what stands there        terms
 *      words of letters         the word, or its stem (Porter, of ASCII words of three letters and more)
 *      iPhone15                 `iphone` and beside it `iphone15`, then `15`
 *      runs of ideographs       each pair of neighbours, and the last character alone: 智能手机 gives 智能, 能手, 手机, 机;
 *                               beside the pair where they begin, the dictionary's words of three characters and more
 *                               (ICU's word boundaries)
 *
 * So every character begins a term, and whoever asks for one character asks for the terms that begin with it.
 * The `'s` at the end of a word is dropped. Stop words are read over; they take a position.
 *
 * Terms come in the order of their positions, each with the bytes of the source that it stands for.
 *
 * Bounds: a term holds at most ANALYZE_TERM_MAX bytes (a longer word is cut), the count of terms is at most
 * 3 × the bytes of the text. Bytes that are not UTF-8 stand between terms.
 *
 * Thread: an analyzer is immutable and any thread's; an analyst (ICU's and the stemmer's state) is one
 * thread's, as many as are wanted. */
#ifndef TEXT_ANALYZE_H
#define TEXT_ANALYZE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct analyzer;
struct analyst;
struct analyze_stops;

enum {
    ANALYZE_TERM_MAX = 64,    // bytes
    ANALYZE_STOPS_MAX = 2048, // words
};

enum analyze_kind {
    ANALYZE_WORD,
    ANALYZE_WHOLE,     // of a word of letters and digits, beside its first part
    ANALYZE_PAIR,      // of ideographs
    ANALYZE_CHARACTER, // the last one of a run
    ANALYZE_ENTRY      // of the dictionary, beside its first pair
};

struct analyze_term {
    enum analyze_kind kind;
    const char *text; // as it is indexed; borrowed until the callback returns, as `surface` is
    size_t size;
    const char *surface; // the folded word before it was stemmed
    size_t surface_size;
    size_t begin, end; // bytes of the source
    uint32_t position; // counts from 0 in each text
    bool beside;       // at the position of the term before
    bool is_word;      // a word for people: not a pair that crosses the border of two words
};

struct analyze_options {
    bool stem;                         // English words by Porter
    const struct analyze_stops *stops; // NULL: none
};

/* False: no more terms are wanted. It may analyse another text with the same analyst. */
typedef bool analyze_fn(void *owner, const struct analyze_term *term);

/* ERR_IO: a table of OpenCC's or ICU's is not there; the note says which. */
enum err analyzer_new(struct analyzer **out);
/* After its analysts. */
void analyzer_free(struct analyzer *analyzer);

struct analyst *analyst_new(const struct analyzer *analyzer);
void analyst_free(struct analyst *analyst);

void analyze(struct analyst *analyst, const struct analyze_options *options, const char *text,
             size_t size, analyze_fn *each, void *owner);

/* Words that are folded here, stemmed never. ERR_INVALID: more than ANALYZE_STOPS_MAX. */
enum err analyze_stops_new(struct analyze_stops **out, const struct analyzer *analyzer,
                           const char *const *words, size_t count);
void analyze_stops_free(struct analyze_stops *stops);
/* Whether the folded word (a term's `surface`) is one of them; NULL has none. */
bool analyze_is_stop(const struct analyze_stops *stops, const char *word, size_t size);

#endif

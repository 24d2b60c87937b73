/* text/wordpiece.h -- WordPiece as BERT's uncased models have it: words, then the longest pieces.
 *
 *      text       clean      no control characters, no U+FFFD, no bytes that are not UTF-8
 *        |        part       at white space; a punctuation mark or a CJK character is a word
 *        |        fold       canonical decomposition, no accents (Mn), lower case
 *      words  ->  pieces     from the left, the longest piece that there is
 *
 * The pieces of a GGUF that begin a word have U+2581 before them, which vocab.h reads as a space; those that go on in
 * a word have nothing. A word that is longer than WORDPIECE_WORD_MAX characters, or that pieces cannot
 * make, is the unknown piece. The arithmetic of categories is utf8proc's. Thread: pure functions. */
#ifndef TEXT_WORDPIECE_H
#define TEXT_WORDPIECE_H

#include <stddef.h>

struct token_ids;
struct vocab;

enum {
    WORDPIECE_WORD_MAX = 100 // characters
};

/* Append the ids of `text`. Work is O(n) for any text: words are bounded, and so are pieces. */
void wordpiece_encode(const struct vocab *vocab, const char *text, size_t size,
                      struct token_ids *out);

#endif

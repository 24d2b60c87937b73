/* scheduler/features/search/words.h -- the words of an index as people write them.
 *
 * The terms of the index are stems and pairs of characters; a suggestion, a misspelling and a sound are of whole words.
 * So the words of all documents are counted here, as they were read (folded, not stemmed), and found by their beginning,
 * by their likeness (English) and by their sound (Chinese, text/pinyin.h).
 *
 * A word lies in a hash table, and in two lists that are sorted, by its letters and by its sounds; an English one also among
 * those of its size. What is new waits behind the sorted part until there is much of it or a question comes; a word whose count falls
 * to 0 is passed over.
 *
 * Bounds: WORDS_MAX words; what comes beyond is not kept. Thread: one owner. */
#ifndef SCHEDULER_FEATURES_SEARCH_WORDS_H
#define SCHEDULER_FEATURES_SEARCH_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pinyin;
struct words;

enum {
    WORDS_MAX = 1 << 20,
    WORDS_TEXT_MAX = 64, // bytes of a word
};

struct words_hit {
    const char *text; // borrowed until the next words_add()
    size_t size;
    uint32_t count;    // in the documents
    uint32_t distance; // of words_near()
};

/* `pinyin`: borrowed, NULL: no sounds. */
struct words *words_new(struct pinyin *pinyin);
void words_free(struct words *words);

void words_add(struct words *words, const char *text, size_t size);
/* As often as that. */
void words_add_many(struct words *words, const char *text, size_t size, uint32_t count);
/* The word was added before, or the table was full then. */
void words_remove(struct words *words, const char *text, size_t size);
/* How often it stands in the documents. */
uint32_t words_count(const struct words *words, const char *text, size_t size);

/* At most `max` hits, the most frequent first; how many. Words that begin with `text`. */
size_t words_beginning(struct words *words, const char *text, size_t size, struct words_hit *hits,
                       size_t max);
/* English words (letters alone) at an edit distance of 1 to `distance` (1 or 2) from `text`: an insertion, a deletion, another
 * letter and two that have changed places count 1 each. The nearest first. */
size_t words_near(struct words *words, const char *text, size_t size, uint32_t distance,
                  struct words_hit *hits, size_t max);
/* Chinese words whose pinyin is `text`, or begins with it. */
size_t words_sounding(struct words *words, const char *text, size_t size, bool is_beginning,
                      struct words_hit *hits, size_t max);

#endif

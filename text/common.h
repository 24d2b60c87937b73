/* text/common.h -- words that stand in almost every sentence and say little of what it is about, English and Chinese.
 *
 * A search does not look for documents by them (features/search/query.h). They are the words of the closed classes (articles,
 * pronouns, particles, prepositions, conjunctions, auxiliaries, question words) and English verbs that mean what stands beside them;
 * no noun is among them. They were chosen by their kinds, not by a collection. Thread: any. */
#ifndef TEXT_COMMON_H
#define TEXT_COMMON_H

#include <stdbool.h>
#include <stddef.h>

/* The English ones, as analyze_stops_new() takes them. */
const char *const *common_words(size_t *count);

/* Of two ideographs that stand side by side, as a term has them (folded), both are such words or stand in such words alone:
 * 什么, 是在. */
bool common_pair(const char *text, size_t size);

#endif

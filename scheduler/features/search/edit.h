/* scheduler/features/search/edit.h -- how far two spellings are apart. Thread: any. */
#ifndef SCHEDULER_FEATURES_SEARCH_EDIT_H
#define SCHEDULER_FEATURES_SEARCH_EDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    EDIT_SIZE_MAX = 64 // bytes
};

/* The least count of insertions, deletions, other letters and neighbours that have changed places (each pair touched once) that makes one
 * of the other; `most` + 1 when it is more than `most` (at most 3). Of bytes: for ASCII words of at most EDIT_SIZE_MAX. */
uint32_t edit_distance(const char *a, size_t a_size, const char *b, size_t b_size, uint32_t most);

/* A word's letters as bits: where two words' differ in more than 2 × `most` of them, the distance is more than `most`. */
uint32_t edit_letters(const char *word, size_t size);

#endif

/* scheduler/features/search/numbers.h -- which document is which number, of one index' vectors.
 *
 * Nodes know vectors by numbers alone. A number stands for one document, a document has one number; a record that says otherwise
 * takes the number from whom it stood for. Thread: the loop's. */
#ifndef SCHEDULER_FEATURES_SEARCH_NUMBERS_H
#define SCHEDULER_FEATURES_SEARCH_NUMBERS_H

#include <stddef.h>
#include <stdint.h>

struct numbers;

enum {
    NUMBERS_NONE = UINT32_MAX >> 1
};

struct numbers *numbers_new(void);
void numbers_free(struct numbers *numbers);
void numbers_clear(struct numbers *numbers);

/* The number that the document had before and has no more, or NUMBERS_NONE. `number` is below VECTOR_NUMBERS_MAX. */
uint32_t numbers_put(struct numbers *numbers, const char *id, size_t size, uint32_t number,
                     uint64_t digest);
/* The number that it had, or NUMBERS_NONE. */
uint32_t numbers_drop(struct numbers *numbers, const char *id, size_t size);

size_t numbers_count(const struct numbers *numbers);
/* All numbers are below. */
uint32_t numbers_end(const struct numbers *numbers);
/* Shards are below this; documents of one. */
uint32_t numbers_shards(const struct numbers *numbers);
uint32_t numbers_in_shard(const struct numbers *numbers, uint32_t shard);

/* NUMBERS_NONE: it has none. */
uint32_t numbers_find(const struct numbers *numbers, const char *id, size_t size, uint64_t *digest);
/* Borrowed until the next change; NULL: nobody has the number. */
const char *numbers_id(const struct numbers *numbers, uint32_t number, size_t *size);

#endif

/* scheduler/features/search/vector.h -- a document's vector as it stands in Redis: the record of a collection "vectors:T:N".
 *
 * Integers and floats are little-endian.
 *
 *      offset  bytes  field
 *           0      1  1: the format
 *           1      4  number of the document, unique in the collection's epoch for ever
 *           5      8  digest of the model and of the text that was embedded
 *          13      4  scale, float32
 *          17      2  count of values
 *          19      …  values, int8 each: the vector is scale × values
 *
 * Quantising is symmetric, one scale a vector: scale = the greatest absolute value / 127, values rounded to nearest, ties to
 * even. Thread: any. */
#ifndef SCHEDULER_FEATURES_SEARCH_VECTOR_H
#define SCHEDULER_FEATURES_SEARCH_VECTOR_H

#include "base/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum {
    VECTOR_HEAD_SIZE = 19,
    VECTOR_SIZE_MAX = 16384, // values
    VECTOR_NUMBERS_MAX = 1 << 24
};

struct vector {
    uint32_t number;
    uint64_t digest;
    float scale;
    uint32_t size;
    const int8_t *values; // [size], borrowed
};

/* False: it is no record of this format. */
bool vector_read(struct vector *out, const char *record, size_t size);
void vector_write(struct buf *out, const struct vector *vector);

/* False: a number is not finite. */
bool vector_quantise(const float *numbers, size_t size, int8_t *values, float *scale);
/* Never 0. */
uint64_t vector_digest(const struct digest *model, const struct digest *adapter, const char *text,
                       size_t size);

#endif

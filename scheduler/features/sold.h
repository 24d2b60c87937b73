/* scheduler/features/sold.h -- what of a recommender's rows may be recommended in a region, as a bitmap.
 *
 * Bit i of byte i / 8 is row i: the catalogue has an item of its name (text/rows.h), and it is sold in the region. Making
 * one looks at every row, so the latest SOLD_KEPT are kept, each good until its catalogue changes.
 * Thread: the loop's. */
#ifndef SCHEDULER_FEATURES_SOLD_H
#define SCHEDULER_FEATURES_SOLD_H

#include "base/digest.h"

#include <stddef.h>
#include <stdint.h>

struct catalogue;
struct rows;
struct solds;

enum {
    SOLD_KEPT = 16,
    SOLD_REGION_MAX = 64
};

struct sold {
    const uint8_t *bits; // [size]
    size_t size;
    struct digest digest; // of the bits
};

struct solds *solds_new(void);
void solds_free(struct solds *solds);

/* Borrowed until the next call. `model` tells recommenders apart, whose rows `rows` names and counts; `region` "": anywhere. */
struct sold solds_of(struct solds *solds, struct catalogue *catalogue, const char *region,
                     const struct digest *model, const struct rows *rows, uint32_t row_count);

#endif

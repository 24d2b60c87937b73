/* scheduler/features/sold.h -- which of a recommender's rows may be recommended: sold in the region, and as a filter wants it.
 *
 *      solds_find --> *out now, when it is known        --> else a walk over the rows, a part in each turn of the loop, then done()
 *
 * Bit i of byte i / 8 is row i: the catalogue has an item of its name (text/rows.h), it is sold in the region, and the filter
 * holds for it. The SOLD_KEPT that were asked for last are kept, at most SOLD_BYTES of them; when items change, only these are
 * looked at again. A walk takes SOLD_TURN_NS of each turn at most, whatever the filter is: nobody else waits for it. While a catalogue
 * changes faster than it can be walked, a bitmap may be some moments behind.
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_FEATURES_SOLD_H
#define SCHEDULER_FEATURES_SOLD_H

#include "base/digest.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct catalogue;
struct event_base;
struct filter;
struct rows;
struct sold_ticket;
struct solds;

enum {
    SOLD_KEPT = 64,
    SOLD_BYTES = 64 << 20,
    SOLD_REGION_MAX = 64,
    SOLD_TURN_NS = 2000000
};

/* A bitmap; immutable, and there until its last holder lets go. */
struct sold {
    const uint8_t *bits; // [size]
    size_t size;
    struct digest digest; // of the bits
    size_t holders;
};

struct sold *sold_hold(struct sold *sold);
/* NULL is fine. */
void sold_release(struct sold *sold);

/* Of these rows alone; the caller's to release. */
struct sold *sold_of_rows(const int32_t *rows, size_t count, uint32_t row_count);

struct solds *solds_new(struct event_base *base);
/* Nobody may wait any more. */
void solds_free(struct solds *solds);

struct sold_want {
    const struct catalogue *catalogue;
    const char *region; // "": anywhere
    const struct digest *model;
    const struct rows
        *rows; // of the model: outlives the ticket; NULL: rows are named by their numbers
    uint32_t row_count;
    struct filter *filter; // NULL: all; held where it is needed longer
};

/* The caller's to release. */
typedef void sold_fn(void *argument, struct sold *sold);
/* ERR_OK: *out is there, the caller's to release; or it is NULL, and `done` comes once unless *ticket is dropped.
 * ERR_BUSY: SOLD_KEPT others are being made. */
enum err solds_find(struct solds *solds, const struct sold_want *want, sold_fn *done,
                    void *argument, struct sold **out, struct sold_ticket **ticket);
void sold_drop(struct sold_ticket *ticket);

#endif

/* scheduler/features/bitmap.h -- a set of small numbers, a bit each.
 *
 * Zeroed, it is the empty set of no room. Operations on two are on as many words as `to` has; where `from` has fewer
 * the rest counts as 0. Thread: one owner. */
#ifndef SCHEDULER_FEATURES_BITMAP_H
#define SCHEDULER_FEATURES_BITMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bitmap {
    uint64_t *words; // [count]: number n is bit n % 64 of word n / 64
    size_t count;
};

/* Room for numbers below `end`, at least; what is new is 0. It never shrinks. */
void bitmap_reserve(struct bitmap *bitmap, size_t end);
void bitmap_fini(struct bitmap *bitmap);

static inline bool bitmap_has(const struct bitmap *bitmap, size_t number)
{
    return number / 64 < bitmap->count && (bitmap->words[number / 64] >> (number % 64) & 1);
}

/* The number lies within the room. */
static inline void bitmap_set(struct bitmap *bitmap, size_t number)
{
    bitmap->words[number / 64] |= UINT64_C(1) << (number % 64);
}

/* One beyond the room is not there anyway. */
static inline void bitmap_clear(struct bitmap *bitmap, size_t number)
{
    if (number / 64 < bitmap->count) bitmap->words[number / 64] &= ~(UINT64_C(1) << (number % 64));
}

void bitmap_zero(struct bitmap *bitmap);
void bitmap_copy(struct bitmap *to, const struct bitmap *from);
void bitmap_and(struct bitmap *to, const struct bitmap *from);
void bitmap_or(struct bitmap *to, const struct bitmap *from);
/* All of `to`'s room. */
void bitmap_not(struct bitmap *to);
size_t bitmap_size(const struct bitmap *bitmap);

#endif

/* scheduler/core/slices.h -- a catalogue cut into slices that several nodes rank, and their lists put together again.
 *
 *      rows      0 ............ 64 k ............ 128 k ....... rows        slice i: begin <= row < end
 *      lists     best first     best first        best first   --> the best of all, as one node would have named them
 *
 * A row's score does not depend on the slice that it is in, and each list has the best of its slice: so the best of the lists are
 * the best of all, ties to the lower row. Pure. Thread: any. */
#ifndef SCHEDULER_CORE_SLICES_H
#define SCHEDULER_CORE_SLICES_H

#include <stddef.h>
#include <stdint.h>

enum {
    SLICES_MAX = 16,
    SLICES_ALIGN = 64 // rows: what nodes look at together
};

struct slice {
    uint32_t begin, end; // both 0: all rows
};

/* How many slices: of at most `slice_rows` each (0: any number), but no more than there are nodes. */
size_t slices_count(uint32_t rows, uint64_t slice_rows, size_t nodes);
/* The slice with this index of `count`; some may be a little smaller. */
struct slice slices_at(uint32_t rows, size_t count, size_t index);

struct slices_list {
    const int32_t *rows; // [count] best first
    const float *scores; // [count]
    size_t count;
};

/* The best `most` of at most SLICES_MAX lists; how many there are. */
size_t slices_merge(const struct slices_list *lists, size_t list_count, size_t most, int32_t *rows,
                    float *scores);

#endif

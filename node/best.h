/* node/best.h -- the best rows of a walk, exactly: by score, of equal scores the lower row.
 *
 * A list is a heap with the worst hit at its root while rows are offered, and sorted once it is done. What it holds does
 * not depend on the order of the offers, so lists of parts may be merged by offering their hits to one another.
 * Thread: one owner each. */
#ifndef NODE_BEST_H
#define NODE_BEST_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

struct best_hit {
    float score; // not NaN
    int32_t row;
};

struct best {
    struct best_hit *hits; // [most], the owner's
    uint32_t count;
    uint32_t most; // at least 1
};

void best_offer(struct best *best, struct best_hit hit);
/* Best first. Nothing may be offered afterwards. */
void best_sort(struct best *best);

/* The score that a row must reach to get in. */
static inline float best_floor(const struct best *best)
{
    return best->count == best->most ? best->hits[0].score : -INFINITY;
}

/* Is `row` among `count` rows, ascending? */
static inline int best_is_among(const int32_t *rows, size_t count, int32_t row)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (rows[middle] < row)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && rows[low] == row;
}

#endif

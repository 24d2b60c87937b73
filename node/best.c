#include "node/best.h"

#include <stdbool.h>

static bool better(const struct best_hit *a, const struct best_hit *b)
{
    return a->score > b->score || (a->score == b->score && a->row < b->row);
}

static void swap(struct best_hit *a, struct best_hit *b)
{
    struct best_hit hit = *a;
    *a = *b;
    *b = hit;
}

/* Let the hit at the root sink among the first `count`. */
static void sink(struct best_hit *hits, uint32_t count)
{
    for (uint32_t at = 0;;) {
        uint32_t worst = 2 * at + 1;
        if (worst >= count) return;
        if (worst + 1 < count && better(&hits[worst], &hits[worst + 1])) worst++;
        if (!better(&hits[at], &hits[worst])) return;
        swap(&hits[at], &hits[worst]);
        at = worst;
    }
}

void best_offer(struct best *best, struct best_hit hit)
{
    if (best->count == best->most) {
        if (!better(&hit, &best->hits[0])) return;
        best->hits[0] = hit;
        sink(best->hits, best->count);
        return;
    }
    uint32_t at = best->count++;
    best->hits[at] = hit;
    for (; at > 0 && better(&best->hits[(at - 1) / 2], &best->hits[at]); at = (at - 1) / 2)
        swap(&best->hits[at], &best->hits[(at - 1) / 2]);
}

void best_sort(struct best *best)
{
    for (uint32_t left = best->count; left > 1; left--) {
        swap(&best->hits[0], &best->hits[left - 1]);
        sink(best->hits, left - 1);
    }
}

#include "scheduler/core/slices.h"

#include "base/must.h"

#include <stdbool.h>

size_t slices_count(uint32_t rows, uint64_t slice_rows, size_t nodes)
{
    if (slice_rows == 0 || rows <= slice_rows) return 1;
    uint64_t count = (rows + slice_rows - 1) / slice_rows;
    if (count > nodes) count = nodes;
    if (count > SLICES_MAX) count = SLICES_MAX;
    return count > 1 ? (size_t)count : 1;
}

/* Where the slice with this index begins: at a multiple of SLICES_ALIGN. */
static uint32_t border(uint32_t rows, size_t count, size_t index)
{
    if (index == count) return rows;
    uint64_t place = (uint64_t)rows * index / count;
    return (uint32_t)(place / SLICES_ALIGN * SLICES_ALIGN);
}

struct slice slices_at(uint32_t rows, size_t count, size_t index)
{
    must(count > 0 && index < count);
    if (count == 1) return (struct slice){0, 0};
    return (struct slice){border(rows, count, index), border(rows, count, index + 1)};
}

static bool is_better(const struct slices_list *a, size_t a_at, const struct slices_list *b,
                      size_t b_at)
{
    float ours = a->scores[a_at], theirs = b->scores[b_at];
    return ours > theirs || (ours == theirs && a->rows[a_at] < b->rows[b_at]);
}

size_t slices_merge(const struct slices_list *lists, size_t list_count, size_t most, int32_t *rows,
                    float *scores)
{
    size_t at[SLICES_MAX] = {0}, count = 0;
    must(list_count <= SLICES_MAX);
    while (count < most) {
        size_t best = list_count;
        for (size_t i = 0; i < list_count; i++) {
            if (at[i] == lists[i].count) continue;
            if (best == list_count || is_better(&lists[i], at[i], &lists[best], at[best])) best = i;
        }
        if (best == list_count) break;
        rows[count] = lists[best].rows[at[best]];
        scores[count++] = lists[best].scores[at[best]++];
    }
    return count;
}

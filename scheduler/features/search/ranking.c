#include "scheduler/features/search/ranking.h"

#include "base/mem.h"
#include "base/must.h"

#include <stdlib.h>
#include <string.h>

const char *ranking_part_name(enum ranking_part part)
{
    static const char *const names[RANKING_PARTS] = {
        [RANKING_LEXICAL] = "lexical",
        [RANKING_VECTOR] = "vector",
        [RANKING_RERANK] = "rerank",
        [RANKING_PERSONAL] = "personal",
    };
    must(part < RANKING_PARTS);
    return names[part];
}

static int by_number(const void *left, const void *right)
{
    const struct ranked *a = left, *b = right;
    if (a->number != b->number) return a->number < b->number ? -1 : 1;
    return (a->serial > b->serial) - (a->serial < b->serial);
}

static int by_score(const void *left, const void *right)
{
    const struct ranked *a = left, *b = right;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    return by_number(left, right);
}

/* The sum is always taken in the order of the parts: equal ranks give equal scores, to the bit. */
static void join(struct ranked *one, const struct ranked *other)
{
    one->score = 0;
    for (size_t i = 0; i < RANKING_PARTS; i++) {
        if (other->parts[i].rank > 0) one->parts[i] = other->parts[i];
        one->score += one->parts[i].adds;
    }
}

size_t ranking_fuse(const struct ranking_list *lists, size_t count, struct ranked *out, size_t max)
{
    size_t all = 0, kept = 0;
    for (size_t i = 0; i < count; i++)
        all += lists[i].count;
    if (all == 0) return 0;
    struct ranked *items = mem_new(all, sizeof *items);
    for (size_t i = 0, at = 0; i < count; i++) {
        const struct ranking_list *list = &lists[i];
        for (size_t j = 0; j < list->count; j++, at++) {
            const struct ranked *item = &list->items[j];
            double adds = list->weight / (double)(RANKING_K + j + 1);
            items[at] = (struct ranked){item->number, item->serial, .score = adds};
            items[at].parts[list->part].score = item->score;
            items[at].parts[list->part].rank = (uint32_t)j + 1;
            items[at].parts[list->part].adds = adds;
        }
    }
    qsort(items, all, sizeof *items, by_number);
    for (size_t i = 0; i < all; i++) {
        if (kept > 0 && by_number(&items[kept - 1], &items[i]) == 0)
            join(&items[kept - 1], &items[i]);
        else
            items[kept++] = items[i];
    }
    qsort(items, kept, sizeof *items, by_score);
    if (kept > max) kept = max;
    memcpy(out, items, kept * sizeof *items);
    mem_free(items);
    return kept;
}

#include "scheduler/door/recommend_popular.h"

#include "scheduler/door/recommend_answer.h"
#include "scheduler/features/catalogue.h"
#include "scheduler/features/filter.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* The list on its way. */
struct filling {
    const struct recommend_popular *want;
    struct recommend_answer *answer;
    size_t found;    // the skipped ones, too
    uint32_t *taken; // [taken_count] rows of what is liked
    size_t taken_count;
};

static bool is_in(const json_t *list, const char *id)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (strcmp(json_string_value(json_array_get(list, i)), id) == 0) return true;
    return false;
}

static bool is_wanted(const struct recommend_popular *want, const char *id)
{
    return !is_in(want->without, id) && !(want->item && strcmp(want->item, id) == 0);
}

static bool is_allowed(const struct recommend_popular *want, const struct catalogue_item *item)
{
    return is_wanted(want, item->id) && catalogue_is_sold(item, want->region) &&
           (!want->filter || filter_holds(want->filter, item->document));
}

static void add(struct filling *filling, const char *id)
{
    if (filling->found++ >= filling->want->skip)
        recommend_answer_add(filling->answer, id, strlen(id));
}

/* What the catalogue does not have, a filter does not hold for. */
static void add_liked(struct filling *filling, const char *id)
{
    const struct recommend_popular *want = filling->want;
    struct catalogue_item item;
    if (catalogue_count(want->catalogue) == 0) {
        if (!want->filter && is_wanted(want, id)) add(filling, id);
        return;
    }
    uint32_t row =
        strlen(id) <= CATALOGUE_ID_MAX ? catalogue_find(want->catalogue, id) : CATALOGUE_NONE;
    if (row == CATALOGUE_NONE || !catalogue_item(want->catalogue, row, &item)) return;
    if (!is_allowed(want, &item)) return;
    filling->taken[filling->taken_count++] = row;
    add(filling, item.id);
}

static int compare_rows(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

/* The catalogue's others. */
static void fill(struct filling *filling)
{
    const struct recommend_popular *want = filling->want;
    uint32_t end = catalogue_rows(want->catalogue);
    size_t next = 0; // of the taken ones, which lie in the rows' order now
    if (end > RECOMMEND_FILL_ROWS) end = RECOMMEND_FILL_ROWS;
    if (filling->taken_count > 0)
        qsort(filling->taken, filling->taken_count, sizeof *filling->taken, compare_rows);
    for (uint32_t row = 0; row < end && filling->found < want->count; row++) {
        struct catalogue_item item;
        if (next < filling->taken_count && filling->taken[next] == row) {
            next++;
            continue;
        }
        if (catalogue_item(want->catalogue, row, &item) && is_allowed(want, &item))
            add(filling, item.id);
    }
}

void recommend_popular(const struct recommend_popular *want, const char *const *items, size_t liked,
                       struct recommend_answer *answer)
{
    struct filling filling = {.want = want, .answer = answer};
    filling.taken = mem_new(liked + 1, sizeof *filling.taken);
    for (size_t i = 0; i < liked && filling.found < want->count; i++)
        add_liked(&filling, items[i]);
    if (filling.found < want->count) fill(&filling);
    mem_free(filling.taken);
}

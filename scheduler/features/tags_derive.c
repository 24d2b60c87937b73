#include "scheduler/features/catalogue.h"
#include "scheduler/features/history.h"
#include "scheduler/features/popular.h"
#include "scheduler/features/tags.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Tags by their texts while a history is walked through. */
struct sums {
    struct tag *list;
    size_t count, capacity;
    double total;
};

static size_t add_text(const json_t *value, const char **out, size_t count)
{
    const char *text = json_string_value(value);
    if (!text || !*text || strlen(text) > TAGS_TEXT_MAX || count == TAGS_OF_ITEM_MAX) return count;
    for (size_t i = 0; i < count; i++)
        if (strcmp(out[i], text) == 0) return count;
    out[count] = text;
    return count + 1;
}

size_t tags_of_item(const struct catalogue *catalogue, const char *item,
                    const char *out[TAGS_OF_ITEM_MAX])
{
    struct catalogue_item found;
    uint32_t row = catalogue ? catalogue_find(catalogue, item) : CATALOGUE_NONE;
    if (row == CATALOGUE_NONE || !catalogue_item(catalogue, row, &found)) return 0;
    const json_t *more =
        json_object_get(json_object_get(found.document, "attributes"), "categories");
    size_t count = add_text(json_object_get(found.document, "category"), out, 0);
    for (size_t i = 0; i < json_array_size(more); i++)
        count = add_text(json_array_get(more, i), out, count);
    return count;
}

static bool is_hidden(const json_t *hidden, const char *text)
{
    for (size_t i = 0; i < json_array_size(hidden); i++) {
        const char *other = json_string_value(json_array_get(hidden, i));
        if (other && strcmp(other, text) == 0) return true;
    }
    return false;
}

bool tags_hide(const json_t *hidden, const struct catalogue *catalogue, const char *item)
{
    const char *texts[TAGS_OF_ITEM_MAX];
    if (json_array_size(hidden) == 0) return false;
    if (!catalogue || catalogue_find(catalogue, item) == CATALOGUE_NONE) return true;
    size_t count = tags_of_item(catalogue, item, texts);
    for (size_t i = 0; i < count; i++)
        if (is_hidden(hidden, texts[i])) return true;
    return false;
}

static void add(struct sums *sums, const char *text, double weight, int64_t time_ms)
{
    size_t at = 0;
    while (at < sums->count && strcmp(sums->list[at].text, text) != 0)
        at++;
    if (at == sums->count) {
        if (sums->count == sums->capacity) {
            sums->capacity = sums->capacity ? 2 * sums->capacity : 32;
            sums->list = mem_resize(sums->list, sums->capacity, sizeof *sums->list);
        }
        sums->list[sums->count++] = (struct tag){0};
        snprintf(sums->list[at].text, sizeof sums->list[at].text, "%s", text);
    }
    struct tag *tag = &sums->list[at];
    tag->weight += weight;
    tag->events++;
    if (time_ms > tag->last_ms) tag->last_ms = time_ms;
    sums->total += weight;
}

/* The heaviest first, then by their texts. */
static int compare(const void *a, const void *b)
{
    const struct tag *left = a, *right = b;
    if (left->weight != right->weight) return left->weight > right->weight ? -1 : 1;
    return strcmp(left->text, right->text);
}

size_t tags_derive(const struct history *history, const json_t *hidden,
                   const struct catalogue *catalogue, struct tag out[TAGS_LIST_MAX])
{
    struct sums sums = {0};
    for (size_t i = 0; i < history->count; i++) {
        const struct history_event *event = &history->events[i];
        const char *texts[TAGS_OF_ITEM_MAX];
        size_t count = event->item ? tags_of_item(catalogue, event->item, texts) : 0;
        for (size_t k = 0; k < count; k++)
            if (!is_hidden(hidden, texts[k]))
                add(&sums, texts[k], popular_weight(event->type, event->time_ms), event->time_ms);
    }
    if (sums.count > 0) qsort(sums.list, sums.count, sizeof *sums.list, compare);
    size_t count = sums.count < TAGS_LIST_MAX ? sums.count : TAGS_LIST_MAX;
    for (size_t i = 0; i < count; i++) {
        out[i] = sums.list[i];
        if (sums.total > 0) out[i].weight /= sums.total;
    }
    mem_free(sums.list);
    return count;
}

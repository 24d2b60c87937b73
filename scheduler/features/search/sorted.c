#include "scheduler/features/search/sorted.h"

#include "base/mem.h"
#include "base/must.h"

#include <stdlib.h>
#include <string.h>

void sorted_fini(struct sorted *sorted)
{
    mem_free(sorted->entries);
    *sorted = (struct sorted){0};
}

void sorted_add(struct sorted *sorted, const char *key, size_t size, uint32_t item)
{
    if (sorted->count == sorted->capacity) {
        sorted->capacity = sorted->capacity ? 2 * sorted->capacity : 256;
        sorted->entries = mem_resize(sorted->entries, sorted->capacity, sizeof *sorted->entries);
    }
    sorted->entries[sorted->count++] = (struct sorted_entry){key, (uint32_t)size, item};
}

static int order(const char *a, size_t a_size, const char *b, size_t b_size)
{
    int first = memcmp(a, b, a_size < b_size ? a_size : b_size);
    if (first != 0 || a_size == b_size) return first;
    return a_size < b_size ? -1 : 1;
}

static int compare(const void *left, const void *right)
{
    const struct sorted_entry *a = left, *b = right;
    return order(a->key, a->size, b->key, b->size);
}

/* The first of `count` sorted entries that is not before `key`. */
static size_t find(const struct sorted_entry *entries, size_t count, const char *key, size_t size)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (order(entries[middle].key, entries[middle].size, key, size) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void sorted_merge(struct sorted *sorted)
{
    size_t news = sorted->count - sorted->sorted_count;
    if (news == 0) return;
    struct sorted_entry *entries = sorted->entries;
    struct sorted_entry *fresh = mem_new(news, sizeof *fresh);
    memcpy(fresh, entries + sorted->sorted_count, news * sizeof *fresh);
    qsort(fresh, news, sizeof *fresh, compare);
    // From the back: what stands behind a new entry moves once, by as many places as new ones are before it.
    size_t end = sorted->sorted_count;
    for (size_t left = news; left > 0; left--) {
        const struct sorted_entry *one = &fresh[left - 1];
        size_t place = find(entries, end, one->key, one->size);
        memmove(entries + place + left, entries + place, (end - place) * sizeof *entries);
        entries[place + left - 1] = *one;
        end = place;
    }
    mem_free(fresh);
    sorted->sorted_count = sorted->count;
}

size_t sorted_find(const struct sorted *sorted, const char *key, size_t size)
{
    must(sorted->sorted_count == sorted->count);
    return find(sorted->entries, sorted->count, key, size);
}

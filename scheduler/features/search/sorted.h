/* scheduler/features/search/sorted.h -- a list of keys that stays sorted while it grows.
 *
 * What is added waits, unsorted, behind the sorted part; sorted_merge() brings it in, moving every entry at most once.
 * Keys may be equal. Thread: one owner. */
#ifndef SCHEDULER_FEATURES_SEARCH_SORTED_H
#define SCHEDULER_FEATURES_SEARCH_SORTED_H

#include <stddef.h>
#include <stdint.h>

struct sorted_entry {
    const char *key; // borrowed, as long as the entry is there
    uint32_t size;
    uint32_t item; // the caller's
};

/* Zeroed: empty. */
struct sorted {
    struct sorted_entry *entries;
    size_t count, capacity;
    size_t sorted_count;
};

void sorted_fini(struct sorted *sorted);
void sorted_add(struct sorted *sorted, const char *key, size_t size, uint32_t item);
void sorted_merge(struct sorted *sorted);
/* The first entry whose key is not before `key`; the list is merged. */
size_t sorted_find(const struct sorted *sorted, const char *key, size_t size);

#endif

/* scheduler/features/search/ids.h -- ids of documents and a place for each: the caller's arrays go by the place.
 *
 * A place is small, and used again when its id has gone. Thread: one owner. */
#ifndef SCHEDULER_FEATURES_SEARCH_IDS_H
#define SCHEDULER_FEATURES_SEARCH_IDS_H

#include <stddef.h>
#include <stdint.h>

struct ids;

enum {
    IDS_NONE = UINT32_MAX >> 1
};

struct ids *ids_new(void);
void ids_free(struct ids *ids);
void ids_clear(struct ids *ids);
size_t ids_count(const struct ids *ids);
/* Places are below this. */
uint32_t ids_end(const struct ids *ids);

/* IDS_NONE: it is not there. */
uint32_t ids_find(const struct ids *ids, const char *id, size_t size);
/* The place of the id, which is added when it is not there; of at most 255 bytes. */
uint32_t ids_add(struct ids *ids, const char *id, size_t size);
void ids_remove(struct ids *ids, uint32_t place);
/* Borrowed until it is removed; NULL: nothing is at this place. */
const char *ids_at(const struct ids *ids, uint32_t place, size_t *size);

#endif

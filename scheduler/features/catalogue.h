/* scheduler/features/catalogue.h -- what a tenant has to recommend, as this scheduler's memory has it.
 *
 * An item is a JSON object; Redis keeps it in the collection "items:TENANT" (collection.h), a copy of which is followed here:
 *
 *      id          1 to 128 bytes, no control characters
 *      titles      {"zh": "…", "en": "…"}: language to text
 *      category    text
 *      price       a number, not negative
 *      available   whether it can be had now; true
 *      regions     where: ["cn", …] in lower case; absent: everywhere
 *      attributes  {"colour": "red", "tags": […], …}: what filters and reasons may need besides
 *
 * Each item has a row, a small number that stays its own while it is there and may be another's afterwards; `changes` counts
 * everything that may make a bitmap over rows wrong, and which items the latest were of is kept. Thread: the loop's. */
#ifndef SCHEDULER_FEATURES_CATALOGUE_H
#define SCHEDULER_FEATURES_CATALOGUE_H

#include "base/err.h"

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct catalogue;
struct catalogues;
struct collections;
struct follower;

enum {
    CATALOGUE_TENANTS_MAX = 64,
    CATALOGUE_ID_MAX = 128,          // bytes, as of a collection's document
    CATALOGUE_RECORD_MAX = 32 << 10, // bytes of one item
    CATALOGUE_TITLES_MAX = 16,
    CATALOGUE_TEXT_MAX = 1024, // bytes of a title or a category
    CATALOGUE_REGIONS_MAX = 64,
    CATALOGUE_LABEL_MAX = 64,      // bytes of a region or a language
    CATALOGUE_CHANGES_KEPT = 4096, // the latest, by their items
    CATALOGUE_NONE = UINT32_MAX
};

/* Borrowed; valid until the loop turns. */
struct catalogue_item {
    const char *id;
    const json_t *document; // with its id
    bool available;
};

struct catalogues *catalogues_new(struct collections *collections, uint64_t items_max);
/* Before the store is freed. */
void catalogues_free(struct catalogues *catalogues);

/* The tenant's; followed from the first call on. NULL: there are CATALOGUE_TENANTS_MAX already. */
struct catalogue *catalogue_of(struct catalogues *catalogues, const char *tenant);
/* The collection's name, and how many items it may have. */
const char *catalogue_name(const struct catalogue *catalogue);
uint64_t catalogue_items_max(const struct catalogue *catalogue);
/* To wait for a version, and to know whether the copy is whole. */
struct follower *catalogue_follower(struct catalogue *catalogue);

/* Items, and one more than the highest row. */
size_t catalogue_count(const struct catalogue *catalogue);
uint32_t catalogue_rows(const struct catalogue *catalogue);
uint64_t catalogue_changes(const struct catalogue *catalogue);
/* Which item change number `change` (1 is the first) was of; NULL: it is too long ago, or everything changed. Borrowed until
 * the loop turns. */
const char *catalogue_changed(const struct catalogue *catalogue, uint64_t change);
/* CATALOGUE_NONE when there is no such item. */
uint32_t catalogue_find(const struct catalogue *catalogue, const char *id);
/* False: nothing has the row. */
bool catalogue_item(const struct catalogue *catalogue, uint32_t row, struct catalogue_item *out);
/* It can be had in the region now ("": anywhere will do). */
bool catalogue_is_sold(const struct catalogue_item *item, const char *region);
/* The title in the language ("zh-Hans-CN" finds "zh"), else in English, else any; NULL: it has none. */
const char *catalogue_title(const struct catalogue_item *item, const char *language);

/* A stranger's item, checked: ERR_INVALID and ERR_TOO_LARGE name the member in `member` (CATALOGUE_LABEL_MAX bytes) and in the
 * note. The record is added to `out`, the id borrowed from the object. */
enum err catalogue_check(const json_t *object, const char **id, struct buf *out,
                         char member[CATALOGUE_LABEL_MAX]);
/* The id alone. */
enum err catalogue_check_id(const char *id, size_t size);

#endif

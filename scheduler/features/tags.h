/* scheduler/features/tags.h -- what a user's history says the user likes: the categories of its items; and those that the user has taken
 * away.
 *
 *      qiao:{u:OWNER}:tags       string   {"hidden":["phones", …]}, sealed as events are (seal.h, the source TAGS_SOURCE)
 *      qiao:{u:OWNER}:tags_key   string   the data key that seals it, wrapped
 *
 * A tag is nothing that is stored: it is derived from the history whenever somebody asks, so it ends with the events that made it. Stored
 * is only what was taken away; history.h leaves the events of such items out of every history that something is made of, whatever is made
 * of it. An item's tags are its `category` and its `attributes.categories`; one that the catalogue does not know is not used while
 * anything is hidden, since nobody can tell. Thread: the loop's. */
#ifndef SCHEDULER_FEATURES_TAGS_H
#define SCHEDULER_FEATURES_TAGS_H

#include "scheduler/state/owner.h"

#include "base/err.h"

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct catalogue;
struct history;
struct keyring;
struct store;
struct tags;

enum {
    TAGS_HIDDEN_MAX = 128, // of one user
    TAGS_OF_ITEM_MAX = 8,  // that are looked at
    TAGS_LIST_MAX = 100,   // of one answer: those that weigh most
    TAGS_TEXT_MAX = 256    // bytes of a tag; longer ones are none
};

#define TAGS_SOURCE "#tags" // no partner's name

/* Borrowed from the history's items or the list. */
struct tag {
    char text[TAGS_TEXT_MAX + 1];
    double
        weight; // its share of all tags' weights: the younger and the more earnest an event, the more (popular.h)
    size_t events;
    int64_t last_ms;
};

/* The texts of an item, borrowed until the loop turns; their count. 0: it has none, or is not known. */
size_t tags_of_item(const struct catalogue *catalogue, const char *item,
                    const char *out[TAGS_OF_ITEM_MAX]);
/* Whether it has a tag that is hidden, or is not known. `hidden` NULL or empty: no. */
bool tags_hide(const json_t *hidden, const struct catalogue *catalogue, const char *item);
/* The tags of a history that are not hidden, the heaviest first; the count. */
size_t tags_derive(const struct history *history, const json_t *hidden,
                   const struct catalogue *catalogue, struct tag out[TAGS_LIST_MAX]);
/* ERR_INVALID: no such text is a tag. */
enum err tags_check(const char *text, size_t size);

/* What was taken away, from the two values in Redis: a list of texts, json_decref() it; NULL and ERR_OK: nothing was. */
enum err tags_open(json_t **hidden, const struct keyring *keys, const char *owner,
                   const char *sealed, size_t size, const char *wrapped, size_t wrapped_size);

struct tags *tags_new(struct store *store, const struct owner_key *key, const struct keyring *keys);
void tags_free(struct tags *tags);

/* Take a tag away, or give it back. Once, from the loop. ERR_TOO_LARGE: there are TAGS_HIDDEN_MAX already. */
typedef void tags_fn(void *argument, enum err err);
void tags_change(struct tags *tags, const char *tenant, const char *user, const char *tag,
                 bool hide, tags_fn *done, void *argument);

#endif

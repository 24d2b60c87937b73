/* scheduler/door/recommend_ask.h -- the body of a request for recommendations, checked.
 *
 *      scenario       home (the preset): what the user, or this visit, may like next
 *                     also-bought: what is taken next by those who took `item`
 *                     similar: the same, of the item's own category
 *                     popular: what is liked in the region
 *      user           whose history, where the key may say so; X-Qiao-User, or the key's own when absent
 *      session        ["ITEM", …]: what was looked at in this visit, the oldest first; with it no history is read. Of home.
 *                     A whole number is the id that it is written as: rows without names have such ids
 *      item           of also-bought and similar, whose history is this item alone
 *      filter         features/filter.h, over the catalogue's items; `filters` is the same
 *      count          1 to RECOMMEND_COUNT_MAX; 10
 *      exclude_seen   leave out what is in the history or the session; true
 *      explain        tell which seen items weighed most; false
 *      model          the first recommender when absent
 *
 * Names may be spelled otherwise (members.h: excludeSeen). Members that nobody knows are ignored. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_RECOMMEND_ASK_H
#define SCHEDULER_DOOR_RECOMMEND_ASK_H

#include "base/err.h"

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct filter;

enum recommend_scenario {
    RECOMMEND_HOME,
    RECOMMEND_ALSO_BOUGHT,
    RECOMMEND_SIMILAR,
    RECOMMEND_POPULAR,
    RECOMMEND_SCENARIOS
};

struct recommend_ask {
    json_t *root;     // what the texts are borrowed from
    const char *user; // NULL: not said
    const json_t *session;
    const char *item;
    struct filter *filter; // NULL: none
    uint32_t count;
    uint32_t skip; // of the best `count`; 0 but for Gorse's clients
    bool exclude_seen, explain;
    enum recommend_scenario scenario;
    const char *model; // NULL: not said
};

const char *recommend_scenario_name(enum recommend_scenario scenario);

/* ERR_INVALID names the member, in json_param() too; of a filter the place in its text. On success recommend_ask_fini() it. */
enum err recommend_ask_parse(struct recommend_ask *out, const char *body, size_t size);
void recommend_ask_fini(struct recommend_ask *ask);
/* Also be of this category, as its `category` or one of its `attributes.categories`. ERR_INVALID: the filter is too long then. */
enum err recommend_ask_within(struct recommend_ask *ask, const char *category);

#endif

/* scheduler/door/recommend_popular.h -- the list of those whom nobody knows.
 *
 * First what is liked in the region (features/popular.h), the most liked first; where that is less than was asked for, as in a shop
 * that has just opened, others that the catalogue has, in the order of this scheduler's copy. Both are of what is sold in the region
 * and for which the filter holds. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_RECOMMEND_POPULAR_H
#define SCHEDULER_DOOR_RECOMMEND_POPULAR_H

#include <jansson.h>

#include <stddef.h>
#include <stdint.h>

struct catalogue;
struct filter;
struct recommend_answer;

enum {
    RECOMMEND_FILL_ROWS =
        5000 // of the catalogue, looked at to fill the list: a filter may hold for few
};

struct recommend_popular {
    const struct catalogue *catalogue;
    const char *region;
    const struct filter *filter; // NULL: none
    const json_t *without;       // ids that are not wanted; NULL: none
    const char *item;            // one more; NULL: none
    uint32_t count, skip;        // of the list's first `count` all but `skip`
};

/* `items`: what is liked, [liked]. Ids in the answer are borrowed from there and from the catalogue. */
void recommend_popular(const struct recommend_popular *want, const char *const *items, size_t liked,
                       struct recommend_answer *answer);

#endif

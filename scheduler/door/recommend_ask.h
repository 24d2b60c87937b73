/* scheduler/door/recommend_ask.h -- the body of a request for recommendations, checked.
 *
 *      session        ["ITEM", …]: what was looked at in this visit, the oldest first; with it no history is read
 *      count          1 to RECOMMEND_COUNT_MAX; 10
 *      exclude_seen   leave out what is in the history or the session; true
 *      explain        tell which seen items weighed most; false
 *      scenario       a name of the caller's, told back; ""
 *      model          the first recommender when absent
 *
 * Whose history: X-Qiao-User, or the key's own. Members that nobody knows are ignored; `filter` is refused. Thread: the
 * loop's. */
#ifndef SCHEDULER_DOOR_RECOMMEND_ASK_H
#define SCHEDULER_DOOR_RECOMMEND_ASK_H

#include "base/err.h"

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct recommend_ask {
    json_t *root; // what the texts are borrowed from
    const json_t *session;
    uint32_t count;
    bool exclude_seen, explain;
    const char *scenario, *model; // model NULL: not said
};

/* ERR_INVALID names the member, in json_param() too. On success recommend_ask_fini() it. */
enum err recommend_ask_parse(struct recommend_ask *out, const char *body, size_t size);
void recommend_ask_fini(struct recommend_ask *ask);

#endif

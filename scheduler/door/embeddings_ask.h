/* scheduler/door/embeddings_ask.h -- the body of a request for embeddings, checked.
 *
 *      input             a string, a list of token ids, or a list of up to ERRAND_TEXTS_MAX of those
 *      model             the first that makes embeddings when absent
 *      encoding_format   "float" or "base64"; "float"
 *      dimensions        so many numbers of each vector; all
 *      truncate          cut what is longer than the model takes; false
 *
 * Members that nobody knows are ignored. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_EMBEDDINGS_ASK_H
#define SCHEDULER_DOOR_EMBEDDINGS_ASK_H

#include "scheduler/door/errand.h"

#include "base/err.h"

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fleet_model;

struct embeddings_ask {
    json_t *root; // what is borrowed from
    const char *model;
    struct errand_text *texts;
    int32_t *ids; // of all inputs that are ids, one behind the other
    size_t count, id_count;
    uint32_t dimensions; // 0: not said
    bool base64, truncate;
};

/* ERR_INVALID, ERR_TOO_LARGE of json_read(). Whatever it says, embeddings_ask_fini() follows. */
enum err embeddings_ask_parse(struct embeddings_ask *ask, const char *body, size_t size);
void embeddings_ask_fini(struct embeddings_ask *ask);
/* What only the model can say: ids below its vocabulary's size, and its dimensions, which it fills in. */
enum err embeddings_ask_check(struct embeddings_ask *ask, const struct fleet_model *model);

#endif

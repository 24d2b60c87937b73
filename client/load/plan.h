/* client/load/plan.h -- what the n-th request of a run asks: a function of the seed and n, nothing
 * else. */
#ifndef CLIENT_LOAD_PLAN_H
#define CLIENT_LOAD_PLAN_H

#include "client/load/prompt.h"

#include "base/err.h"

#include <jansson.h>

#include <stdbool.h>
#include <stdint.h>

enum {
    PLAN_TOKENS_MAX = 1000000
};

/* Both ends belong to it; 1 <= low <= high <= PLAN_TOKENS_MAX. */
struct range {
    uint64_t low, high;
};

/* "A" or "A-B". ERR_INVALID names `setting`. */
enum err range_parse(struct range *out, const char *setting, const char *text);
/* A JSON object, the caller's to free; NULL for "". */
enum err extra_parse(json_t **out, const char *text);
/* "zh", "en" or "both". */
enum err language_parse(enum prompt_language *out, const char *text);

struct plan {
    uint64_t seed;
    struct range prompt_tokens, max_tokens;
    enum prompt_language language;
    const char *model; // borrowed
    bool stream;
    double temperature; // negative: not said
    json_t *extra;      // an object whose members stand in every body too; NULL: none; borrowed
};

/* Append the JSON body of request `number`. */
void plan_write(const struct plan *plan, uint64_t number, struct buf *out);

#endif

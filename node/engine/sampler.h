/* node/engine/sampler.h -- logits in, one id out.
 *
 * What happens to a row of logits, in this order:
 *
 *   1. report      log-probabilities, if asked: the log-softmax of the model's own logits, untouched by
 *                  anything below
 *   2. logit_bias  added
 *   3. repetition  ids of the prompt and emitted ids: a positive logit is divided by the penalty, another is
 *                  multiplied by it (as in CTRL, Keskar et al. 2019)
 *   4. frequency,  emitted ids only: logit -= frequency * (times emitted) + presence
 *      presence
 *   5. check       every logit is finite, or the request ends with an error
 *   6. greedy      temperature 0 or top_p 0: the largest logit; nothing below happens
 *   7. temperature mass = exp((logit - largest) / temperature), in whole units of 2^-40
 *   8. top_k       the k largest logits stay
 *   9. top_p       of those, the fewest largest whose mass reaches top_p of their total
 *  10. min_p       of those, the ones whose mass is at least min_p of the largest one's
 *  11. draw        rand_at(seed, choice, position) points into the mass that stays, laid out by ascending id
 *
 * Ties break to the lower id everywhere. Masses are integers, so their sums have no order and equal on every
 * machine; the share of an id below 2^-40 of the largest one is 0. exp and log are ours (kernels/mathf.h, and
 * in rows kernels/ops.h).
 * The vocabulary is never sorted. One pass finds the largest of every 64 logits and whatever is not finite; they tell
 * which few blocks can hold what stays, and steps 8 to 11 work on the candidates from there (node/engine/candidates.h).
 * Only where every id counts (top_p without top_k, or no cut at all) is all of the row weighed.
 *
 * Penalties count in a table beside the sequence that follows from its ids alone, so a request that is
 * dispatched again with prompt + emitted ids draws the same ids.
 *
 * Thread: a struct sampler has one owner; the rest is pure. */
#ifndef NODE_ENGINE_SAMPLER_H
#define NODE_ENGINE_SAMPLER_H

#include "wire/message.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ops;
struct team;

/* How often each id has come; open addressing, at most half full, never grown. A zeroed struct counts
 * nothing. */
struct sampler_counts {
    struct sampler_count *slots;
    uint32_t slot_count; // a power of 2, or 0
    uint32_t used;
};

struct sampler_count {
    int32_t id_plus_one; // 0: empty
    uint32_t emitted;    // times after the prompt; 0: seen in the prompt only
};

/* Slots for `distinct_max` different ids. */
uint32_t sampler_counts_slots(uint32_t distinct_max);
/* `slots` [slot_count], zeroed, stays the caller's. */
void sampler_counts_init(struct sampler_counts *counts, struct sampler_count *slots,
                         uint32_t slot_count);
void sampler_counts_add(struct sampler_counts *counts, int32_t id, bool emitted);

/* Does this request need counts at all? */
bool sampler_penalizes(const struct wire_sampling *sampling);
/* ERR_INVALID names the field, its value and what would be right. After it, sampler_pick() is safe. */
enum err sampler_check(const struct wire_sampling *sampling, uint32_t vocab_size);

struct sampler_pick {
    int32_t id;
    float logprob; // of `id`; 0 unless asked
    uint32_t top_count;
    struct wire_top tops[WIRE_TOP_LOGPROBS_MAX]; // descending
};

/* Where the draw happens: scratch for one row. `ops` outlives it; every rung draws the same. */
struct sampler;
struct sampler *sampler_new(uint32_t vocab_size, const struct ops *ops);
void sampler_free(struct sampler *sampler);
/* Long rows are shared with this team from now on, which the caller leads; the same ids are drawn. NULL: no more. */
void sampler_use_team(struct sampler *sampler, struct team *team);

/* Which id of which answer is drawn: with the seed, all that chance depends on. */
struct sampler_place {
    uint32_t choice;
    uint64_t position; // in the sequence, the prompt counted
};

/* `logits` [vocab_size] is changed. `counts` is only read when sampler_penalizes(). ERR_INTERNAL: a logit is
 * not finite; *out is untouched. */
enum err sampler_draw(struct sampler *sampler, float *logits, const struct wire_sampling *sampling,
                      const struct sampler_counts *counts, const struct sampler_place *place,
                      struct sampler_pick *out);

#endif

/* node/engine/candidates.h -- the ids that may be drawn, ascending, with what each weighs; for the sampler.
 *
 * Whoever is gathered by "logits from some value on" has every id of a larger logit beside it, so a list is a prefix of
 * the order (logit descending, id ascending), and stays one through candidates_cut(). -0 and 0 are equal.
 *
 * Thread: one owner. */
#ifndef NODE_ENGINE_CANDIDATES_H
#define NODE_ENGINE_CANDIDATES_H

#include <stddef.h>
#include <stdint.h>

enum {
    CANDIDATES_DIGIT_BITS = 11,
    CANDIDATES_BUCKETS = 1 << CANDIDATES_DIGIT_BITS
};

struct candidates {
    uint32_t count;
    uint32_t *ids;  // [count] of [vocab_size], as the others
    float *logits;  // [count]
    uint64_t *mass; // [count], the sampler's to fill
    uint64_t buckets[CANDIDATES_BUCKETS];
};

struct candidates *candidates_new(uint32_t vocab_size);
void candidates_free(struct candidates *list);

/* All ids of logits[0..vocab_size) from `least` on, without mass; `peaks` are those of ops->peaks. */
void candidates_gather(struct candidates *list, const float *logits, uint32_t vocab_size,
                       const float *peaks, float least);
/* Only those of at least this mass stay. */
void candidates_drop_below(struct candidates *list, uint64_t floor);
uint64_t candidates_mass(const struct candidates *list);

enum candidates_weight {
    CANDIDATES_ONE, // each weighs 1
    CANDIDATES_MASS
};

/* The shortest prefix stays that weighs at least `target`, which is from 1 to the weight of all. */
void candidates_cut(struct candidates *list, enum candidates_weight weight, uint64_t target);

/* The k-th largest of `count` values, 1 <= k <= count, none of them NaN. Uses the list's buckets alone. */
float candidates_kth(struct candidates *list, const float *values, uint32_t count, uint32_t k);

#endif

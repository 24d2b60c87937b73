/* base/rand.h -- chance, always from a seed.
 *
 * rand_at() is the sampler's: the draw depends on (seed, choice, position) and nothing else, so a
 * re-dispatched or speculated request draws the same numbers (docs/numerics.md). struct rand is a
 * sequential generator for the simulator, jitter and tests. Mixing: SplitMix64's finaliser (Steele,
 * Lea, Flood, "Fast splittable pseudorandom number generators", 2014), written from the paper. */
#ifndef BASE_RAND_H
#define BASE_RAND_H

#include <stdint.h>

struct rand {
    uint64_t state;
};

uint64_t rand_at(uint64_t seed, uint32_t choice, uint64_t position);

void rand_init(struct rand *rand, uint64_t seed);
uint64_t rand_next(struct rand *rand);
/* Uniform in [0, bound); bound > 0. Its bias is below bound / 2^64. */
uint64_t rand_below(struct rand *rand, uint64_t bound);

/* The top 53 bits as a double in [0, 1). */
double rand_unit(uint64_t bits);

/* 64 bits from the system's entropy; for seeds and ids, never for keys, never for the engine. Who forks must not use it on
 * both sides. Any thread. */
uint64_t rand_entropy(void);

#endif

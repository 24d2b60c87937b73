#include "base/rand.h"

#include "base/must.h"

#include <sys/random.h>

static const uint64_t golden_gamma = UINT64_C(0x9E3779B97F4A7C15);

static uint64_t mix(uint64_t bits)
{
    bits = (bits ^ (bits >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    bits = (bits ^ (bits >> 27)) * UINT64_C(0x94D049BB133111EB);
    return bits ^ (bits >> 31);
}

uint64_t rand_at(uint64_t seed, uint32_t choice, uint64_t position)
{
    uint64_t bits = mix(seed + golden_gamma);
    bits = mix(bits ^ (choice + golden_gamma * 2));
    return mix(bits ^ (position + golden_gamma * 3));
}

void rand_init(struct rand *rand, uint64_t seed)
{
    rand->state = seed;
}

uint64_t rand_next(struct rand *rand)
{
    rand->state += golden_gamma;
    return mix(rand->state);
}

uint64_t rand_below(struct rand *rand, uint64_t bound)
{
    must(bound > 0);
    __extension__ typedef unsigned __int128 wide;
    return (uint64_t)(((wide)rand_next(rand) * bound) >> 64);
}

double rand_unit(uint64_t bits)
{
    return (double)(bits >> 11) * 0x1p-53;
}

/* The system gives the bits of many calls at once: a request needs several. */
uint64_t rand_entropy(void)
{
    static _Thread_local uint64_t pool[32]; // the most that getrandom() never gives in part
    static _Thread_local size_t left;
    if (left == 0) {
        must(getrandom(pool, sizeof pool, 0) == (ssize_t)sizeof pool);
        left = sizeof pool / sizeof *pool;
    }
    return pool[--left];
}

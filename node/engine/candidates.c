/* How the cut is found: a float's bits, with the sign folded in, order as integers do; so the last logit that stays is
 * found one digit at a time, in one histogram of weights for each digit. Nothing is sorted. */
#include "node/engine/candidates.h"

#include "kernels/ops.h"

#include "base/mem.h"

#include <string.h>

enum {
    DIGITS = 3 // 11 + 11 + 10 bits
};

struct candidates *candidates_new(uint32_t vocab_size)
{
    struct candidates *list = mem_new(1, sizeof *list);
    list->ids = mem_new(vocab_size + 1, sizeof *list->ids); // gathering writes one beyond
    list->logits = mem_new(vocab_size + 1, sizeof *list->logits);
    list->mass = mem_new(vocab_size, sizeof *list->mass);
    return list;
}

void candidates_free(struct candidates *list)
{
    if (!list) return;
    mem_free(list->ids);
    mem_free(list->logits);
    mem_free(list->mass);
    mem_free(list);
}

void candidates_gather(struct candidates *list, const float *logits, uint32_t vocab_size,
                       const float *peaks, float least)
{
    uint32_t count = 0;
    for (uint32_t begin = 0; begin < vocab_size; begin += OPS_PEAK) {
        if (peaks[begin / OPS_PEAK] < least) continue;
        uint32_t end = vocab_size - begin < OPS_PEAK ? vocab_size : begin + OPS_PEAK;
        for (uint32_t id = begin; id < end; id++) {
            list->ids[count] = id;
            list->logits[count] = logits[id];
            count += logits[id] >= least;
        }
    }
    list->count = count;
}

static void take(struct candidates *list, uint32_t to, uint32_t from)
{
    list->ids[to] = list->ids[from];
    list->logits[to] = list->logits[from];
    list->mass[to] = list->mass[from];
}

void candidates_drop_below(struct candidates *list, uint64_t floor)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        take(list, kept, i);
        kept += list->mass[kept] >= floor;
    }
    list->count = kept;
}

uint64_t candidates_mass(const struct candidates *list)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < list->count; i++)
        total += list->mass[i];
    return total;
}

static uint32_t ordered(float logit)
{
    float plain = logit + 0.0f; // -0 and 0 are equal
    uint32_t bits;
    memcpy(&bits, &plain, sizeof bits);
    return bits & UINT32_C(0x80000000) ? ~bits : bits | UINT32_C(0x80000000);
}

static float from_ordered(uint32_t key)
{
    uint32_t bits = key & UINT32_C(0x80000000) ? key ^ UINT32_C(0x80000000) : ~key;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Some values and what each weighs; NULL: 1. */
struct weighed {
    const float *values;
    const uint64_t *weights;
    uint32_t count;
};

static uint64_t weight_of(const struct weighed *all, uint32_t i)
{
    return all->weights ? all->weights[i] : 1;
}

/* Narrow `*prefix`, the digits above `shift` + `bits`, by the digit in which the target is reached; what
 * weighs in larger digits is taken off the target. */
static void cut_digit(uint64_t *buckets, const struct weighed *all, uint32_t shift, uint32_t bits,
                      uint32_t *prefix, uint64_t *target)
{
    memset(buckets, 0, CANDIDATES_BUCKETS * sizeof *buckets);
    for (uint32_t i = 0; i < all->count; i++) {
        uint32_t key = ordered(all->values[i]);
        if ((uint64_t)key >> (shift + bits) != *prefix) continue;
        buckets[(key >> shift) & ((1u << bits) - 1)] += weight_of(all, i);
    }
    uint32_t digit = 1u << bits;
    while (digit > 0 && buckets[--digit] < *target)
        *target -= buckets[digit];
    *prefix = (*prefix << bits) | digit;
}

/* The ordered bits of the last value of the shortest prefix that weighs at least `*target`; what is left in
 * `*target` has to come from ids of just that value. */
static uint32_t cut_key(uint64_t *buckets, const struct weighed *all, uint64_t *target)
{
    uint32_t last = 0;
    uint32_t shift = 32;
    for (uint32_t digit = 0; digit < DIGITS; digit++) {
        uint32_t bits = digit + 1 < DIGITS ? CANDIDATES_DIGIT_BITS : 32 - 2 * CANDIDATES_DIGIT_BITS;
        shift -= bits;
        cut_digit(buckets, all, shift, bits, &last, target);
    }
    return last;
}

void candidates_cut(struct candidates *list, enum candidates_weight weight, uint64_t target)
{
    struct weighed all = {.values = list->logits,
                          .weights = weight == CANDIDATES_MASS ? list->mass : NULL,
                          .count = list->count};
    uint32_t last = cut_key(list->buckets, &all, &target);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        uint32_t key = ordered(list->logits[i]);
        if (key < last || (key == last && target == 0)) continue;
        if (key == last) {
            uint64_t own = weight_of(&all, i);
            target -= own < target ? own : target;
        }
        take(list, kept++, i);
    }
    list->count = kept;
}

float candidates_kth(struct candidates *list, const float *values, uint32_t count, uint32_t k)
{
    struct weighed all = {.values = values, .count = count};
    uint64_t target = k;
    return from_ordered(cut_key(list->buckets, &all, &target));
}

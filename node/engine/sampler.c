#include "node/engine/sampler.h"

#include "kernels/mathf.h"
#include "kernels/ops.h"

#include "base/mem.h"
#include "base/must.h"
#include "base/rand.h"

#include <string.h>

/* The share of the largest logit's id. */
#define MASS_ONE (UINT64_C(1) << 40)

enum {
    DIGIT_BITS = 11,
    DIGITS = 3, // 11 + 11 + 10 bits of an ordered logit
    BUCKETS = 1 << DIGIT_BITS
};

struct sampler {
    const struct ops *ops;
    uint32_t vocab_size;
    uint64_t *mass; // [vocab_size]; 0: out
    float *raw;     // [vocab_size], the model's own logits, kept while the others are changed
    float *share;   // [vocab_size], exp() of a row
    uint64_t buckets[BUCKETS];
};

struct sampler *sampler_new(uint32_t vocab_size, const struct ops *ops)
{
    struct sampler *sampler = mem_new(1, sizeof *sampler);
    sampler->ops = ops;
    sampler->vocab_size = vocab_size;
    sampler->mass = mem_new(vocab_size, sizeof *sampler->mass);
    sampler->raw = mem_new(vocab_size, sizeof *sampler->raw);
    sampler->share = mem_new(vocab_size, sizeof *sampler->share);
    return sampler;
}

void sampler_free(struct sampler *sampler)
{
    if (!sampler) return;
    mem_free(sampler->mass);
    mem_free(sampler->raw);
    mem_free(sampler->share);
    mem_free(sampler);
}

uint32_t sampler_counts_slots(uint32_t distinct_max)
{
    uint32_t slots = 2;
    while (slots / 2 < distinct_max)
        slots *= 2;
    return slots;
}

void sampler_counts_init(struct sampler_counts *counts, struct sampler_count *slots,
                         uint32_t slot_count)
{
    must(slot_count > 0 && (slot_count & (slot_count - 1)) == 0);
    *counts = (struct sampler_counts){.slots = slots, .slot_count = slot_count};
}

void sampler_counts_add(struct sampler_counts *counts, int32_t id, bool emitted)
{
    must(id >= 0);
    uint32_t mask = counts->slot_count - 1;
    uint32_t at = ((uint32_t)id * UINT32_C(2654435769)) & mask;
    while (counts->slots[at].id_plus_one != 0 && counts->slots[at].id_plus_one != id + 1)
        at = (at + 1) & mask;
    struct sampler_count *slot = &counts->slots[at];
    if (slot->id_plus_one == 0) {
        must(counts->used < counts->slot_count / 2);
        counts->used++;
        slot->id_plus_one = id + 1;
    }
    if (emitted) slot->emitted++;
}

bool sampler_penalizes(const struct wire_sampling *s)
{
    return s->repetition_penalty != 1 || s->frequency_penalty != 0 || s->presence_penalty != 0;
}

/* NaN is outside of every range. */
static enum err check_range(const char *name, float value, float low, float high)
{
    if (value >= low && value <= high) return ERR_OK;
    return err_note(ERR_INVALID, "sampling: %s is %g, it must be from %g to %g", name,
                    (double)value, (double)low, (double)high);
}

enum err sampler_check(const struct wire_sampling *s, uint32_t vocab_size)
{
    TRY(check_range("temperature", s->temperature, 0, 100));
    TRY(check_range("top_p", s->top_p, 0, 1));
    TRY(check_range("min_p", s->min_p, 0, 1));
    TRY(check_range("repetition_penalty", s->repetition_penalty, 0.01f, 100));
    TRY(check_range("frequency_penalty", s->frequency_penalty, -100, 100));
    TRY(check_range("presence_penalty", s->presence_penalty, -100, 100));
    if (s->top_logprobs > WIRE_TOP_LOGPROBS_MAX) {
        return err_note(ERR_INVALID, "sampling: top_logprobs is %u, at most %d", s->top_logprobs,
                        WIRE_TOP_LOGPROBS_MAX);
    }
    if (s->bias_count > WIRE_LOGIT_BIAS_MAX) {
        return err_note(ERR_INVALID, "sampling: logit_bias has %zu ids, at most %d", s->bias_count,
                        WIRE_LOGIT_BIAS_MAX);
    }
    for (size_t i = 0; i < s->bias_count; i++) {
        if (s->bias[i].id < 0 || (uint32_t)s->bias[i].id >= vocab_size) {
            return err_note(ERR_INVALID, "sampling: logit_bias of id %d, the vocabulary has %u ids",
                            s->bias[i].id, vocab_size);
        }
        TRY(check_range("a logit_bias", s->bias[i].bias, -1000, 1000));
    }
    return ERR_OK;
}

static bool is_finite(float value)
{
    return value - value == 0;
}

static enum err check_logits(const float *logits, uint32_t count)
{
    uint32_t strange = 0;
    for (uint32_t i = 0; i < count; i++)
        strange += !is_finite(logits[i]);
    if (strange == 0) return ERR_OK;
    return err_note(ERR_INTERNAL, "%u of %u logits are not finite numbers", strange, count);
}

/* The lowest id of the largest logit. */
static uint32_t largest(const struct ops *ops, const float *logits, uint32_t count)
{
    float top = ops->max(logits, count);
    uint32_t id = 0;
    while (logits[id] != top)
        id++;
    return id;
}

/* Insert into the descending list of the best; an equal logit stays behind the lower id before it. */
static void keep_top(struct wire_top *tops, uint32_t *count, uint32_t limit, struct wire_top item)
{
    if (*count == limit && item.logprob <= tops[limit - 1].logprob) return;
    uint32_t at = *count;
    while (at > 0 && tops[at - 1].logprob < item.logprob)
        at--;
    if (*count < limit) ++*count;
    for (uint32_t i = *count - 1; i > at; i--)
        tops[i] = tops[i - 1];
    tops[at] = item;
}

/* log-probabilities of the model's own logits: of the best ones, and of any other by log_probability(). */
struct scale {
    float top;
    float log_sum;
};

static float log_probability(const struct scale *scale, float logit)
{
    return (logit - scale->top) - scale->log_sum;
}

static void report(const struct sampler *sampler, uint32_t top_count, struct sampler_pick *pick)
{
    const float *raw = sampler->raw;
    uint32_t count = sampler->vocab_size;
    struct scale scale = {.top = sampler->ops->max(raw, count)};
    scale.log_sum = mathf_log(sampler->ops->exp_sum(sampler->share, raw, scale.top, count));
    pick->logprob = log_probability(&scale, raw[pick->id]);

    if (top_count > count) top_count = count;
    for (uint32_t i = 0; i < count && top_count > 0; i++) {
        keep_top(pick->tops, &pick->top_count, top_count,
                 (struct wire_top){.id = (int32_t)i, .logprob = raw[i]});
    }
    for (uint32_t i = 0; i < pick->top_count; i++)
        pick->tops[i].logprob = log_probability(&scale, pick->tops[i].logprob);
}

static void add_bias(float *logits, const struct wire_sampling *s)
{
    for (size_t i = 0; i < s->bias_count; i++)
        logits[s->bias[i].id] += s->bias[i].bias;
}

static void penalize(float *logits, const struct wire_sampling *s,
                     const struct sampler_counts *counts)
{
    for (uint32_t i = 0; i < counts->slot_count; i++) {
        const struct sampler_count *slot = &counts->slots[i];
        if (slot->id_plus_one == 0) continue;
        float *logit = &logits[slot->id_plus_one - 1];
        *logit = *logit > 0 ? *logit / s->repetition_penalty : *logit * s->repetition_penalty;
        if (slot->emitted > 0)
            *logit -= s->frequency_penalty * (float)slot->emitted + s->presence_penalty;
    }
}

/* `logits` must stay for the cut, so the row that exp() is taken of is another one. */
static void weigh(struct sampler *sampler, const float *logits, float top, float temperature)
{
    float *share = sampler->share;
    for (uint32_t i = 0; i < sampler->vocab_size; i++)
        share[i] = (logits[i] - top) / temperature;
    (void)sampler->ops->exp_sum(share, share, 0, sampler->vocab_size);
    for (uint32_t i = 0; i < sampler->vocab_size; i++)
        sampler->mass[i] = (uint64_t)(int64_t)((double)share[i] * (double)MASS_ONE);
}

/* The cut. Ordered by (logit descending, id ascending), both top_k and top_p keep a prefix: the shortest whose weights
 * (1 each, or the masses) reach a target. A float's bits, with the sign folded in, order as integers do; so the
 * last logit that stays is found one digit at a time, in one histogram of weights for each digit. */

static uint32_t ordered(float logit)
{
    float plain = logit + 0.0f; // -0 and 0 are equal
    uint32_t bits;
    memcpy(&bits, &plain, sizeof bits);
    return bits & UINT32_C(0x80000000) ? ~bits : bits | UINT32_C(0x80000000);
}

enum weight {
    WEIGHT_ONE,
    WEIGHT_MASS
};

static uint64_t weight_of(const struct sampler *sampler, uint32_t id, enum weight weight)
{
    if (weight == WEIGHT_MASS) return sampler->mass[id];
    return sampler->mass[id] > 0;
}

/* Narrow `*prefix`, the digits above `shift` + `bits`, by the digit in which the target is reached; what
 * weighs in larger digits is taken off the target. */
static void cut_digit(struct sampler *sampler, const float *logits, enum weight weight,
                      uint32_t shift, uint32_t bits, uint32_t *prefix, uint64_t *target)
{
    memset(sampler->buckets, 0, sizeof sampler->buckets);
    for (uint32_t i = 0; i < sampler->vocab_size; i++) {
        uint32_t key = ordered(logits[i]);
        if ((uint64_t)key >> (shift + bits) != *prefix) continue;
        sampler->buckets[(key >> shift) & ((1u << bits) - 1)] += weight_of(sampler, i, weight);
    }
    uint32_t digit = 1u << bits;
    while (digit > 0 && sampler->buckets[--digit] < *target)
        *target -= sampler->buckets[digit];
    *prefix = (*prefix << bits) | digit;
}

/* Keep the shortest prefix that weighs at least `target` (which is from 1 to the weight of all). */
static void cut(struct sampler *sampler, const float *logits, enum weight weight, uint64_t target)
{
    uint32_t last = 0;
    uint32_t shift = 32;
    for (uint32_t digit = 0; digit < DIGITS; digit++) {
        uint32_t bits = digit + 1 < DIGITS ? DIGIT_BITS : 32 - 2 * DIGIT_BITS;
        shift -= bits;
        cut_digit(sampler, logits, weight, shift, bits, &last, &target);
    }
    for (uint32_t i = 0; i < sampler->vocab_size; i++) {
        uint32_t key = ordered(logits[i]);
        if (key > last) continue;
        uint64_t own = weight_of(sampler, i, weight);
        if (key < last || target == 0)
            sampler->mass[i] = 0;
        else
            target -= own < target ? own : target;
    }
}

static uint64_t total_mass(const struct sampler *sampler)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < sampler->vocab_size; i++)
        total += sampler->mass[i];
    return total;
}

static uint32_t total_left(const struct sampler *sampler)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < sampler->vocab_size; i++)
        left += sampler->mass[i] > 0;
    return left;
}

static void narrow(struct sampler *sampler, const float *logits, const struct wire_sampling *s)
{
    if (s->top_k > 0 && s->top_k < total_left(sampler)) cut(sampler, logits, WEIGHT_ONE, s->top_k);
    if (s->top_p < 1) {
        uint64_t target = (uint64_t)((double)total_mass(sampler) * (double)s->top_p);
        cut(sampler, logits, WEIGHT_MASS, target > 0 ? target : 1);
    }
    if (s->min_p > 0) {
        uint64_t floor = (uint64_t)((double)s->min_p * (double)MASS_ONE);
        for (uint32_t i = 0; i < sampler->vocab_size; i++) {
            if (sampler->mass[i] < floor) sampler->mass[i] = 0;
        }
    }
}

/* `bits` scaled to [0, total) points into the masses, ascending by id. */
static uint32_t point(const struct sampler *sampler, uint64_t bits)
{
    __extension__ typedef unsigned __int128 wide;
    uint64_t total = total_mass(sampler);
    uint64_t at = (uint64_t)(((wide)bits * total) >> 64);
    uint32_t id = 0;
    while (at >= sampler->mass[id]) {
        at -= sampler->mass[id];
        id++;
        must(id < sampler->vocab_size);
    }
    return id;
}

static uint32_t choose(struct sampler *sampler, const float *logits, const struct wire_sampling *s,
                       uint64_t bits)
{
    uint32_t best = largest(sampler->ops, logits, sampler->vocab_size);
    if (s->temperature == 0 || s->top_p == 0) return best;
    weigh(sampler, logits, logits[best], s->temperature);
    narrow(sampler, logits, s);
    return point(sampler, bits);
}

enum err sampler_draw(struct sampler *sampler, float *logits, const struct wire_sampling *s,
                      const struct sampler_counts *counts, const struct sampler_place *place,
                      struct sampler_pick *out)
{
    uint32_t vocab_size = sampler->vocab_size;
    if (s->logprobs) memcpy(sampler->raw, logits, vocab_size * sizeof *logits);
    add_bias(logits, s);
    if (sampler_penalizes(s)) penalize(logits, s, counts);
    // What was not finite before stays so, and a penalty can overflow a huge logit: one look finds both.
    TRY(check_logits(logits, vocab_size));

    out->id = (int32_t)choose(sampler, logits, s, rand_at(s->seed, place->choice, place->position));
    out->logprob = 0;
    out->top_count = 0;
    if (s->logprobs) report(sampler, s->top_logprobs, out);
    return ERR_OK;
}

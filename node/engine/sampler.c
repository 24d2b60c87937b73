#include "node/engine/sampler.h"

#include "node/engine/candidates.h"

#include "kernels/mathf.h"
#include "kernels/ops.h"
#include "kernels/team.h"

#include "base/mem.h"
#include "base/must.h"
#include "base/rand.h"

#include <string.h>

/* The share of the largest logit's id. */
#define MASS_ONE (UINT64_C(1) << 40)

enum {
    CHUNK = 16 * OPS_PEAK, // ids whose mass is summed at once: they stay in the first cache
    PART_CHUNKS = 16       // chunks that a thread takes at once, where a row is worth more than one
};

/* Beyond so many temperatures below the largest logit an id's mass is 0: 28 > log(2^40) = 27.73, with more to spare
 * than the float difference and quotient can lose. */
static const double mass_reach = 28;

struct sampler {
    const struct ops *ops;
    struct team *team; // NULL: alone
    uint32_t vocab_size;
    uint32_t peak_count;
    float *peaks;     // [ceil(vocab_size / 64)] of the logits
    float *raw_peaks; // of the model's own, where those are others
    float *raw;       // [vocab_size], the model's own logits, kept while the others are changed
    float *share;     // [vocab_size], exp() of a row; scratch
    uint64_t *masses; // [ceil(vocab_size / CHUNK)] of the chunks
    uint64_t *chunk;  // [CHUNK] of the ids of one
    size_t *strange;  // [ceil(vocab_size / CHUNK)] logits of a chunk that are not finite
    struct candidates *list;
};

struct sampler *sampler_new(uint32_t vocab_size, const struct ops *ops)
{
    struct sampler *sampler = mem_new(1, sizeof *sampler);
    sampler->ops = ops;
    sampler->vocab_size = vocab_size;
    sampler->peak_count = (vocab_size + OPS_PEAK - 1) / OPS_PEAK;
    sampler->peaks = mem_new(sampler->peak_count, sizeof *sampler->peaks);
    sampler->raw_peaks = mem_new(sampler->peak_count, sizeof *sampler->raw_peaks);
    sampler->raw = mem_new(vocab_size, sizeof *sampler->raw);
    sampler->share = mem_new(vocab_size, sizeof *sampler->share);
    sampler->masses = mem_new((vocab_size + CHUNK - 1) / CHUNK, sizeof *sampler->masses);
    sampler->chunk = mem_new(CHUNK, sizeof *sampler->chunk);
    sampler->strange = mem_new((vocab_size + CHUNK - 1) / CHUNK, sizeof *sampler->strange);
    sampler->list = candidates_new(vocab_size);
    return sampler;
}

void sampler_free(struct sampler *sampler)
{
    if (!sampler) return;
    mem_free(sampler->peaks);
    mem_free(sampler->raw_peaks);
    mem_free(sampler->raw);
    mem_free(sampler->share);
    mem_free(sampler->masses);
    mem_free(sampler->chunk);
    mem_free(sampler->strange);
    candidates_free(sampler->list);
    mem_free(sampler);
}

void sampler_use_team(struct sampler *sampler, struct team *team)
{
    sampler->team = team;
}

/* What is done to each chunk of a row. */
struct row_job {
    struct sampler *sampler;
    const float *logits;
    float *peaks;
    float top;
    float temperature;
};

static uint32_t chunk_size(const struct sampler *sampler, uint32_t chunk)
{
    uint32_t left = sampler->vocab_size - chunk * CHUNK;
    return left < CHUNK ? left : CHUNK;
}

static uint32_t chunk_count(const struct sampler *sampler)
{
    return (sampler->vocab_size + CHUNK - 1) / CHUNK;
}

/* Parts of PART_CHUNKS chunks, over the team where there are several. */
static void run_row(struct sampler *sampler, team_fn fn, struct row_job *job)
{
    uint32_t parts = (chunk_count(sampler) + PART_CHUNKS - 1) / PART_CHUNKS;
    job->sampler = sampler;
    if (sampler->team && parts > 1) {
        team_run(sampler->team, parts, fn, job);
        return;
    }
    for (uint32_t part = 0; part < parts; part++)
        fn(job, part, 0);
}

static uint32_t part_end(const struct sampler *sampler, size_t part)
{
    uint32_t end = (uint32_t)(part + 1) * PART_CHUNKS;
    return end < chunk_count(sampler) ? end : chunk_count(sampler);
}

static void peaks_part(void *argument, size_t part, size_t lane)
{
    (void)lane;
    const struct row_job *job = argument;
    struct sampler *sampler = job->sampler;
    for (uint32_t i = (uint32_t)part * PART_CHUNKS; i < part_end(sampler, part); i++) {
        sampler->strange[i] =
            sampler->ops->peaks(job->peaks + (size_t)i * (CHUNK / OPS_PEAK),
                                job->logits + (size_t)i * CHUNK, chunk_size(sampler, i));
    }
}

/* The peaks of a row; returns how many of its logits are not finite. */
static size_t find_peaks(struct sampler *sampler, float *peaks, const float *logits)
{
    struct row_job job = {.logits = logits, .peaks = peaks};
    run_row(sampler, peaks_part, &job);
    size_t strange = 0;
    for (uint32_t i = 0; i < chunk_count(sampler); i++)
        strange += sampler->strange[i];
    return strange;
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

/* `peaks` of `raw`: only blocks that reach the limit-th largest peak can hold one of the best. */
static void report(struct sampler *sampler, const float *raw, const float *peaks,
                   uint32_t top_count, struct sampler_pick *pick)
{
    uint32_t count = sampler->vocab_size;
    struct scale scale = {.top = sampler->ops->max(peaks, sampler->peak_count)};
    scale.log_sum = mathf_log(sampler->ops->exp_sum(sampler->share, raw, scale.top, count));
    pick->logprob = log_probability(&scale, raw[pick->id]);

    if (top_count > count) top_count = count;
    for (uint32_t block = 0; block < sampler->peak_count && top_count > 0; block++) {
        uint32_t have = pick->top_count;
        if (have == top_count && peaks[block] <= pick->tops[have - 1].logprob) continue;
        for (uint32_t i = block * OPS_PEAK; i < count && i < (block + 1) * OPS_PEAK; i++) {
            keep_top(pick->tops, &pick->top_count, top_count,
                     (struct wire_top){.id = (int32_t)i, .logprob = raw[i]});
        }
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

/* The lowest id of the largest logit. */
static uint32_t largest(const struct sampler *sampler, const float *logits, float top)
{
    uint32_t block = 0;
    while (sampler->peaks[block] != top)
        block++;
    uint32_t id = block * OPS_PEAK;
    while (logits[id] != top)
        id++;
    return id;
}

/* The lowest logit that may have mass: a float below this one is too far below the largest. */
static float reach_of(float top, double temperatures, float temperature)
{
    return (float)((double)top - temperatures * (double)temperature);
}

static uint64_t top_p_target(uint64_t total, float top_p)
{
    uint64_t target = (uint64_t)((double)total * (double)top_p);
    return target > 0 ? target : 1;
}

static uint64_t min_p_floor(float min_p)
{
    return (uint64_t)((double)min_p * (double)MASS_ONE);
}

/* The candidates are the ids of logits from `least` on that have mass. Returns that of all. */
static uint64_t gather(struct sampler *sampler, const float *logits, float least, float top,
                       float temperature)
{
    struct candidates *list = sampler->list;
    candidates_gather(list, logits, sampler->vocab_size, sampler->peaks, least);
    uint64_t total = sampler->ops->weigh(list->mass, list->logits, top, temperature, list->count);
    candidates_drop_below(list, 1);
    return total;
}

/* The k largest logits that have mass, and what top_p leaves of them. */
static void keep_top_k(struct sampler *sampler, const float *logits, float top,
                       const struct wire_sampling *s)
{
    struct candidates *list = sampler->list;
    float reach = reach_of(top, mass_reach, s->temperature);
    float least = reach;
    if (s->top_k <=
        sampler->peak_count) { // k blocks have a logit as large as the k-th largest peak
        float peak = candidates_kth(list, sampler->peaks, sampler->peak_count, s->top_k);
        if (peak > reach) least = peak;
    }
    gather(sampler, logits, least, top, s->temperature);
    // Some of the k may weigh nothing, at the very edge of what does: then others may come in.
    if (list->count < s->top_k && least > reach)
        gather(sampler, logits, reach, top, s->temperature);
    if (list->count > s->top_k) candidates_cut(list, CANDIDATES_ONE, s->top_k);
    if (s->top_p < 1)
        candidates_cut(list, CANDIDATES_MASS, top_p_target(candidates_mass(list), s->top_p));
}

/* The mass of the ids of a chunk, each one's in `out` [CHUNK]; 0, and nothing there, where none has any. */
static uint64_t weigh_chunk(const struct row_job *job, uint32_t chunk, uint64_t *out)
{
    const struct sampler *sampler = job->sampler;
    uint32_t count = chunk_size(sampler, chunk);
    const float *peaks = sampler->peaks + (size_t)chunk * (CHUNK / OPS_PEAK);
    float peak = sampler->ops->max(peaks, (count + OPS_PEAK - 1) / OPS_PEAK);
    if (peak < reach_of(job->top, mass_reach, job->temperature)) return 0;
    return sampler->ops->weigh(out, job->logits + (size_t)chunk * CHUNK, job->top, job->temperature,
                               count);
}

static void weigh_part(void *argument, size_t part, size_t lane)
{
    (void)lane;
    const struct row_job *job = argument;
    struct sampler *sampler = job->sampler;
    uint64_t mass[CHUNK];
    for (uint32_t i = (uint32_t)part * PART_CHUNKS; i < part_end(sampler, part); i++)
        sampler->masses[i] = weigh_chunk(job, i, mass);
}

/* The mass of all, and each chunk's in sampler->masses. */
static uint64_t weigh_all(struct sampler *sampler, struct row_job *job)
{
    run_row(sampler, weigh_part, job);
    uint64_t total = 0;
    for (uint32_t i = 0; i < chunk_count(sampler); i++)
        total += sampler->masses[i];
    return total;
}

/* The fewest largest logits of top_p of all mass: they are looked for among the largest, in ever wider circles. */
static void keep_top_p(struct sampler *sampler, const float *logits, float top,
                       const struct wire_sampling *s)
{
    static const double circles[] = {3, 6, 12, 28};
    struct row_job job = {.logits = logits, .top = top, .temperature = s->temperature};
    uint64_t target = top_p_target(weigh_all(sampler, &job), s->top_p);
    for (size_t i = 0; i < sizeof circles / sizeof *circles; i++) {
        float least = reach_of(top, circles[i], s->temperature);
        if (gather(sampler, logits, least, top, s->temperature) >= target) break;
    }
    candidates_cut(sampler->list, CANDIDATES_MASS, target);
}

/* Those whose mass can reach the floor: the logarithm's margin is far beyond its error and exp()'s. */
static void keep_min_p(struct sampler *sampler, const float *logits, float top,
                       const struct wire_sampling *s)
{
    double reach = 0.01 - mathd_log((double)min_p_floor(s->min_p) / (double)MASS_ONE);
    gather(sampler, logits, reach_of(top, reach, s->temperature), top, s->temperature);
}

/* `bits` scaled to [0, total) */
static uint64_t scaled(uint64_t bits, uint64_t total)
{
    __extension__ typedef unsigned __int128 wide;
    return (uint64_t)(((wide)bits * total) >> 64);
}

/* The id whose mass `at` points into, ascending. */
static uint32_t point(const uint64_t *mass, uint32_t count, uint64_t at)
{
    uint32_t i = 0;
    while (at >= mass[i]) {
        at -= mass[i];
        i++;
        must(i < count);
    }
    return i;
}

/* Nothing is cut: the chunk that is pointed into is found by the chunks' masses, then weighed once more. */
static uint32_t draw_of_all(struct sampler *sampler, const float *logits, float top,
                            float temperature, uint64_t bits)
{
    struct row_job job = {.logits = logits, .top = top, .temperature = temperature};
    uint64_t at = scaled(bits, weigh_all(sampler, &job));
    uint32_t chunk = 0;
    while (at >= sampler->masses[chunk]) {
        at -= sampler->masses[chunk];
        chunk++;
        must(chunk < chunk_count(sampler));
    }
    (void)weigh_chunk(&job, chunk, sampler->chunk);
    return chunk * CHUNK + point(sampler->chunk, CHUNK, at);
}

static uint32_t choose(struct sampler *sampler, const float *logits, const struct wire_sampling *s,
                       uint64_t bits)
{
    struct candidates *list = sampler->list;
    float top = sampler->ops->max(sampler->peaks, sampler->peak_count);
    if (s->temperature == 0 || s->top_p == 0) return largest(sampler, logits, top);
    uint64_t floor = min_p_floor(s->min_p);
    if (s->top_k > 0)
        keep_top_k(sampler, logits, top, s);
    else if (s->top_p < 1)
        keep_top_p(sampler, logits, top, s);
    else if (floor > 0)
        keep_min_p(sampler, logits, top, s);
    else
        return draw_of_all(sampler, logits, top, s->temperature, bits);
    candidates_drop_below(list, floor);
    return list->ids[point(list->mass, list->count, scaled(bits, candidates_mass(list)))];
}

enum err sampler_draw(struct sampler *sampler, float *logits, const struct wire_sampling *s,
                      const struct sampler_counts *counts, const struct sampler_place *place,
                      struct sampler_pick *out)
{
    uint32_t vocab_size = sampler->vocab_size;
    const float *raw = logits;
    const float *raw_peaks = sampler->peaks;
    bool changes = s->bias_count > 0 || sampler_penalizes(s);
    if (s->logprobs && changes) {
        memcpy(sampler->raw, logits, vocab_size * sizeof *logits);
        (void)find_peaks(sampler, sampler->raw_peaks, logits);
        raw = sampler->raw;
        raw_peaks = sampler->raw_peaks;
    }
    add_bias(logits, s);
    if (sampler_penalizes(s)) penalize(logits, s, counts);
    // What was not finite before stays so, and a penalty can overflow a huge logit: one look finds both.
    size_t strange = find_peaks(sampler, sampler->peaks, logits);
    if (strange > 0) {
        return err_note(ERR_INTERNAL, "%zu of %u logits are not finite numbers", strange,
                        vocab_size);
    }

    out->id = (int32_t)choose(sampler, logits, s, rand_at(s->seed, place->choice, place->position));
    out->logprob = 0;
    out->top_count = 0;
    if (s->logprobs) report(sampler, raw, raw_peaks, s->top_logprobs, out);
    return ERR_OK;
}

#include "node/engine/sampler.h"
#include "tests/test.h"

#include "kernels/cpu.h"
#include "kernels/mathf.h"
#include "kernels/ops.h"
#include "kernels/select.h"
#include "kernels/team.h"

#include "base/mem.h"
#include "base/rand.h"

#include <math.h>
#include <string.h>

enum {
    VOCAB_MAX = 9000
};

static struct ops ops; // the rung on which the samplers below run

static const struct wire_sampling plain = {.temperature = 1, .top_p = 1, .repetition_penalty = 1};

/* The reference: every step of sampler.h done the long way, with the whole vocabulary sorted. */

struct ranked {
    float logit;
    int32_t id;
    uint64_t mass;
};

static int by_logit(const void *left, const void *right)
{
    const struct ranked *a = left;
    const struct ranked *b = right;
    if (a->logit != b->logit) return a->logit > b->logit ? -1 : 1;
    return a->id - b->id;
}

static int by_id(const void *left, const void *right)
{
    return ((const struct ranked *)left)->id - ((const struct ranked *)right)->id;
}

struct history {
    int32_t ids[64];
    size_t count;
    size_t prompt_length;
};

static void adjust(float *logits, uint32_t vocab, const struct wire_sampling *s,
                   const struct history *history)
{
    for (size_t i = 0; i < s->bias_count; i++)
        logits[s->bias[i].id] += s->bias[i].bias;
    for (uint32_t id = 0; id < vocab; id++) {
        bool seen = false;
        unsigned emitted = 0;
        for (size_t i = 0; i < history->count; i++) {
            if (history->ids[i] != (int32_t)id) continue;
            seen = true;
            emitted += i >= history->prompt_length;
        }
        if (!seen) continue;
        float r = s->repetition_penalty;
        logits[id] = logits[id] > 0 ? logits[id] / r : logits[id] * r;
        if (emitted) logits[id] -= s->frequency_penalty * (float)emitted + s->presence_penalty;
    }
}

static int32_t reference_draw(float *logits, uint32_t vocab, const struct wire_sampling *s,
                              const struct history *history, uint64_t bits)
{
    static struct ranked all[VOCAB_MAX];
    adjust(logits, vocab, s, history);
    for (uint32_t i = 0; i < vocab; i++)
        all[i] = (struct ranked){.logit = logits[i], .id = (int32_t)i};
    qsort(all, vocab, sizeof *all, by_logit);
    if (s->temperature == 0 || s->top_p == 0) return all[0].id;

    uint64_t total = 0;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < vocab; i++) {
        float x = (all[i].logit - all[0].logit) / s->temperature;
        all[i].mass = (uint64_t)((double)mathf_exp(x) * 0x1p40);
        if (all[i].mass == 0 || (s->top_k > 0 && i >= s->top_k)) break;
        total += all[i].mass;
        kept++;
    }
    uint64_t target = (uint64_t)((double)total * (double)s->top_p);
    if (s->top_p < 1) {
        uint64_t mass = all[0].mass;
        uint32_t count = 1;
        while (mass < target)
            mass += all[count++].mass;
        kept = count;
    }
    while (kept > 1 && all[kept - 1].mass < (uint64_t)((double)s->min_p * 0x1p40))
        kept--;

    qsort(all, kept, sizeof *all, by_id);
    total = 0;
    for (uint32_t i = 0; i < kept; i++)
        total += all[i].mass;
    __extension__ typedef unsigned __int128 wide;
    uint64_t at = (uint64_t)(((wide)bits * total) >> 64);
    uint32_t i = 0;
    for (; at >= all[i].mass; i++)
        at -= all[i].mass;
    return all[i].id;
}

/* Logits on a coarse grid have many ties, on a fine one none. */
static void given_logits(float *logits, uint32_t vocab, struct rand *rand)
{
    static const float steps[] = {0, 0.001f, 0.5f, 4};
    float step = steps[rand_below(rand, 4)];
    float spread = (float)rand_below(rand, 40) + 0.5f;
    if (rand_below(rand, 4) == 0) spread *= 20; // most ids weigh nothing
    for (uint32_t i = 0; i < vocab; i++) {
        float value = ((float)rand_unit(rand_next(rand)) - 0.5f) * spread;
        logits[i] = step > 0 ? (float)(int)(value / step) * step : value;
        if (logits[i] == 0 && rand_below(rand, 2)) logits[i] = -0.0f;
    }
}

static struct wire_sampling given_sampling(struct rand *rand, uint32_t vocab)
{
    static const float temperatures[] = {0, 0.2f, 0.7f, 1, 1.5f, 10};
    static const float top_ps[] = {0, 0.01f, 0.5f, 0.9f, 0.999f, 1, 1, 1};
    static const float min_ps[] = {0, 0, 0.05f, 0.5f, 1};
    static const uint32_t top_ks[] = {0, 0, 1, 2, 40, 100000};
    static struct wire_bias bias[8];
    struct wire_sampling s = {
        .temperature = temperatures[rand_below(rand, 6)],
        .top_p = top_ps[rand_below(rand, 8)],
        .min_p = min_ps[rand_below(rand, 5)],
        .top_k = top_ks[rand_below(rand, 6)],
        .repetition_penalty = rand_below(rand, 2) ? 1 : 1.3f,
        .frequency_penalty = rand_below(rand, 2) ? 0 : 0.7f,
        .presence_penalty = rand_below(rand, 2) ? 0 : -0.4f,
        .seed = rand_next(rand),
        .bias = bias,
        .bias_count = rand_below(rand, 9),
    };
    for (size_t i = 0; i < s.bias_count; i++)
        bias[i] =
            (struct wire_bias){(int32_t)rand_below(rand, vocab), (float)rand_below(rand, 21) - 10};
    return s;
}

static struct history given_history(struct rand *rand, uint32_t vocab)
{
    struct history history = {.count = rand_below(rand, 64)};
    history.prompt_length = rand_below(rand, history.count + 1);
    for (size_t i = 0; i < history.count; i++)
        history.ids[i] = (int32_t)rand_below(rand, vocab < 20 ? vocab : 20);
    return history;
}

static void it_draws_what_a_full_sort_draws(void **state)
{
    (void)state;
    static float logits[VOCAB_MAX];
    static float copy[VOCAB_MAX];
    struct rand rand;
    rand_init(&rand, 1);
    for (int round = 0; round < 4000; round++) {
        uint32_t vocab = round % 20 == 0 ? VOCAB_MAX - (uint32_t)rand_below(&rand, 200)
                                         : 1 + (uint32_t)rand_below(&rand, 300);
        struct sampler *sampler = sampler_new(vocab, &ops);
        given_logits(logits, vocab, &rand);
        memcpy(copy, logits, sizeof copy);
        struct wire_sampling s = given_sampling(&rand, vocab);
        assert_int_equal(sampler_check(&s, vocab), ERR_OK);
        struct history history = given_history(&rand, vocab);
        struct sampler_count slots[256] = {0};
        struct sampler_counts counts;
        assert_true(sampler_counts_slots(64) <= 256);
        sampler_counts_init(&counts, slots, sampler_counts_slots(64));
        for (size_t i = 0; i < history.count; i++)
            sampler_counts_add(&counts, history.ids[i], i >= history.prompt_length);

        struct sampler_place place = {.choice = (uint32_t)rand_below(&rand, 4), .position = round};
        struct sampler_pick pick;
        assert_int_equal(sampler_draw(sampler, logits, &s, &counts, &place, &pick), ERR_OK);
        int32_t want = reference_draw(copy, vocab, &s, &history,
                                      rand_at(s.seed, place.choice, place.position));
        assert_int_equal(pick.id, want);
        assert_memory_equal(logits, copy, vocab * sizeof *logits);
        sampler_free(sampler);
    }
}

static int32_t draw_one(float *logits, uint32_t vocab, const struct wire_sampling *s,
                        const struct sampler_place *place, struct sampler_pick *pick)
{
    struct sampler *sampler = sampler_new(vocab, &ops);
    assert_int_equal(sampler_draw(sampler, logits, s, NULL, place, pick), ERR_OK);
    sampler_free(sampler);
    return pick->id;
}

/* A vocabulary of a real size, in which a row is many parts. */
static void a_team_draws_what_one_thread_draws(void **state)
{
    (void)state;

    enum {
        VOCAB = 100000
    };

    struct team *team;
    assert_int_equal(team_new(&team, 3), ERR_OK);
    struct sampler *alone = sampler_new(VOCAB, &ops);
    struct sampler *shared = sampler_new(VOCAB, &ops);
    sampler_use_team(shared, team);
    float *logits = mem_new(VOCAB, sizeof *logits);
    float *copy = mem_new(VOCAB, sizeof *copy);
    struct rand rand;
    rand_init(&rand, 9);
    for (int round = 0; round < 40; round++) {
        given_logits(logits, VOCAB, &rand);
        struct wire_sampling s = given_sampling(&rand, VOCAB);
        s.repetition_penalty = 1;
        s.frequency_penalty = s.presence_penalty = 0;
        s.logprobs = round % 2;
        s.top_logprobs = 5;
        if (round % 10 == 7) logits[rand_below(&rand, VOCAB)] = NAN;
        memcpy(copy, logits, VOCAB * sizeof *copy);
        struct sampler_place place = {.position = (uint64_t)round};
        struct sampler_pick want = {0};
        struct sampler_pick got = {0};
        assert_int_equal(sampler_draw(alone, logits, &s, NULL, &place, &want),
                         sampler_draw(shared, copy, &s, NULL, &place, &got));
        assert_int_equal(got.id, want.id);
        assert_true(got.logprob == want.logprob);
        assert_memory_equal(got.tops, want.tops, sizeof want.tops);
    }
    mem_free(logits);
    mem_free(copy);
    sampler_free(alone);
    sampler_free(shared);
    team_free(team);
}

/* Ids at the very edge of what has mass: they are drawn when the point falls on them, once in millions. */
static void an_id_of_next_to_no_mass_is_drawn_in_its_turn(void **state)
{
    (void)state;

    enum {
        VOCAB = 100000,
        TRIES = 40000000
    };

    __extension__ typedef unsigned __int128 wide;

    float *logits = mem_new(VOCAB, sizeof *logits);
    for (size_t i = 0; i + 1 < VOCAB; i++)
        logits[i] = -27;
    uint64_t mass = (uint64_t)((double)mathf_exp(-27) * 0x1p40);
    assert_int_equal(mass, 2);
    uint64_t total = mass * (VOCAB - 1) + (UINT64_C(1) << 40);
    struct wire_sampling s = plain;
    struct sampler_place place = {0};
    uint64_t at = UINT64_MAX;
    for (; place.position < TRIES; place.position++) {
        at = (uint64_t)(((wide)rand_at(s.seed, 0, place.position) * total) >> 64);
        if (at < mass * (VOCAB - 1)) break;
    }
    assert_true(at < mass * (VOCAB - 1));
    struct sampler_pick pick;
    assert_int_equal(draw_one(logits, VOCAB, &s, &place, &pick), at / mass);
    s.top_k = VOCAB;
    assert_int_equal(draw_one(logits, VOCAB, &s, &place, &pick), at / mass);
    mem_free(logits);
}

static void ties_break_to_the_lower_id(void **state)
{
    (void)state;
    struct sampler_pick pick;
    struct wire_sampling s = plain;
    struct sampler_place place = {0};

    s.temperature = 0;
    float greedy[] = {-1, 2, 0, 2, -0.0f};
    assert_int_equal(draw_one(greedy, 5, &s, &place, &pick), 1);

    s.temperature = 1;
    s.top_p = 0;
    assert_int_equal(draw_one(greedy, 5, &s, &place, &pick), 1);

    s.top_p = 1;
    s.top_k = 3; // 1, 3 and the first of the zeros, whatever their sign
    for (uint64_t i = 0; i < 200; i++) {
        place.position = i;
        assert_in_range(draw_one(greedy, 5, &s, &place, &pick), 1, 3);
    }
}

static void the_draw_follows_the_probabilities(void **state)
{
    (void)state;
    unsigned seen[3] = {0};
    struct wire_sampling s = plain;
    s.seed = 7;
    for (uint64_t i = 0; i < 20000; i++) {
        float logits[] = {0, mathf_log(3), mathf_log(6)}; // 1 : 3 : 6
        struct sampler_place place = {.position = i};
        struct sampler_pick pick;
        seen[draw_one(logits, 3, &s, &place, &pick)]++;
    }
    assert_in_range(seen[0], 1800, 2200);
    assert_in_range(seen[1], 5700, 6300);
    assert_in_range(seen[2], 11700, 12300);
}

static void chance_depends_on_seed_choice_and_position_alone(void **state)
{
    (void)state;
    struct wire_sampling s = plain;
    unsigned differing = 0;
    for (uint64_t i = 0; i < 64; i++) {
        struct sampler_pick first;
        struct sampler_pick again;
        struct sampler_pick other;
        float a[100] = {0};
        float b[100] = {0};
        float c[100] = {0};
        struct sampler_place place = {.choice = 1, .position = i};
        struct sampler_place elsewhere = {.choice = 2, .position = i};
        draw_one(a, 100, &s, &place, &first);
        draw_one(b, 100, &s, &place, &again);
        draw_one(c, 100, &s, &elsewhere, &other);
        assert_int_equal(first.id, again.id);
        differing += first.id != other.id;
    }
    assert_true(differing > 50);
}

static void log_probabilities_are_of_the_models_own_logits(void **state)
{
    (void)state;
    float logits[] = {1, 3, 2, 3, -50};
    struct wire_bias bias = {.id = 0, .bias = 100};
    struct wire_sampling s = plain;
    s.temperature = 0;
    s.logprobs = true;
    s.top_logprobs = 4;
    s.bias = &bias;
    s.bias_count = 1;
    struct sampler_place place = {0};
    struct sampler_pick pick;
    assert_int_equal(draw_one(logits, 5, &s, &place, &pick), 0);

    double sum = exp(1) + 2 * exp(3) + exp(2) + exp(-50);
    assert_float_equal(pick.logprob, (float)(1 - log(sum)), 1e-6f);
    static const int32_t order[] = {1, 3, 2, 0};
    static const double value[] = {3, 3, 2, 1};
    assert_int_equal(pick.top_count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pick.tops[i].id, order[i]);
        assert_float_equal(pick.tops[i].logprob, (float)(value[i] - log(sum)), 1e-6f);
    }
}

static void more_top_logprobs_than_ids_gives_all_ids(void **state)
{
    (void)state;
    float logits[] = {1, 2};
    struct wire_sampling s = plain;
    s.logprobs = true;
    s.top_logprobs = WIRE_TOP_LOGPROBS_MAX;
    struct sampler_place place = {0};
    struct sampler_pick pick;
    draw_one(logits, 2, &s, &place, &pick);
    assert_int_equal(pick.top_count, 2);
    assert_int_equal(pick.tops[0].id, 1);
}

static void a_logit_that_is_no_number_is_an_error(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    struct wire_sampling s = plain;
    struct sampler_place place = {0};
    struct sampler *sampler = sampler_new(3, &ops);
    for (size_t i = 0; i < 3; i++) {
        float logits[] = {0, bad[i], 1};
        struct sampler_pick pick = {.id = 77};
        assert_int_equal(sampler_draw(sampler, logits, &s, NULL, &place, &pick), ERR_INTERNAL);
        assert_int_equal(pick.id, 77);
    }
    sampler_free(sampler);
}

static void parameters_out_of_range_are_refused_by_name(void **state)
{
    (void)state;
    struct wire_bias outside = {.id = 100, .bias = 1};
    struct wire_bias no_number = {.id = 1, .bias = NAN};

    struct {
        const char *name;
        struct wire_sampling s;
    } cases[] = {
        {"temperature", plain},
        {"temperature", plain},
        {"top_p", plain},
        {"min_p", plain},
        {"repetition_penalty", plain},
        {"frequency_penalty", plain},
        {"presence_penalty", plain},
        {"top_logprobs", plain},
        {"logit_bias", plain},
        {"logit_bias", plain},
    };

    cases[0].s.temperature = -1;
    cases[1].s.temperature = NAN;
    cases[2].s.top_p = 1.01f;
    cases[3].s.min_p = -0.1f;
    cases[4].s.repetition_penalty = 0;
    cases[5].s.frequency_penalty = INFINITY;
    cases[6].s.presence_penalty = -1e9f;
    cases[7].s.top_logprobs = WIRE_TOP_LOGPROBS_MAX + 1;
    cases[8].s.bias = &outside;
    cases[8].s.bias_count = 1;
    cases[9].s.bias = &no_number;
    cases[9].s.bias_count = 1;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(sampler_check(&cases[i].s, 100), ERR_INVALID);
        assert_non_null(strstr(err_text(), cases[i].name));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_draws_what_a_full_sort_draws),
        cmocka_unit_test(a_team_draws_what_one_thread_draws),
        cmocka_unit_test(an_id_of_next_to_no_mass_is_drawn_in_its_turn),
        cmocka_unit_test(ties_break_to_the_lower_id),
        cmocka_unit_test(the_draw_follows_the_probabilities),
        cmocka_unit_test(chance_depends_on_seed_choice_and_position_alone),
        cmocka_unit_test(log_probabilities_are_of_the_models_own_logits),
        cmocka_unit_test(more_top_logprobs_than_ids_gives_all_ids),
        cmocka_unit_test(a_logit_that_is_no_number_is_an_error),
        cmocka_unit_test(parameters_out_of_range_are_refused_by_name),
    };
    int failed = 0;
    for (size_t i = 0; i < cpu_rung_count(); i++) {
        if (!cpu_rung_usable(cpu_rung_at(i))) continue;
        ops_select(&ops, cpu_rung_at(i)->features);
        failed += cmocka_run_group_tests_name(cpu_rung_at(i)->name, tests, NULL, NULL);
    }
    return failed;
}

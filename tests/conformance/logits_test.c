/* The logits of every file of the shared data against the float64 reference, on every rung: mean
 * KL(reference || ours) within the limits of the data's README. */
#include "node/engine/kv.h"
#include "node/probe/decoder.h"
#include "tests/support/same_bits.h"
#include "tests/test.h"

#include "kernels/cpu.h"

#include "base/mem.h"

#include <jansson.h>

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

enum {
    SEQUENCES = 64,
    VOCAB = 2051
};

#define FLOAT_LIMIT  1e-4 // F16, BF16: mean KL of a file
#define FILE_LIMIT   1.6  // quantised: of a file, times llama.cpp's
#define POOLED_LIMIT 1.25 // quantised: of all files of a type, times llama.cpp's
#define INT8_LIMIT   3e-3 // KL(f16 KV || int8 KV): mean of a file

static const char *const float_files[] = {"llama-F16", "qwen3-F16", "llama-BF16"};

enum {
    ARCHITECTURES_MAX = 4
};

/* The files that there are of each quantised type: ARCHITECTURE-TYPE. */
static const struct {
    const char *type;
    const char *architectures[ARCHITECTURES_MAX];
} quantised[] = {
    {"Q8_0", {"llama", "qwen2", "qwen2w", "qwen3"}},
    {"Q4_0", {"llama", "qwen2", "qwen2w", "qwen3"}},
    {"Q4_K_M", {"llama", "qwen2", "qwen2w", "qwen3"}},
    {"Q5_0", {"qwen2"}},
    {"Q5_K_M", {"llama"}},
    {"Q6_K", {"qwen2w", "qwen3"}},
};

/* A path in the shared logits folder, borrowed until the next call. */
static const char *shared(const char *name, const char *ending)
{
    char relative[96];
    snprintf(relative, sizeof relative, "logits/%s%s", name, ending);
    return test_shared(relative);
}

static double log_sum_exp(const float *logits)
{
    double top = (double)logits[0];
    for (size_t i = 1; i < VOCAB; i++)
        top = fmax(top, (double)logits[i]);
    double sum = 0;
    for (size_t i = 0; i < VOCAB; i++)
        sum += exp((double)logits[i] - top);
    return top + log(sum);
}

/* KL(reference || ours) of one position. */
static double divergence(const float *reference, const float *ours)
{
    double reference_norm = log_sum_exp(reference);
    double our_norm = log_sum_exp(ours);
    double sum = 0;
    for (size_t i = 0; i < VOCAB; i++) {
        double p = (double)reference[i] - reference_norm;
        sum += exp(p) * (p - ((double)ours[i] - our_norm));
    }
    return sum;
}

static float *given_reference(const char *name)
{
    const char *path = shared(name, ".logits.f32");
    assert_non_null(path);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    float *logits = mem_new((size_t)SEQUENCES * VOCAB, sizeof *logits);
    assert_int_equal(fread(logits, sizeof *logits, (size_t)SEQUENCES * VOCAB, file),
                     SEQUENCES * VOCAB);
    fclose(file);
    return logits;
}

/* llama.cpp's mean KL on the same file. */
static double given_limit(const char *name)
{
    FILE *file = fopen(shared("llama.cpp-divergence", ".tsv"), "r");
    assert_non_null(file);
    char line[256];
    double mean = 0;
    size_t size = strlen(name);
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, name, size) == 0 && line[size] == '\t')
            mean = strtod(line + size + 1, NULL);
    }
    fclose(file);
    assert_true(mean > 0);
    return mean;
}

static void sequence_logits(struct decoder *decoder, const json_t *sequence, float *out)
{
    uint32_t count = (uint32_t)json_array_size(sequence);
    int32_t *ids = mem_new(count, sizeof *ids);
    for (uint32_t i = 0; i < count; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(sequence, i));
    struct kv_table table;
    kv_table_init(&table, count);
    assert_int_equal(decoder_extend(decoder, &table, ids, count, 0), ERR_OK);
    memcpy(out, forward_logits(decoder->forward, 0), VOCAB * sizeof *out);
    kv_table_fini(decoder->pool, &table);
    mem_free(ids);
}

/* [SEQUENCES][VOCAB], the caller's to mem_free(). */
static float *our_logits(const char *name, const char *rung, enum kv_kind kv)
{
    struct decoder_options options = {
        .model = shared(name, ".gguf"), .rung = rung, .threads = 2, .kv = kv, .context_max = 128};
    struct decoder *decoder;
    if (decoder_new(&decoder, &options) != ERR_OK) fail_msg("%s", err_text());
    float *logits = mem_new((size_t)SEQUENCES * VOCAB, sizeof *logits);
    json_t *sequences = json_load_file(shared("tokens", ".json"), 0, NULL);
    assert_int_equal(json_array_size(sequences), SEQUENCES);
    for (size_t i = 0; i < SEQUENCES; i++)
        sequence_logits(decoder, json_array_get(sequences, i), logits + i * VOCAB);
    json_decref(sequences);
    decoder_free(decoder);
    return logits;
}

static double mean_of(const float *reference, const float *ours)
{
    double sum = 0;
    for (size_t i = 0; i < SEQUENCES; i++)
        sum += divergence(reference + i * VOCAB, ours + i * VOCAB);
    return sum / SEQUENCES;
}

static double mean_divergence(const char *name, const char *rung)
{
    float *reference = given_reference(name);
    float *ours = our_logits(name, rung, KV_F16);
    double mean = mean_of(reference, ours);
    mem_free(reference);
    mem_free(ours);
    return mean;
}

/* Under the sanitizers the scalar column takes minutes; that it gives the other's bits is shown elsewhere. */
static bool worth_walking(const struct cpu_rung *rung)
{
    if (!cpu_rung_usable(rung)) return false;
#ifdef QIAO_SANITIZED
    return rung->features == 0 ? !cpu_rung_usable(cpu_rung_at(cpu_rung_count() - 1)) : true;
#else
    return true;
#endif
}

/* All files of one type on one rung. */
static void check_type(const char *type, const char *const *architectures, const char *rung)
{
    double ours = 0;
    double theirs = 0;
    for (size_t i = 0; i < ARCHITECTURES_MAX && architectures[i]; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s-%s", architectures[i], type);
        double limit = given_limit(name);
        double mean = mean_divergence(name, rung);
        print_message("%-10s %-14s mean KL %.3e, %.2f x llama.cpp's\n", rung, name, mean,
                      mean / limit);
        assert_true(mean >= 0 && mean <= FILE_LIMIT * limit);
        ours += mean;
        theirs += limit;
    }
    assert_true(theirs > 0);
    print_message("%-10s %s pooled: %.3f x llama.cpp's\n", rung, type, ours / theirs);
    assert_true(ours <= POOLED_LIMIT * theirs);
}

static void quantised_files_stay_within_the_divergence_limits_on_every_rung(void **state)
{
    (void)state;
    if (!shared("tokens", ".json")) skip();
    for (size_t r = 0; r < cpu_rung_count(); r++) {
        const struct cpu_rung *rung = cpu_rung_at(r);
        if (!worth_walking(rung)) continue;
        for (size_t i = 0; i < sizeof quantised / sizeof *quantised; i++)
            check_type(quantised[i].type, quantised[i].architectures, rung->name);
    }
}

static void float_files_stay_within_the_divergence_limit_on_every_rung(void **state)
{
    (void)state;
    if (!shared("tokens", ".json")) skip();
    for (size_t r = 0; r < cpu_rung_count(); r++) {
        const struct cpu_rung *rung = cpu_rung_at(r);
        if (!worth_walking(rung)) continue;
        for (size_t i = 0; i < sizeof float_files / sizeof *float_files; i++) {
            double mean = mean_divergence(float_files[i], rung->name);
            print_message("%-8s %-12s mean KL %.3e\n", rung->name, float_files[i], mean);
            assert_true(mean >= 0 && mean <= FLOAT_LIMIT);
        }
    }
}

/* What docs/numerics.md states; the rungs give the same bits, so one is enough. */
static void int8_keys_and_values_move_the_logits_little(void **state)
{
    (void)state;
    static const char *const names[] = {"llama-F16",  "qwen3-F16",   "llama-Q8_0",
                                        "qwen2-Q8_0", "qwen2w-Q8_0", "qwen3-Q8_0"};
    if (!shared("tokens", ".json")) skip();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        float *reference = given_reference(names[i]);
        float *plain = our_logits(names[i], NULL, KV_F16);
        float *small = our_logits(names[i], NULL, KV_INT8);
        double moved = mean_of(plain, small);
        print_message(
            "int8 KV  %-12s mean KL to f16 KV %.3e, reference to int8 %.3e, to f16 %.3e\n",
            names[i], moved, mean_of(reference, small), mean_of(reference, plain));
        assert_true(moved > 0 && moved <= INT8_LIMIT);
        mem_free(reference);
        mem_free(plain);
        mem_free(small);
    }
}

static void shared_models_give_the_same_bits_every_way(void **state)
{
    (void)state;
    static const char *const names[] = {
        "llama-Q8_0",    "qwen2w-Q8_0", "qwen3-Q8_0",   "llama-F16",  "qwen3-F16", "llama-BF16",
        "qwen2w-Q4_K_M", "qwen3-Q6_K",  "llama-Q5_K_M", "qwen2-Q5_0", "qwen2-Q4_0"};
    if (!shared("tokens", ".json")) skip();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = mem_copy_text(shared(names[i], ".gguf"));
        assert_non_null(path);
        assert_same_bits(path, 45, KV_F16);
        assert_same_bits(path, 45, KV_INT8);
        mem_free(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantised_files_stay_within_the_divergence_limits_on_every_rung),
        cmocka_unit_test(float_files_stay_within_the_divergence_limit_on_every_rung),
        cmocka_unit_test(int8_keys_and_values_move_the_logits_little),
        cmocka_unit_test(shared_models_give_the_same_bits_every_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

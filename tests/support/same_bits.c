#include "tests/support/same_bits.h"

#include "node/engine/kv.h"
#include "node/probe/decoder.h"
#include "tests/test.h"

#include "kernels/cpu.h"

#include "base/mem.h"
#include "base/rand.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

enum {
    SEQUENCES = 4,
    ROWS = 160, // of one step
    PREFIX = 34 // ids that neighbours begin with: a block and a part of one
};

/* A way of computing. */
struct way {
    const char *rung;
    uint32_t threads;
    uint32_t chunk; // tokens that a sequence takes in one step at most
    bool mates;     // all sequences together, or each alone
    bool prefix;    // begin on blocks that another sequence wrote
    enum kv_kind kv;
};

struct sequence {
    int32_t *ids;
    uint32_t count;
    struct kv_table table;
};

/* Sequence i is shorter than the one before it, and begins with some of its ids. */
static void given_sequences(struct sequence *sequences, uint32_t length, uint32_t vocab_size)
{
    struct rand rand;
    rand_init(&rand, length);
    for (uint32_t i = 0; i < SEQUENCES; i++) {
        sequences[i].count = length - i * (length / 6);
        sequences[i].ids = mem_new(length, sizeof(int32_t));
        for (uint32_t at = 0; at < sequences[i].count; at++) {
            sequences[i].ids[at] = i > 0 && at < PREFIX ? sequences[i - 1].ids[at]
                                                        : (int32_t)rand_below(&rand, vocab_size);
        }
    }
}

static struct decoder *given_decoder(const char *model, const struct way *way, uint32_t length)
{
    struct decoder_options options = {
        .model = model,
        .rung = way->rung,
        .threads = way->threads,
        .kv = way->kv,
        .context_max = length,
        .rows_max = ROWS,
        .sequences_max = ROWS, // so that every row of a step may ask for logits
    };
    struct decoder *decoder;
    if (decoder_new(&decoder, &options) != ERR_OK) fail_msg("%s", err_text());
    return decoder;
}

/* The tokens of `sequence` that fit the next step, as a slice; false when it is at its end. */
static bool next_slice(struct decoder *d, struct sequence *sequence, uint32_t rows_left,
                       uint32_t chunk, struct forward_slice *slice)
{
    uint32_t done = sequence->table.token_count;
    uint32_t count = sequence->count - done;
    if (count > chunk) count = chunk;
    if (count > rows_left) count = rows_left;
    if (count == 0) return false;
    assert_int_equal(kv_extend(d->pool, &sequence->table, count), ERR_OK);
    *slice = (struct forward_slice){
        .ids = sequence->ids + done,
        .count = count,
        .position = done,
        .table = &sequence->table,
        .logit_count = count,
    };
    return true;
}

/* One step over as much of sequences [first, last) as fits; logits of every row go to their place in `out`,
 * [SEQUENCES][length][vocab_size]. */
static bool step(struct decoder *d, struct sequence *sequences, uint32_t first, uint32_t last,
                 const struct way *way, float *out, uint32_t length)
{
    struct forward_slice slices[SEQUENCES];
    uint32_t owners[SEQUENCES];
    uint32_t slice_count = 0;
    uint32_t rows = 0;
    for (uint32_t i = first; i < last; i++) {
        if (!next_slice(d, &sequences[i], ROWS - rows, way->chunk, &slices[slice_count])) continue;
        rows += slices[slice_count].count;
        owners[slice_count++] = i;
    }
    if (slice_count == 0) return false;
    forward_step(d->forward, slices, slice_count);
    size_t vocab_size = model_shape(d->model)->vocab_size;
    size_t index = 0;
    for (uint32_t s = 0; s < slice_count; s++) {
        for (uint32_t at = 0; at < slices[s].count; at++, index++) {
            size_t row = (size_t)owners[s] * length + slices[s].position + at;
            memcpy(out + row * vocab_size, forward_logits(d->forward, index),
                   vocab_size * sizeof *out);
        }
    }
    return true;
}

/* Sequence i > 0 holds the blocks of the ids with which the one before it begins too, but for the last of them;
 * their logits are the other's, so they are not compared. */
static void share_prefix(struct decoder *d, struct sequence *sequences, uint32_t i)
{
    uint32_t shared = sequences[i].count < PREFIX ? sequences[i].count : PREFIX;
    kv_share(d->pool, &sequences[i].table, &sequences[i - 1].table, shared - 1);
}

static void compute(const char *model, const struct way *way, struct sequence *sequences,
                    float *out, uint32_t length)
{
    struct decoder *d = given_decoder(model, way, length);
    for (uint32_t i = 0; i < SEQUENCES; i++)
        kv_table_init(&sequences[i].table, length);
    if (way->mates) {
        while (step(d, sequences, 0, SEQUENCES, way, out, length)) {
        }
    } else {
        for (uint32_t i = 0; i < SEQUENCES; i++) {
            if (way->prefix && i > 0) share_prefix(d, sequences, i);
            while (step(d, sequences, i, i + 1, way, out, length)) {
            }
        }
    }
    for (uint32_t i = 0; i < SEQUENCES; i++)
        kv_table_fini(d->pool, &sequences[i].table);
    assert_int_equal(kv_blocks_free(d->pool), kv_blocks_total(d->pool));
    decoder_free(d);
}

static void compare(const struct way *way, const struct sequence *sequences, const float *want,
                    const float *got, uint32_t length, uint32_t vocab_size)
{
    for (uint32_t i = 0; i < SEQUENCES; i++) {
        for (uint32_t at = 0; at < sequences[i].count; at++) {
            if (way->prefix && i > 0 && at < PREFIX - 1) continue;
            size_t row = ((size_t)i * length + at) * vocab_size;
            if (memcmp(want + row, got + row, vocab_size * sizeof *want) == 0) continue;
            fail_msg("rung %s, %" PRIu32 " threads, chunk %" PRIu32 ", %s%s: sequence %" PRIu32
                     ", position %" PRIu32 " differs",
                     way->rung, way->threads, way->chunk, way->mates ? "with mates" : "alone",
                     way->prefix ? ", on a shared prefix" : "", i, at);
        }
    }
}

static bool usable(const char *rung)
{
    for (size_t i = 0; i < cpu_rung_count(); i++) {
        if (strcmp(cpu_rung_at(i)->name, rung) == 0) return cpu_rung_usable(cpu_rung_at(i));
    }
    return false;
}

static uint32_t vocab_of(const char *model)
{
    struct way way = {.rung = "scalar", .threads = 1};
    struct decoder *d = given_decoder(model, &way, 1);
    uint32_t vocab_size = model_shape(d->model)->vocab_size;
    decoder_free(d);
    return vocab_size;
}

void assert_same_bits(const char *model, uint32_t length, enum kv_kind kv)
{
    const struct way plain = {"scalar", 1, 1, false, false, kv};
    const struct way ways[] = {
        {"scalar", 2, 7, true, false, kv},     {"scalar", 1, ROWS, false, true, kv},
        {"avx2", 1, 1, false, false, kv},      {"avx2", 2, 7, true, false, kv},
        {"avx2", 2, ROWS, false, true, kv},    {"avx512", 1, 1, false, false, kv},
        {"avx512", 1, 7, true, false, kv},     {"avx512", 2, 32, true, false, kv},
        {"avx512", 2, ROWS, false, false, kv}, {"avx512", 2, 7, false, true, kv},
        {"avx512", 2, 1, true, false, kv},
    };
    uint32_t vocab_size = vocab_of(model);
    struct sequence sequences[SEQUENCES] = {{0}};
    given_sequences(sequences, length, vocab_size);
    size_t count = (size_t)SEQUENCES * length * vocab_size;
    float *want = mem_new(count, sizeof *want);
    float *got = mem_new(count, sizeof *got);
    compute(model, &plain, sequences, want, length);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        if (!usable(ways[i].rung)) continue;
        memset(got, 0, count * sizeof *got);
        compute(model, &ways[i], sequences, got, length);
        compare(&ways[i], sequences, want, got, length, vocab_size);
    }
    for (uint32_t i = 0; i < SEQUENCES; i++)
        mem_free(sequences[i].ids);
    mem_free(want);
    mem_free(got);
}

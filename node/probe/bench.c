/* qiao-probe bench: tokens per second of prefill, and of decode by the number of sequences.
 *
 * Ids come from a seeded generator: what is computed costs the same whatever the text is. Every sequence of a
 * batch begins with the same prompt, whose blocks they share. Each figure is the best of BENCH_RUNS. */
#include "node/engine/kv.h"
#include "node/probe/probe.h"

#include "kernels/team.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"

#include <jansson.h>

#include <inttypes.h>
#include <stdio.h>

enum {
    BENCH_RUNS = 3,
    BENCH_BATCH_MAX = 256,
    BENCH_ROWS = 512
};

struct bench {
    uint32_t prompt;
    uint32_t generate;
    uint32_t batches[PROBE_COUNTS_MAX];
    uint32_t batch_count;
    uint32_t batch_max;
    bool json;
};

struct figures {
    double prefill; // tokens per second
    double decode[PROBE_COUNTS_MAX];
};

static double rate(uint64_t tokens, uint64_t start_ns)
{
    return (double)tokens * 1e9 / (double)(clock_now_ns() - start_ns);
}

static void draw_ids(int32_t *ids, uint32_t count, uint32_t vocab_size, struct rand *rand)
{
    for (uint32_t i = 0; i < count; i++)
        ids[i] = (int32_t)rand_below(rand, vocab_size);
}

/* `batch` sequences, each holding the prompt, take one token a step. */
static enum err run_decode(struct decoder *d, const struct bench *bench,
                           const struct kv_table *prompt, uint32_t batch, double *out)
{
    struct kv_table *tables = mem_new(batch, sizeof *tables);
    struct forward_slice *slices = mem_new(batch, sizeof *slices);
    int32_t *ids = mem_new(batch, sizeof *ids);
    struct rand rand;
    rand_init(&rand, 1);
    for (uint32_t i = 0; i < batch; i++) {
        kv_table_init(&tables[i], bench->prompt + bench->generate);
        kv_share(d->pool, &tables[i], prompt, bench->prompt);
    }
    enum err err = ERR_OK;
    uint64_t start_ns = clock_now_ns();
    for (uint32_t step = 0; step < bench->generate && !err; step++) {
        draw_ids(ids, batch, model_shape(d->model)->vocab_size, &rand);
        for (uint32_t i = 0; i < batch && !err; i++) {
            slices[i] = (struct forward_slice){&ids[i], 1, tables[i].token_count, &tables[i], 1};
            err = kv_extend(d->pool, &tables[i], 1);
        }
        if (!err) forward_step(d->forward, slices, batch);
    }
    *out = rate((uint64_t)batch * bench->generate, start_ns);
    for (uint32_t i = 0; i < batch; i++)
        kv_table_fini(d->pool, &tables[i]);
    mem_free(tables);
    mem_free(slices);
    mem_free(ids);
    return err;
}

static enum err run_once(struct decoder *d, const struct bench *bench, struct figures *best)
{
    struct rand rand;
    rand_init(&rand, 2);
    int32_t *ids = mem_new(bench->prompt, sizeof *ids);
    draw_ids(ids, bench->prompt, model_shape(d->model)->vocab_size, &rand);
    struct kv_table prompt;
    kv_table_init(&prompt, bench->prompt);
    uint64_t start_ns = clock_now_ns();
    enum err err = decoder_extend(d, &prompt, ids, bench->prompt, 0);
    double prefill = rate(bench->prompt, start_ns);
    if (prefill > best->prefill) best->prefill = prefill;
    for (uint32_t i = 0; i < bench->batch_count && !err; i++) {
        double decode = 0;
        err = run_decode(d, bench, &prompt, bench->batches[i], &decode);
        if (decode > best->decode[i]) best->decode[i] = decode;
    }
    kv_table_fini(d->pool, &prompt);
    mem_free(ids);
    return err;
}

static json_t *figures_json(const struct bench *bench, const struct figures *figures,
                            const struct decoder *d)
{
    json_t *decode = json_array();
    for (uint32_t i = 0; i < bench->batch_count; i++) {
        json_array_append_new(decode,
                              json_pack("{s:I, s:f}", "batch", (json_int_t)bench->batches[i],
                                        "tokens_per_s", figures->decode[i]));
    }
    return json_pack("{s:I, s:s, s:f, s:o}", "threads", (json_int_t)team_size(d->team), "cpu",
                     d->ops.name, "prefill_tokens_per_s", figures->prefill, "decode", decode);
}

static void print_figures(const struct bench *bench, const struct figures *figures,
                          const struct decoder *d)
{
    printf("threads %" PRIu32 "  cpu %s  prefill of %" PRIu32 ": %.1f tokens/s\n",
           team_size(d->team), d->ops.name, bench->prompt, figures->prefill);
    for (uint32_t i = 0; i < bench->batch_count; i++) {
        printf("    decode, batch %3" PRIu32 ": %.1f tokens/s\n", bench->batches[i],
               figures->decode[i]);
    }
}

static enum err bench_threads(const struct probe_conf *conf, const struct bench *bench,
                              uint32_t threads, json_t *runs)
{
    struct decoder_options options;
    TRY(probe_decoder_options(conf, &options));
    options.threads = threads;
    options.context_max = bench->prompt + bench->generate;
    options.rows_max = bench->batch_max > BENCH_ROWS ? bench->batch_max : BENCH_ROWS;
    options.sequences_max = bench->batch_max + 1;
    struct decoder *decoder;
    TRY(decoder_new(&decoder, &options));
    struct figures figures = {0};
    enum err err = ERR_OK;
    if (decoder->limits.context_max < options.context_max) {
        err = err_note(ERR_TOO_LONG,
                       "--prompt %" PRIu32 " and --generate %" PRIu32
                       " are beyond the model's context of %" PRIu32,
                       bench->prompt, bench->generate, decoder->limits.context_max);
    }
    for (int run = 0; run < BENCH_RUNS && !err; run++)
        err = run_once(decoder, bench, &figures);
    if (!err && bench->json) json_array_append_new(runs, figures_json(bench, &figures, decoder));
    if (!err && !bench->json) print_figures(bench, &figures, decoder);
    decoder_free(decoder);
    return err;
}

static enum err read_bench(const struct probe_conf *conf, struct bench *bench)
{
    *bench =
        (struct bench){.prompt = 512, .generate = (uint32_t)conf->generate, .json = conf->json};
    if (*conf->prompt) TRY(probe_read_count("prompt", conf->prompt, 1 << 19, &bench->prompt));
    TRY(probe_read_counts("batch", &conf->batch, BENCH_BATCH_MAX, bench->batches,
                          &bench->batch_count));
    bench->batch_max = 1;
    for (uint32_t i = 0; i < bench->batch_count; i++) {
        if (bench->batches[i] > bench->batch_max) bench->batch_max = bench->batches[i];
    }
    return ERR_OK;
}

enum err probe_bench(const struct probe_conf *conf)
{
    struct bench bench;
    TRY(read_bench(conf, &bench));
    uint32_t threads[PROBE_COUNTS_MAX] = {0};
    uint32_t count;
    TRY(probe_read_counts("threads", &conf->threads, TEAM_THREADS_MAX, threads, &count));
    if (count == 0) count = 1; // threads[0] is 0: one a core
    json_t *runs = json_array();
    enum err err = ERR_OK;
    for (uint32_t i = 0; i < count && !err; i++)
        err = bench_threads(conf, &bench, threads[i], runs);
    if (!err && bench.json) {
        json_t *report = json_pack("{s:s, s:I, s:I, s:O}", "model", conf->model, "prompt",
                                   (json_int_t)bench.prompt, "generate", (json_int_t)bench.generate,
                                   "runs", runs);
        json_dumpf(report, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
        putchar('\n');
        json_decref(report);
    }
    json_decref(runs);
    return err;
}

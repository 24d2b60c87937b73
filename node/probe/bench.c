/* qiao-probe bench: tokens per second of prefill, and of decode by the number of sequences.
 *
 * Ids come from a seeded generator: what is computed costs the same whatever the text is. Every sequence of a batch
 * has read a prompt before it decodes: one whose blocks all of them share, or, with --distinct, one of its own. */
#include "node/probe/bench.h"

#include "node/engine/kv.h"
#include "node/probe/encoder.h"

#include "kernels/team.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"

#include <jansson.h>

#include <inttypes.h>
#include <stdio.h>

enum {
    BATCH_MAX = 256
};

/* One decoder with the prompts that it has read. */
struct bench {
    const struct bench_setting *setting;
    struct decoder *decoder;
    uint32_t vocab_size;
    struct kv_table *prompts; // [prompt_count]
    uint32_t prompt_count;
    struct rand rand;
    int32_t *ids; // [prompt]
};

static double rate(uint64_t tokens, uint64_t start_ns)
{
    uint64_t spent_ns = clock_now_ns() - start_ns;
    return (double)tokens * 1e9 / (double)(spent_ns ? spent_ns : 1);
}

static void draw_ids(struct bench *bench, int32_t *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        ids[i] = (int32_t)rand_below(&bench->rand, bench->vocab_size);
}

/* Read a prompt of new ids into `table`, which is empty. */
static enum err read_prompt(struct bench *bench, struct kv_table *table, double *per_second)
{
    uint32_t count = bench->setting->prompt;
    draw_ids(bench, bench->ids, count);
    uint64_t start_ns = clock_now_ns();
    TRY(decoder_extend(bench->decoder, table, bench->ids, count, 0));
    *per_second = rate(count, start_ns);
    return ERR_OK;
}

static enum err run_prefill(struct bench *bench, double *per_second)
{
    struct kv_table table;
    kv_table_init(&table, bench->setting->prompt);
    enum err err = read_prompt(bench, &table, per_second);
    kv_table_fini(bench->decoder->pool, &table);
    return err;
}

/* `batch` sequences, each behind a prompt, take one token a step. */
static enum err run_steps(struct bench *bench, struct kv_table *tables, uint32_t batch,
                          double *per_second)
{
    struct decoder *d = bench->decoder;
    struct forward_slice *slices = mem_new(batch, sizeof *slices);
    int32_t *ids = mem_new(batch, sizeof *ids);
    enum err err = ERR_OK;
    uint64_t start_ns = clock_now_ns();
    for (uint32_t step = 0; step < bench->setting->generate && !err; step++) {
        draw_ids(bench, ids, batch);
        for (uint32_t i = 0; i < batch && !err; i++) {
            slices[i] =
                (struct forward_slice){&ids[i], 1, tables[i].token_count, &tables[i], 1, false};
            err = kv_extend(d->pool, &tables[i], 1);
        }
        if (!err) forward_step(d->forward, slices, batch);
    }
    *per_second = rate((uint64_t)batch * bench->setting->generate, start_ns);
    mem_free(slices);
    mem_free(ids);
    return err;
}

static enum err run_decode(struct bench *bench, uint32_t batch, double *per_second)
{
    const struct bench_setting *setting = bench->setting;
    struct kv_table *tables = mem_new(batch, sizeof *tables);
    for (uint32_t i = 0; i < batch; i++) {
        kv_table_init(&tables[i], setting->prompt + setting->generate);
        kv_share(bench->decoder->pool, &tables[i], &bench->prompts[i % bench->prompt_count],
                 setting->prompt);
    }
    enum err err = run_steps(bench, tables, batch, per_second);
    for (uint32_t i = 0; i < batch; i++)
        kv_table_fini(bench->decoder->pool, &tables[i]);
    mem_free(tables);
    return err;
}

/* The prompts are read before the first run, which warms what there is to warm. */
static enum err run_all(struct bench *bench, struct bench_figures *figures)
{
    const struct bench_setting *setting = bench->setting;
    double ignored;
    for (uint32_t i = 0; i < bench->prompt_count; i++)
        TRY(read_prompt(bench, &bench->prompts[i], &ignored));
    for (uint32_t run = 0; run < setting->runs; run++) {
        TRY(run_prefill(bench, &figures->prefill[run]));
        for (uint32_t i = 0; i < setting->batch_count; i++)
            TRY(run_decode(bench, setting->batches[i], &figures->decode[i][run]));
    }
    return ERR_OK;
}

static uint32_t batch_max(const struct bench_setting *setting)
{
    uint32_t most = 1;
    for (uint32_t i = 0; i < setting->batch_count; i++)
        if (setting->batches[i] > most) most = setting->batches[i];
    return most;
}

static enum err run_decoder(const struct bench_setting *setting, struct decoder *decoder,
                            struct bench_figures *figures)
{
    uint32_t context = setting->prompt + setting->generate;
    if (decoder->limits.context_max < context) {
        return err_note(ERR_TOO_LONG,
                        "--prompt %" PRIu32 " and --generate %" PRIu32
                        " are beyond the model's context of %" PRIu32,
                        setting->prompt, setting->generate, decoder->limits.context_max);
    }
    struct bench bench = {
        .setting = setting,
        .decoder = decoder,
        .vocab_size = model_shape(decoder->model)->vocab_size,
        .prompt_count = setting->distinct ? batch_max(setting) : 1,
        .ids = mem_new(setting->prompt, sizeof *bench.ids),
    };
    rand_init(&bench.rand, 1);
    bench.prompts = mem_new(bench.prompt_count, sizeof *bench.prompts);
    for (uint32_t i = 0; i < bench.prompt_count; i++)
        kv_table_init(&bench.prompts[i], setting->prompt);
    enum err err = run_all(&bench, figures);
    for (uint32_t i = 0; i < bench.prompt_count; i++)
        kv_table_fini(decoder->pool, &bench.prompts[i]);
    mem_free(bench.prompts);
    mem_free(bench.ids);
    return err;
}

/* The pool has room for the prompts, and for a batch whose every last block was copied. */
static enum err bench_threads(const struct probe_conf *conf, const struct bench_setting *setting,
                              uint32_t threads, struct bench_figures *figures)
{
    struct decoder_options options;
    TRY(probe_decoder_options(conf, &options));
    uint32_t most = batch_max(setting);
    options.threads = threads;
    options.context_max = setting->prompt + setting->generate;
    options.rows_max = most > PROBE_ROWS ? most : PROBE_ROWS;
    options.sequences_max = setting->distinct ? 2 * most + 1 : most + 2;
    struct decoder *decoder;
    TRY(decoder_new(&decoder, &options));
    figures->threads = team_size(decoder->team);
    figures->rung = decoder->ops.name;
    enum err err = run_decoder(setting, decoder, figures);
    decoder_free(decoder);
    bench_sort(setting, figures);
    return err;
}

/* One number of threads, measured and shown; its JSON goes to `runs`. */
static enum err measure(const struct probe_conf *conf, const struct bench_setting *setting,
                        uint32_t threads, json_t *runs)
{
    struct bench_figures figures = {0};
    struct peaks peaks;
    TRY(bench_threads(conf, setting, threads, &figures));
    if (conf->roofline) {
        struct peak_options options = {.threads = figures.threads};
        TRY(peak_measure(&peaks, &options));
    }
    const struct peaks *shown = conf->roofline ? &peaks : NULL;
    if (conf->json)
        json_array_append_new(runs, bench_json(setting, &figures, shown));
    else
        bench_print(setting, &figures, shown);
    return ERR_OK;
}

static enum err read_setting(const struct probe_conf *conf, struct bench_setting *setting)
{
    if (!*conf->model) return err_note(ERR_INVALID, "--model FILE is missing: which GGUF file?");
    *setting = (struct bench_setting){
        .model = conf->model,
        .prompt = 512,
        .generate = (uint32_t)conf->generate,
        .runs = (uint32_t)conf->runs,
        .distinct = conf->distinct,
    };
    if (*conf->prompt) TRY(probe_read_count("prompt", conf->prompt, 1 << 19, &setting->prompt));
    TRY(probe_read_counts("batch", &conf->batch, BATCH_MAX, setting->batches,
                          &setting->batch_count));
    return bench_read_cost(&setting->cost, setting->model);
}

static void print_report(const struct bench_setting *setting, json_t *runs)
{
    json_t *report = json_pack(
        "{s:s, s:I, s:I, s:I, s:b, s:I, s:s, s:O}", "model", setting->model, "prompt",
        (json_int_t)setting->prompt, "generate", (json_int_t)setting->generate, "runs_each",
        (json_int_t)setting->runs, "distinct", (int)setting->distinct, "weight_bytes",
        (json_int_t)setting->cost.bytes, "peak", peak_kind_name(setting->cost.peak), "runs", runs);
    json_dumpf(report, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(report);
}

enum err probe_bench(const struct probe_conf *conf)
{
    struct bench_setting setting;
    bool encodes;
    TRY(encoder_is(conf->model, &encodes));
    if (encodes) return probe_bench_encoder(conf);
    TRY(read_setting(conf, &setting));
    uint32_t threads[PROBE_COUNTS_MAX] = {0};
    uint32_t count;
    TRY(probe_read_counts("threads", &conf->threads, TEAM_THREADS_MAX, threads, &count));
    if (count == 0) count = 1; // threads[0] is 0: one a core
    json_t *runs = json_array();
    enum err err = ERR_OK;
    for (uint32_t i = 0; i < count && !err; i++)
        err = measure(conf, &setting, threads[i], runs);
    if (!err && conf->json) print_report(&setting, runs);
    json_decref(runs);
    return err;
}

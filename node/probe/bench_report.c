#include "node/probe/bench.h"

#include "base/gguf.h"
#include "base/must.h"

#include <jansson.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum peak_kind kind_of(uint32_t type)
{
    if (type == GGUF_TENSOR_BF16) return PEAK_BF16;
    return type == GGUF_TENSOR_F32 || type == GGUF_TENSOR_F16 ? PEAK_F32 : PEAK_INT8;
}

static bool is_named(const struct gguf_tensor *tensor, const char *name)
{
    return tensor->name.size == strlen(name) &&
           memcmp(tensor->name.text, name, tensor->name.size) == 0;
}

enum err bench_read_cost(struct bench_cost *out, const char *path)
{
    struct gguf *gguf;
    TRY(gguf_open(&gguf, path));
    struct bench_cost cost = {0};
    uint64_t bytes_of[PEAK_KIND_COUNT] = {0};
    bool tied = !gguf_find_tensor(gguf, "output.weight");
    for (size_t i = 0; i < gguf_tensor_count(gguf); i++) {
        const struct gguf_tensor *tensor = gguf_tensor_at(gguf, i);
        bool embedding = is_named(tensor, "token_embd.weight");
        if (tensor->dims[1] == 1 || (embedding && !tied)) continue;
        uint64_t products = tensor->dims[0] * tensor->dims[1];
        cost.bytes += tensor->size;
        cost.products += products;
        if (embedding || is_named(tensor, "output.weight")) cost.head += products;
        bytes_of[kind_of(tensor->type)] += tensor->size;
    }
    gguf_close(gguf);
    cost.peak = PEAK_INT8;
    for (int kind = 0; kind < PEAK_KIND_COUNT; kind++)
        if (bytes_of[kind] > bytes_of[cost.peak]) cost.peak = (enum peak_kind)kind;
    *out = cost;
    return ERR_OK;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

void bench_sort(const struct bench_setting *setting, struct bench_figures *figures)
{
    qsort(figures->prefill, setting->runs, sizeof(double), compare);
    for (uint32_t i = 0; i < setting->batch_count; i++)
        qsort(figures->decode[i], setting->runs, sizeof(double), compare);
}

static double median(const double *sorted, uint32_t count)
{
    must(count > 0);
    return (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
}

/* A line of the report: one speed and what it means for the machine. */
struct line {
    double tokens_per_s, least, most;
    double bytes_per_token, bytes_per_s;
    double operations_per_s;
    double of_read, of_peak; // fractions; 0 when the peaks were not measured
};

static struct line line_of(const double *sorted, uint32_t runs, double bytes_per_token,
                           double products_per_token, const struct bench_cost *cost,
                           const struct peaks *peaks)
{
    struct line line = {
        .tokens_per_s = median(sorted, runs),
        .least = sorted[0],
        .most = sorted[runs - 1],
        .bytes_per_token = bytes_per_token,
    };
    line.bytes_per_s = line.tokens_per_s * bytes_per_token;
    line.operations_per_s = line.tokens_per_s * products_per_token * 2;
    if (peaks && peaks->best[PEAK_READ] > 0)
        line.of_read = line.bytes_per_s / peaks->best[PEAK_READ];
    if (peaks && peaks->best[cost->peak] > 0)
        line.of_peak = line.operations_per_s / peaks->best[cost->peak];
    return line;
}

/* Weights are counted once a step; a prompt takes a step of at most PROBE_ROWS tokens. */
static struct line prefill_line(const struct bench_setting *setting,
                                const struct bench_figures *figures, const struct peaks *peaks)
{
    const struct bench_cost *cost = &setting->cost;
    double steps = (setting->prompt + PROBE_ROWS - 1) / PROBE_ROWS;
    double products = (double)(cost->products - cost->head) + (double)cost->head / setting->prompt;
    return line_of(figures->prefill, setting->runs, (double)cost->bytes * steps / setting->prompt,
                   products, cost, peaks);
}

static struct line decode_line(const struct bench_setting *setting,
                               const struct bench_figures *figures, uint32_t index,
                               const struct peaks *peaks)
{
    const struct bench_cost *cost = &setting->cost;
    return line_of(figures->decode[index], setting->runs,
                   (double)cost->bytes / setting->batches[index], (double)cost->products, cost,
                   peaks);
}

static void print_line(const char *what, uint32_t count, const struct line *line, bool fractions)
{
    printf("    %-14s %4" PRIu32 "  %9.1f tokens/s  (%.1f to %.1f)  %7.2f GB/s %9.1f GOP/s", what,
           count, line->tokens_per_s, line->least, line->most, line->bytes_per_s * 1e-9,
           line->operations_per_s * 1e-9);
    if (fractions)
        printf("  %5.1f %% of read %5.1f %% of peak", line->of_read * 100, line->of_peak * 100);
    putchar('\n');
}

void bench_print(const struct bench_setting *setting, const struct bench_figures *figures,
                 const struct peaks *peaks)
{
    const struct bench_cost *cost = &setting->cost;
    printf("threads %" PRIu32 "  cpu %s  weights %.1f MB  medians of %" PRIu32 " runs\n",
           figures->threads, figures->rung, (double)cost->bytes * 1e-6, setting->runs);
    for (size_t i = 0; peaks && i < peaks->way_count; i++) {
        const struct peak_way *way = &peaks->ways[i];
        if (way->kind != PEAK_READ && way->kind != cost->peak) continue;
        printf("    machine: %s by %s %.1f G/s\n", peak_kind_name(way->kind), way->name,
               way->per_second * 1e-9);
    }
    struct line line = prefill_line(setting, figures, peaks);
    print_line("prefill", setting->prompt, &line, peaks != NULL);
    for (uint32_t i = 0; i < setting->batch_count; i++) {
        line = decode_line(setting, figures, i, peaks);
        print_line("decode, batch", setting->batches[i], &line, peaks != NULL);
    }
}

static json_t *line_json(const char *name, uint32_t count, const struct line *line, bool fractions)
{
    json_t *object =
        json_pack("{s:I, s:f, s:f, s:f, s:f, s:f, s:f}", name, (json_int_t)count, "tokens_per_s",
                  line->tokens_per_s, "least", line->least, "most", line->most, "bytes_per_token",
                  line->bytes_per_token, "gb_per_s", line->bytes_per_s * 1e-9, "gop_per_s",
                  line->operations_per_s * 1e-9);
    if (fractions) {
        json_object_set_new(object, "of_read", json_real(line->of_read));
        json_object_set_new(object, "of_peak", json_real(line->of_peak));
    }
    return object;
}

json_t *bench_json(const struct bench_setting *setting, const struct bench_figures *figures,
                   const struct peaks *peaks)
{
    struct line line = prefill_line(setting, figures, peaks);
    json_t *prefill = line_json("tokens", setting->prompt, &line, peaks != NULL);
    json_t *decode = json_array();
    for (uint32_t i = 0; i < setting->batch_count; i++) {
        line = decode_line(setting, figures, i, peaks);
        json_array_append_new(decode,
                              line_json("batch", setting->batches[i], &line, peaks != NULL));
    }
    json_t *run = json_pack("{s:I, s:s, s:o, s:o}", "threads", (json_int_t)figures->threads, "cpu",
                            figures->rung, "prefill", prefill, "decode", decode);
    if (peaks) json_object_set_new(run, "machine", probe_peaks_json(peaks));
    return run;
}

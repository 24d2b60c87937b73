#include "client/load/report.h"

#include "base/buf.h"
#include "base/must.h"

#include <jansson.h>

#include <inttypes.h>

static double ms(uint64_t ns)
{
    return (double)ns * 1e-6;
}

static void add_row(struct buf *out, const char *name, const struct histogram *histogram)
{
    if (histogram->count == 0) return;
    buf_addf(out, "%-16s %10.2f %10.2f %10.2f %10.2f %10.2f %10" PRIu64 "\n", name,
             ms(histogram_quantile(histogram, 500)), ms(histogram_quantile(histogram, 900)),
             ms(histogram_quantile(histogram, 990)), ms(histogram->max),
             histogram_mean(histogram) * 1e-6, histogram->count);
}

void report_table(struct buf *out, const struct tally *tally, const struct report_about *about)
{
    double elapsed_s = tally_elapsed_s(tally);
    if (about->rate > 0)
        buf_addf(out, "open loop, %g requests/s, at most %" PRIu64 " at once", about->rate,
                 about->limit);
    else
        buf_addf(out, "closed loop, %" PRIu64 " at once", about->limit);
    buf_addf(out, "; model %s; seed %" PRIu64 "; %s; %.2f s\n\n", about->model, about->seed,
             about->stream ? "streams" : "whole answers", elapsed_s);
    buf_addf(out,
             "requests   started %" PRIu64 ", answered %" PRIu64 ", failed %" PRIu64
             ", given up %" PRIu64 "; %.2f answered/s\n",
             tally->started, tally->answered, tally->failed, tally->in_flight,
             (double)tally->answered / elapsed_s);
    buf_addf(out,
             "tokens     prompt %" PRIu64 " (cached %" PRIu64 "), completion %" PRIu64
             "; %.2f completion tokens/s\n",
             tally->prompt_tokens, tally->cached_tokens, tally->completion_tokens,
             (double)tally->completion_tokens / elapsed_s);
    if (tally->without_usage)
        buf_addf(out, "           %" PRIu64 " answers told no usage\n", tally->without_usage);
    if (tally->reconnects) buf_addf(out, "reconnects %" PRIu64 "\n", tally->reconnects);
    if (tally->retries + tally->resumes + tally->refusals > 0)
        buf_addf(out,
                 "again      %" PRIu64 " retried elsewhere, %" PRIu64 " resumed, %" PRIu64
                 " after a refusal\n",
                 tally->retries, tally->resumes, tally->refusals);
    buf_addf(out, "\n%-16s %10s %10s %10s %10s %10s %10s\n", "ms", "p50", "p90", "p99", "max",
             "mean", "count");
    add_row(out, "first token", &tally->first);
    add_row(out, "between tokens", &tally->gap);
    add_row(out, "whole answer", &tally->total);
    add_row(out, "start lag", &tally->lag);
    if (tally->error_count > 0) buf_add_text(out, "\nerrors\n");
    for (size_t i = 0; i < tally->error_count; i++)
        buf_addf(out, "%10" PRIu64 "  %s\n", tally->errors[i].count, tally->errors[i].kind);
}

static json_t *times(const struct histogram *histogram)
{
    return json_pack("{s:I, s:f, s:f, s:f, s:f, s:f, s:f}", "count", (json_int_t)histogram->count,
                     "mean", histogram_mean(histogram) * 1e-6, "min", ms(histogram->min), "p50",
                     ms(histogram_quantile(histogram, 500)), "p90",
                     ms(histogram_quantile(histogram, 900)), "p99",
                     ms(histogram_quantile(histogram, 990)), "max", ms(histogram->max));
}

static int add_bytes(const char *bytes, size_t size, void *out)
{
    buf_add(out, bytes, size);
    return 0;
}

void report_json(struct buf *out, const struct tally *tally, const struct report_about *about)
{
    double elapsed_s = tally_elapsed_s(tally);
    json_t *errors = json_object();
    for (size_t i = 0; i < tally->error_count; i++)
        json_object_set_new(errors, tally->errors[i].kind,
                            json_integer((json_int_t)tally->errors[i].count));
    json_t *root = json_pack(
        "{s:s, s:f, s:I, s:s, s:I, s:b, s:f}", "mode", about->rate > 0 ? "open" : "closed", "rate",
        about->rate, "limit", (json_int_t)about->limit, "model", about->model, "seed",
        (json_int_t)about->seed, "stream", about->stream, "elapsed_s", elapsed_s);
    json_t *requests = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f}", "started", (json_int_t)tally->started,
        "answered", (json_int_t)tally->answered, "failed", (json_int_t)tally->failed, "given_up",
        (json_int_t)tally->in_flight, "reconnects", (json_int_t)tally->reconnects, "retries",
        (json_int_t)tally->retries, "resumes", (json_int_t)tally->resumes, "refusals_retried",
        (json_int_t)tally->refusals, "answered_per_s", (double)tally->answered / elapsed_s);
    json_t *tokens = json_pack(
        "{s:I, s:I, s:I, s:f, s:I, s:I}", "prompt", (json_int_t)tally->prompt_tokens, "cached",
        (json_int_t)tally->cached_tokens, "completion", (json_int_t)tally->completion_tokens,
        "completion_per_s", (double)tally->completion_tokens / elapsed_s, "content_events",
        (json_int_t)tally->content_events, "answers_without_usage",
        (json_int_t)tally->without_usage);
    must(root && requests && tokens && errors);
    json_object_set_new(root, "requests", requests);
    json_object_set_new(root, "tokens", tokens);
    json_object_set_new(root, "first_token_ms", times(&tally->first));
    json_object_set_new(root, "between_tokens_ms", times(&tally->gap));
    json_object_set_new(root, "whole_answer_ms", times(&tally->total));
    json_object_set_new(root, "start_lag_ms", times(&tally->lag));
    json_object_set_new(root, "errors", errors);
    must(json_dump_callback(root, add_bytes, out, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) == 0);
    buf_add_byte(out, '\n');
    json_decref(root);
}

void report_answer(FILE *out, uint64_t number, const struct outcome *outcome)
{
    char digest[DIGEST_TEXT_SIZE];
    if (outcome->kind[0])
        fprintf(out, "%" PRIu64 " failed %s\n", number, outcome->kind);
    else
        fprintf(out, "%" PRIu64 " ok %s %" PRIu64 " %s\n", number,
                outcome->finish[0] ? outcome->finish : "-", outcome->completion_tokens,
                digest_text(&outcome->digest, digest));
}

void report_progress(FILE *out, const struct tally *tally, uint64_t now_ns, uint64_t in_flight)
{
    double elapsed_s = (double)(now_ns - tally->start_ns) * 1e-9;
    fprintf(out,
            "\r\033[K%.0f s: %" PRIu64 " answered, %" PRIu64 " failed, %" PRIu64
            " under way; %.1f answered/s, %.1f events/s; first token p50 %.0f ms",
            elapsed_s, tally->answered, tally->failed, in_flight,
            (double)tally->answered / elapsed_s, (double)tally->content_events / elapsed_s,
            ms(histogram_quantile(&tally->first, 500)));
    fflush(out);
}

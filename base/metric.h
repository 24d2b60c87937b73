/* base/metric.h -- counters, gauges and histograms, rendered as Prometheus text (its exposition
 * format 0.0.4).
 *
 * A program lists its metrics in `<program>.metric.def`:
 *
 *      METRIC(counter,   requests_total,  "route,code", "HTTP requests that were answered")
 *      METRIC(gauge,     in_flight,       "",           "requests in the air")
 *      METRIC(histogram, ttft_seconds,    "model",      "time to the first token")
 *
 * includes it once for an enum of ids and once for the table, and gives the table to metrics_new().
 * Every name gets the prefix "qiao_". A metric with labels (at most two) makes a series at the
 * first use of each pair of values, METRIC_SERIES_MAX of them; what comes after is counted under
 * "other", so that a stranger cannot grow the table. Label values are names of ours or of
 * operators, never a user's.
 *
 * Histograms have fixed buckets from 50 us to 120 s. A label's value is cut between characters.
 *
 * Thread: any. Numbers are atomics; a lock is taken only where a series is made, never while the
 * text is rendered, so that a scrape cannot hold up a step. */
#ifndef BASE_METRIC_H
#define BASE_METRIC_H

#include <stddef.h>
#include <stdint.h>

struct buf;

enum {
    METRIC_SERIES_MAX = 256, // of one metric
    METRIC_LABEL_MAX = 64    // bytes of a label's value; a longer one is cut
};

enum metric_kind {
    METRIC_counter,
    METRIC_gauge,
    METRIC_histogram
};

struct metric_row {
    enum metric_kind kind;
    const char *name;
    const char *labels; // "", "route" or "route,code"
    const char *text;
};

struct metrics;

struct metrics *metrics_new(const struct metric_row *rows, size_t count);
void metrics_free(struct metrics *metrics);

/* `first` and `second` are the labels' values, NULL where the metric has fewer. */
void metric_add(struct metrics *metrics, size_t id, const char *first, const char *second,
                double amount);
void metric_set(struct metrics *metrics, size_t id, const char *first, const char *second,
                double value);
void metric_observe(struct metrics *metrics, size_t id, const char *first, const char *second,
                    double seconds);
/* A counter's or gauge's value now, 0 if it has no such series; for tests and status pages. */
double metric_value(struct metrics *metrics, size_t id, const char *first, const char *second);

void metrics_render(struct metrics *metrics, struct buf *out);

#endif

#include "base/metric.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

static const double buckets[] = {0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.0025, 0.005,
                                 0.01,    0.025,  0.05,   0.1,    0.25,  0.5,    1,
                                 2.5,     5,      10,     15,     30,    60,     120};

enum {
    BUCKET_COUNT = sizeof buckets / sizeof *buckets
};

/* Its labels never change; its numbers are relaxed atomics: each is right, none orders another. */
struct series {
    char labels[2][METRIC_LABEL_MAX + 1];
    _Atomic double value;                      // of a histogram: the sum
    _Atomic uint64_t counts[BUCKET_COUNT + 1]; // of a histogram; the last is +Inf; not cumulative
};

/* Series are only added, each one published by `count`, so that a reader needs no lock. */
struct family {
    struct series *series[METRIC_SERIES_MAX];
    _Atomic size_t count;
};

struct metrics {
    pthread_mutex_t lock; // held to add a series, and for nothing else
    const struct metric_row *rows;
    struct family *families;
    size_t count;
};

struct metrics *metrics_new(const struct metric_row *rows, size_t count)
{
    struct metrics *metrics = mem_new(1, sizeof *metrics);
    metrics->rows = rows;
    metrics->count = count;
    metrics->families = mem_new(count, sizeof *metrics->families);
    must(pthread_mutex_init(&metrics->lock, NULL) == 0);
    return metrics;
}

void metrics_free(struct metrics *metrics)
{
    if (!metrics) return;
    for (size_t i = 0; i < metrics->count; i++) {
        struct family *family = &metrics->families[i];
        for (size_t s = 0; s < atomic_load(&family->count); s++)
            mem_free(family->series[s]);
    }
    pthread_mutex_destroy(&metrics->lock);
    mem_free(metrics->families);
    mem_free(metrics);
}

static size_t label_count(const struct metric_row *row)
{
    if (!*row->labels) return 0;
    return strchr(row->labels, ',') ? 2 : 1;
}

/* The length to which a label's value is cut, never inside a UTF-8 character. */
static size_t label_size(const char *text)
{
    size_t size = strnlen(text, METRIC_LABEL_MAX);
    if (size < METRIC_LABEL_MAX) return size;
    while (size > 0 && ((unsigned char)text[size] & 0xC0) == 0x80)
        size--;
    return size;
}

static bool same_label(const char *label, const char *text)
{
    if (!text) return *label == '\0';
    size_t size = label_size(text);
    return strncmp(label, text, size) == 0 && label[size] == '\0';
}

static struct series *find(struct family *family, const char *first, const char *second)
{
    size_t count = atomic_load_explicit(&family->count, memory_order_acquire);
    for (size_t i = 0; i < count; i++) {
        struct series *series = family->series[i];
        if (same_label(series->labels[0], first) && same_label(series->labels[1], second))
            return series;
    }
    return NULL;
}

/* Find the series, or make it; the lock is held. */
static struct series *find_or_add(struct family *family, size_t labels, const char *first,
                                  const char *second)
{
    struct series *series = find(family, first, second);
    if (series) return series;
    size_t count = atomic_load_explicit(&family->count, memory_order_relaxed);
    if (count + 1 >= METRIC_SERIES_MAX && labels > 0) { // the last place is "other"'s
        first = "other";
        second = labels > 1 ? "other" : NULL;
        series = find(family, first, second);
        if (series) return series;
    }
    must(count < METRIC_SERIES_MAX);
    series = mem_new(1, sizeof *series);
    if (first) memcpy(series->labels[0], first, label_size(first));
    if (second) memcpy(series->labels[1], second, label_size(second));
    family->series[count] = series;
    atomic_store_explicit(&family->count, count + 1, memory_order_release);
    return series;
}

static struct series *series_of(struct metrics *metrics, size_t id, const char *first,
                                const char *second)
{
    must(id < metrics->count);
    struct family *family = &metrics->families[id];
    size_t labels = label_count(&metrics->rows[id]);
    if (labels < 1) first = NULL;
    if (labels < 2) second = NULL;
    struct series *series = find(family, first, second);
    if (series) return series;
    pthread_mutex_lock(&metrics->lock);
    series = find_or_add(family, labels, first, second);
    pthread_mutex_unlock(&metrics->lock);
    return series;
}

static void add(_Atomic double *value, double amount)
{
    double old = atomic_load_explicit(value, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(value, &old, old + amount, memory_order_relaxed,
                                                  memory_order_relaxed))
        ;
}

void metric_add(struct metrics *metrics, size_t id, const char *first, const char *second,
                double amount)
{
    add(&series_of(metrics, id, first, second)->value, amount);
}

void metric_set(struct metrics *metrics, size_t id, const char *first, const char *second,
                double value)
{
    struct series *series = series_of(metrics, id, first, second);
    atomic_store_explicit(&series->value, value, memory_order_relaxed);
}

void metric_observe(struct metrics *metrics, size_t id, const char *first, const char *second,
                    double seconds)
{
    size_t bucket = 0;
    while (bucket < BUCKET_COUNT && seconds > buckets[bucket])
        bucket++;
    struct series *series = series_of(metrics, id, first, second);
    add(&series->value, seconds);
    atomic_fetch_add_explicit(&series->counts[bucket], 1, memory_order_relaxed);
}

double metric_value(struct metrics *metrics, size_t id, const char *first, const char *second)
{
    must(id < metrics->count);
    struct series *series = find(&metrics->families[id], first, second);
    return series ? atomic_load_explicit(&series->value, memory_order_relaxed) : 0;
}

static void add_escaped(struct buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\\' || *text == '"') buf_add_byte(out, '\\');
        if (*text == '\n')
            buf_add_text(out, "\\n");
        else
            buf_add_byte(out, (unsigned char)*text);
    }
}

/* {route="chat",code="200",le="0.5"}; nothing when there is no label. */
static void add_labels(struct buf *out, const struct metric_row *row, const struct series *series,
                       const char *bound)
{
    size_t count = label_count(row);
    if (count == 0 && !bound) return;
    const char *name = row->labels;
    buf_add_byte(out, '{');
    for (size_t i = 0; i < count; i++) {
        size_t size = strcspn(name, ",");
        if (i) buf_add_byte(out, ',');
        buf_add(out, name, size);
        buf_add_text(out, "=\"");
        add_escaped(out, series->labels[i]);
        buf_add_byte(out, '"');
        name += size + 1;
    }
    if (bound) buf_addf(out, "%sle=\"%s\"", count ? "," : "", bound);
    buf_add_byte(out, '}');
}

static void add_histogram(struct buf *out, const struct metric_row *row,
                          const struct series *series)
{
    uint64_t total = 0;
    for (size_t b = 0; b <= BUCKET_COUNT; b++) {
        struct buf bound = {0};
        total += atomic_load_explicit(&series->counts[b], memory_order_relaxed);
        if (b < BUCKET_COUNT)
            buf_addf(&bound, "%g", buckets[b]);
        else
            buf_add_text(&bound, "+Inf");
        buf_addf(out, "qiao_%s_bucket", row->name);
        add_labels(out, row, series, buf_text(&bound));
        buf_addf(out, " %" PRIu64 "\n", total);
        buf_fini(&bound);
    }
    buf_addf(out, "qiao_%s_sum", row->name);
    add_labels(out, row, series, NULL);
    double sum = atomic_load_explicit(&series->value, memory_order_relaxed);
    buf_addf(out, " %.17g\nqiao_%s_count", sum, row->name);
    add_labels(out, row, series, NULL);
    buf_addf(out, " %" PRIu64 "\n", total);
}

static void add_series(struct buf *out, const struct metric_row *row, const struct series *series)
{
    if (row->kind == METRIC_histogram) {
        add_histogram(out, row, series);
        return;
    }
    buf_addf(out, "qiao_%s", row->name);
    add_labels(out, row, series, NULL);
    buf_addf(out, " %.17g\n", atomic_load_explicit(&series->value, memory_order_relaxed));
}

void metrics_render(struct metrics *metrics, struct buf *out)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    for (size_t id = 0; id < metrics->count; id++) {
        const struct metric_row *row = &metrics->rows[id];
        struct family *family = &metrics->families[id];
        if (label_count(row) == 0) series_of(metrics, id, NULL, NULL); // shown from the start, as 0
        buf_addf(out, "# HELP qiao_%s %s\n# TYPE qiao_%s %s\n", row->name, row->text, row->name,
                 kinds[row->kind]);
        size_t count = atomic_load_explicit(&family->count, memory_order_acquire);
        for (size_t i = 0; i < count; i++)
            add_series(out, row, family->series[i]);
    }
}

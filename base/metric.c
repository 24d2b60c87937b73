#include "base/metric.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>

static const double buckets[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                                 1,     2.5,    5,     10,   15,    30,   60,  120};

enum {
    BUCKET_COUNT = sizeof buckets / sizeof *buckets
};

struct series {
    char labels[2][METRIC_LABEL_MAX + 1];
    double value;                      // of a histogram: the sum
    uint64_t counts[BUCKET_COUNT + 1]; // of a histogram; the last one is +Inf; not cumulative
};

struct family {
    struct series *series;
    size_t count;
};

struct metrics {
    pthread_mutex_t lock;
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
    for (size_t i = 0; i < metrics->count; i++)
        mem_free(metrics->families[i].series);
    pthread_mutex_destroy(&metrics->lock);
    mem_free(metrics->families);
    mem_free(metrics);
}

static size_t label_count(const struct metric_row *row)
{
    if (!*row->labels) return 0;
    return strchr(row->labels, ',') ? 2 : 1;
}

static void copy_label(char to[METRIC_LABEL_MAX + 1], const char *from)
{
    size_t size = from ? strnlen(from, METRIC_LABEL_MAX) : 0;
    if (size) memcpy(to, from, size);
    to[size] = '\0';
}

static struct series *find(struct family *family, const char *first, const char *second)
{
    for (size_t i = 0; i < family->count; i++) {
        struct series *series = &family->series[i];
        if (strncmp(series->labels[0], first ? first : "", METRIC_LABEL_MAX) == 0 &&
            strncmp(series->labels[1], second ? second : "", METRIC_LABEL_MAX) == 0)
            return series;
    }
    return NULL;
}

/* The series of these labels, made when it is new; the lock is held. */
static struct series *series_of(struct metrics *metrics, size_t id, const char *first,
                                const char *second)
{
    must(id < metrics->count);
    struct family *family = &metrics->families[id];
    struct series *series = find(family, first, second);
    if (series) return series;
    size_t labels = label_count(&metrics->rows[id]);
    if (family->count + 1 >= METRIC_SERIES_MAX && labels > 0) { // the last place is "other"'s
        first = "other";
        second = labels > 1 ? "other" : NULL;
        series = find(family, first, second);
        if (series) return series;
    }
    family->series = mem_resize(family->series, family->count + 1, sizeof *family->series);
    series = &family->series[family->count++];
    memset(series, 0, sizeof *series);
    copy_label(series->labels[0], first);
    copy_label(series->labels[1], second);
    return series;
}

void metric_add(struct metrics *metrics, size_t id, const char *first, const char *second,
                double amount)
{
    pthread_mutex_lock(&metrics->lock);
    series_of(metrics, id, first, second)->value += amount;
    pthread_mutex_unlock(&metrics->lock);
}

void metric_set(struct metrics *metrics, size_t id, const char *first, const char *second,
                double value)
{
    pthread_mutex_lock(&metrics->lock);
    series_of(metrics, id, first, second)->value = value;
    pthread_mutex_unlock(&metrics->lock);
}

void metric_observe(struct metrics *metrics, size_t id, const char *first, const char *second,
                    double seconds)
{
    size_t bucket = 0;
    while (bucket < BUCKET_COUNT && seconds > buckets[bucket])
        bucket++;
    pthread_mutex_lock(&metrics->lock);
    struct series *series = series_of(metrics, id, first, second);
    series->value += seconds;
    series->counts[bucket]++;
    pthread_mutex_unlock(&metrics->lock);
}

double metric_value(struct metrics *metrics, size_t id, const char *first, const char *second)
{
    must(id < metrics->count);
    pthread_mutex_lock(&metrics->lock);
    struct series *series = find(&metrics->families[id], first, second);
    double value = series ? series->value : 0;
    pthread_mutex_unlock(&metrics->lock);
    return value;
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
        total += series->counts[b];
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
    buf_addf(out, " %.17g\nqiao_%s_count", series->value, row->name);
    add_labels(out, row, series, NULL);
    buf_addf(out, " %" PRIu64 "\n", total);
}

void metrics_render(struct metrics *metrics, struct buf *out)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    pthread_mutex_lock(&metrics->lock);
    for (size_t id = 0; id < metrics->count; id++) {
        const struct metric_row *row = &metrics->rows[id];
        if (label_count(row) == 0) series_of(metrics, id, NULL, NULL); // shown from the start, as 0
        buf_addf(out, "# HELP qiao_%s %s\n# TYPE qiao_%s %s\n", row->name, row->text, row->name,
                 kinds[row->kind]);
        for (size_t i = 0; i < metrics->families[id].count; i++) {
            const struct series *series = &metrics->families[id].series[i];
            if (row->kind == METRIC_histogram) {
                add_histogram(out, row, series);
                continue;
            }
            buf_addf(out, "qiao_%s", row->name);
            add_labels(out, row, series, NULL);
            buf_addf(out, " %.17g\n", series->value);
        }
    }
    pthread_mutex_unlock(&metrics->lock);
}

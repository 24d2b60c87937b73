/* client/load/histogram.h -- counts of durations in buckets whose width grows with the value.
 *
 * A value below 128 has a bucket of its own. Above, every octave [2^k, 2^(k+1)) is cut into 64
 * buckets of one width, so a bucket [low, low + width) has width <= low / 64. A quantile is
 * answered with the middle of the bucket that holds it: at most width / 2 away, which is at most
 * 1/128 of the true value (0.79 %). Minimum, maximum, count and sum are exact. The layout is that
 * of log-linear histograms as HdrHistogram made them known. Every uint64_t has a bucket: nothing
 * is clipped. Thread: one owner. */
#ifndef CLIENT_LOAD_HISTOGRAM_H
#define CLIENT_LOAD_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_BUCKETS = 128 + 57 * 64
};

/* Zeroed: empty. 30 KiB. */
struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t count, sum, min, max;
};

void histogram_add(struct histogram *histogram, uint64_t value);
/* The smallest value that at least per_mille / 1000 of all values do not exceed (nearest rank),
 * within 1/128; 0 when the histogram is empty. */
uint64_t histogram_quantile(const struct histogram *histogram, unsigned per_mille);
/* 0 when empty. */
double histogram_mean(const struct histogram *histogram);

#endif

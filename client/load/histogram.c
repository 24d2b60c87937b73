#include "client/load/histogram.h"

#include "base/must.h"

#include <stddef.h>

/* With `shift` such that value >> shift lies in [64, 128), buckets of successive shifts follow one
 * another. */
static size_t bucket_of(uint64_t value)
{
    if (value < 128) return (size_t)value;
    unsigned shift = 63 - (unsigned)__builtin_clzll(value) - 6;
    return shift * 64 + (size_t)(value >> shift);
}

static uint64_t middle_of(size_t bucket)
{
    if (bucket < 128) return bucket;
    unsigned shift = (unsigned)(bucket / 64) - 1;
    uint64_t low = (uint64_t)(bucket - shift * 64) << shift;
    return low + (UINT64_C(1) << (shift - 1));
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
    histogram->counts[bucket_of(value)]++;
    if (histogram->count == 0 || value < histogram->min) histogram->min = value;
    if (value > histogram->max) histogram->max = value;
    histogram->count++;
    histogram->sum += value;
}

uint64_t histogram_quantile(const struct histogram *histogram, unsigned per_mille)
{
    must(per_mille <= 1000);
    if (histogram->count == 0) return 0;
    uint64_t rank = (histogram->count * per_mille + 999) / 1000, seen = 0;
    if (rank <= 1) return histogram->min;
    if (rank == histogram->count) return histogram->max;
    size_t bucket = 0;
    for (;; bucket++) {
        seen += histogram->counts[bucket];
        if (seen >= rank) break;
    }
    uint64_t value = middle_of(bucket);
    if (value < histogram->min) return histogram->min;
    return value > histogram->max ? histogram->max : value;
}

double histogram_mean(const struct histogram *histogram)
{
    return histogram->count ? (double)histogram->sum / (double)histogram->count : 0;
}

/* kernels/scan.h -- queries against many rows of bytes: what a search among vectors computes.
 *
 *      out[q][r] = (float)dot * (query_scales[q] * row_scales[r]),   dot = sum over i of queries[q][i] * rows[r][i]
 *
 * The dot is an exact whole number (width <= SCAN_WIDTH_MAX: it fits 31 bits), the product of the scales is rounded once, and
 * so is the score; so the order of additions is nobody's business and every column gives the same bits. A few queries at once
 * read each row from memory once.
 *
 * The slot of the table is ops->scan (kernels/ops.h). */
#ifndef KERNELS_SCAN_H
#define KERNELS_SCAN_H

#include <stddef.h>
#include <stdint.h>

enum {
    SCAN_ALIGN = 64, // rows begin there, and their width is a multiple of it
    SCAN_WIDTH_MAX = 16384,
    SCAN_QUERIES_MAX = 8
};

/* A row of `dims` values as it lies in memory, zeros behind it. */
static inline size_t scan_width(size_t dims)
{
    return (dims + SCAN_ALIGN - 1) / SCAN_ALIGN * SCAN_ALIGN;
}

struct scan {
    const int8_t *
        queries[SCAN_QUERIES_MAX]; // [query_count] of [width], SCAN_ALIGN-aligned; within -127..127
    float query_scales[SCAN_QUERIES_MAX];
    size_t query_count;
    const int8_t *rows;      // [row_count][width], SCAN_ALIGN-aligned; any bytes
    const float *row_scales; // [row_count]
    size_t row_count;
    size_t width; // a multiple of SCAN_ALIGN, at most SCAN_WIDTH_MAX
    float *out;   // [query_count][row_count]
};

/* n finite values as whole numbers times one scale = amax / 127: x / scale to nearest even, within -127..127. All zero for
 * a scale of 0. */
void scan_round(const float *x, size_t n, int8_t *q, float *scale);

#endif

/* Queries against rows of bytes: every number of rows around a vector's four, every width class, and the bytes that a
 * saturating or an unsigned product would get wrong. */
#include "tests/kernels/check.h"

#include "kernels/scan.h"

#include <string.h>

enum bytes {
    BYTES_ANY,    // rows: -128 too
    BYTES_LOWEST, // rows of -128, queries of -127
    BYTES_HIGHEST,
    BYTES_RECIPES
};

static int8_t *rows_of(struct check *check, size_t count, enum bytes bytes)
{
    int8_t *rows = check_memory(check, count, SCAN_ALIGN);
    for (size_t i = 0; i < count; i++) {
        if (bytes == BYTES_ANY) rows[i] = (int8_t)((int)check_below(check, 256) - 128);
        if (bytes == BYTES_LOWEST) rows[i] = -128;
        if (bytes == BYTES_HIGHEST) rows[i] = 127;
    }
    return rows;
}

static int8_t *query_of(struct check *check, size_t width, enum bytes bytes)
{
    int8_t *query = check_memory(check, width, SCAN_ALIGN);
    for (size_t i = 0; i < width; i++) {
        if (bytes == BYTES_ANY) query[i] = (int8_t)((int)check_below(check, 255) - 127);
        if (bytes == BYTES_LOWEST) query[i] = -127;
        if (bytes == BYTES_HIGHEST) query[i] = check_below(check, 2) ? 127 : -127;
    }
    return query;
}

static float *scales_of(struct check *check, size_t count)
{
    float *scales = check_floats(check, count, CHECK_PLAIN);
    for (size_t i = 0; i < count; i++)
        scales[i] = check_below(check, 16) ? (scales[i] + 2) / 127 : 0;
    return scales;
}

static void give_queries(struct check *check, struct scan *scan, size_t count, enum bytes bytes)
{
    scan->query_count = count;
    const float *scales = scales_of(check, count);
    for (size_t i = 0; i < count; i++) {
        scan->queries[i] = query_of(check, scan->width, bytes);
        scan->query_scales[i] = scales[i];
    }
}

static void one_scan(struct check *check, size_t width, size_t row_count, size_t query_count,
                     enum bytes bytes)
{
    size_t count = query_count * row_count;
    float *want = check_memory(check, count * sizeof *want, sizeof *want);
    float *got = check_memory(check, count * sizeof *got, sizeof *got);
    struct scan scan = {
        .rows = rows_of(check, row_count * width, bytes),
        .row_scales = scales_of(check, row_count),
        .row_count = row_count,
        .width = width,
        .out = want,
    };
    give_queries(check, &scan, query_count, bytes);
    check->want->scan(&scan);
    scan.out = got;
    check->got->scan(&scan);
    check_same_floats(check, want, got, count, "width %zu, %zu rows, %zu queries, bytes %d", width,
                      row_count, query_count, (int)bytes);
    check_release(check);
}

static void check_scan(struct check *check)
{
    static const size_t widths[] = {64, 128, 384, 768, 1024, SCAN_WIDTH_MAX};
    static const size_t row_counts[] = {1, 2, 3, 4, 5, 7, 8, 31};
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
        for (size_t r = 0; r < sizeof row_counts / sizeof *row_counts; r++)
            for (int bytes = 0; bytes < BYTES_RECIPES; bytes++)
                one_scan(check, widths[w], row_counts[r], 1 + check_below(check, SCAN_QUERIES_MAX),
                         (enum bytes)bytes);
}

enum {
    BENCH_ROWS = 65536, // 24 MiB of them: more than most caches hold
    BENCH_WIDTH = 384
};

struct scan_call {
    const struct ops *ops;
    struct scan scan;
};

static void call_scan(void *argument)
{
    const struct scan_call *call = argument;
    call->ops->scan(&call->scan);
}

static void bench_scan(struct check_bench *bench)
{
    struct check *check = &bench->check;
    for (size_t queries = 1; queries <= SCAN_QUERIES_MAX; queries *= SCAN_QUERIES_MAX) {
        struct scan_call call = {
            .ops = check->got,
            .scan = {.rows = rows_of(check, (size_t)BENCH_ROWS * BENCH_WIDTH, BYTES_ANY),
                     .row_scales = scales_of(check, BENCH_ROWS),
                     .row_count = BENCH_ROWS,
                     .width = BENCH_WIDTH,
                     .out =
                         check_memory(check, queries * BENCH_ROWS * sizeof(float), sizeof(float))},
        };
        give_queries(check, &call.scan, queries, BYTES_ANY);
        double bytes = (double)BENCH_ROWS * BENCH_WIDTH;
        check_time(bench, queries == 1 ? "65536 x 384, 1 query" : "65536 x 384, 8 queries",
                   call_scan, &call, bytes, 2 * bytes * (double)queries);
        check_release(check);
    }
}

const struct check_entry check_scans[] = {{"scan", check_scan, bench_scan}, {0}};

/* kernels/scalar_scan.c -- the scalar column's search among rows of bytes (contract: kernels/scan.h). */
#include "kernels/columns.h"
#include "kernels/ops.h"
#include "kernels/scan.h"

static void scan_rows(const struct scan *scan)
{
    for (size_t q = 0; q < scan->query_count; q++) {
        const int8_t *query = scan->queries[q];
        for (size_t r = 0; r < scan->row_count; r++) {
            const int8_t *row = scan->rows + r * scan->width;
            int32_t dot = 0;
            for (size_t i = 0; i < scan->width; i++)
                dot += query[i] * row[i];
            scan->out[q * scan->row_count + r] =
                (float)dot * (scan->query_scales[q] * scan->row_scales[r]);
        }
    }
}

void scalar_fill_scan(struct ops *ops)
{
    ops->scan = scan_rows;
}

/* kernels/x86/avx512_scan.c -- the AVX-512 column: queries against rows of bytes (contract: kernels/scan.h).
 *
 * vpdpbusd multiplies unsigned by signed bytes, so a row's bytes are taken 128 too large (their sign bit turned) and
 * 128 times the query's sum is taken off at the end: whole numbers, exact. */
#include "kernels/ops.h"
#include "kernels/scan.h"
#include "kernels/x86/avx512.h"

enum {
    ROWS = 4,  // at once
    BYTES = 64 // of a vector
};

/* Four vectors of 16 numbers to their four sums. */
INLINE __m128i sum_four(const __m512i v[ROWS])
{
    __m512i a =
        _mm512_add_epi32(_mm512_unpacklo_epi32(v[0], v[1]), _mm512_unpackhi_epi32(v[0], v[1]));
    __m512i b =
        _mm512_add_epi32(_mm512_unpacklo_epi32(v[2], v[3]), _mm512_unpackhi_epi32(v[2], v[3]));
    __m512i all = _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

/* 128 times the sum of a query. */
static int32_t excess_of(const int8_t *query, size_t width)
{
    const __m512i ones = _mm512_set1_epi8(1);
    __m512i sum = _mm512_setzero_si512();
    for (size_t i = 0; i < width; i += BYTES)
        sum = _mm512_dpbusd_epi32(sum, ones, _mm512_loadu_si512(query + i));
    return 128 * _mm512_reduce_add_epi32(sum);
}

/* Rows `row` to `row` + count, one query. */
INLINE void scan_some(const struct scan *scan, size_t query, size_t row, size_t count,
                      int32_t excess)
{
    const __m512i turn = _mm512_set1_epi8((char)-128);
    const int8_t *x = scan->queries[query];
    const int8_t *rows = scan->rows + row * scan->width;
    __m512i dots[ROWS];
    UNROLL
    for (size_t r = 0; r < ROWS; r++)
        dots[r] = _mm512_setzero_si512();
    for (size_t i = 0; i < scan->width; i += BYTES) {
        __m512i values = _mm512_loadu_si512(x + i);
        UNROLL
        for (size_t r = 0; r < count; r++) {
            __m512i bytes = _mm512_loadu_si512(rows + r * scan->width + i);
            dots[r] = _mm512_dpbusd_epi32(dots[r], _mm512_xor_si512(bytes, turn), values);
        }
    }
    __mmask8 mask = (__mmask8)((1u << count) - 1);
    __m128i whole = _mm_sub_epi32(sum_four(dots), _mm_set1_epi32(excess));
    __m128 scales = _mm_mul_ps(_mm_set1_ps(scan->query_scales[query]),
                               _mm_maskz_loadu_ps(mask, scan->row_scales + row));
    _mm_mask_storeu_ps(scan->out + query * scan->row_count + row, mask,
                       _mm_mul_ps(_mm_cvtepi32_ps(whole), scales));
}

static void scan_rows(const struct scan *scan)
{
    int32_t excess[SCAN_QUERIES_MAX];
    for (size_t q = 0; q < scan->query_count; q++)
        excess[q] = excess_of(scan->queries[q], scan->width);
    size_t row = 0;
    for (; row + ROWS <= scan->row_count; row += ROWS)
        for (size_t q = 0; q < scan->query_count; q++)
            scan_some(scan, q, row, ROWS, excess[q]);
    for (; row < scan->row_count; row++)
        for (size_t q = 0; q < scan->query_count; q++)
            scan_some(scan, q, row, 1, excess[q]);
}

void avx512_fill_scan(struct ops *ops)
{
    ops->scan = scan_rows;
}

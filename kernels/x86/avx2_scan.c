/* kernels/x86/avx2_scan.c -- the AVX2 column: queries against rows of bytes (contract: kernels/scan.h).
 *
 * vpmaddubsw multiplies unsigned by signed bytes and adds pairs, saturating: a row's magnitudes by the query's values with
 * the row's signs. A pair is at most 2 * 128 * 127 = 32512, so nothing saturates, whatever the row. */
#include "kernels/ops.h"
#include "kernels/scan.h"
#include "kernels/x86/avx2.h"

enum {
    ROWS = 4,  // at once
    BYTES = 32 // of a vector
};

/* Four vectors of 8 numbers to their four sums. */
INLINE __m128i sum_four(const __m256i v[ROWS])
{
    __m256i all = _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]), _mm256_hadd_epi32(v[2], v[3]));
    return _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
}

/* The dots of rows `row` to `row` + count with one query; the others are 0. */
INLINE __m128i dot_some(const struct scan *scan, size_t query, size_t row, size_t count)
{
    const __m256i ones = _mm256_set1_epi16(1);
    const int8_t *x = scan->queries[query];
    const int8_t *rows = scan->rows + row * scan->width;
    __m256i dots[ROWS];
    UNROLL
    for (size_t r = 0; r < ROWS; r++)
        dots[r] = _mm256_setzero_si256();
    for (size_t i = 0; i < scan->width; i += BYTES) {
        __m256i values = _mm256_loadu_si256((const __m256i *)(const void *)(x + i));
        UNROLL
        for (size_t r = 0; r < count; r++) {
            __m256i bytes =
                _mm256_loadu_si256((const __m256i *)(const void *)(rows + r * scan->width + i));
            __m256i pairs =
                _mm256_maddubs_epi16(_mm256_abs_epi8(bytes), _mm256_sign_epi8(values, bytes));
            dots[r] = _mm256_add_epi32(dots[r], _mm256_madd_epi16(pairs, ones));
        }
    }
    return sum_four(dots);
}

static void scan_rows(const struct scan *scan)
{
    size_t row = 0;
    for (; row + ROWS <= scan->row_count; row += ROWS) {
        __m128 row_scales = _mm_loadu_ps(scan->row_scales + row);
        for (size_t q = 0; q < scan->query_count; q++) {
            __m128 scales = _mm_mul_ps(_mm_set1_ps(scan->query_scales[q]), row_scales);
            __m128 dots = _mm_cvtepi32_ps(dot_some(scan, q, row, ROWS));
            _mm_storeu_ps(scan->out + q * scan->row_count + row, _mm_mul_ps(dots, scales));
        }
    }
    for (; row < scan->row_count; row++) {
        for (size_t q = 0; q < scan->query_count; q++) {
            float dot = (float)_mm_cvtsi128_si32(dot_some(scan, q, row, 1));
            scan->out[q * scan->row_count + row] =
                dot * (scan->query_scales[q] * scan->row_scales[row]);
        }
    }
}

void avx2_fill_scan(struct ops *ops)
{
    ops->scan = scan_rows;
}

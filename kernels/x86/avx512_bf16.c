/* kernels/x86/avx512_bf16.c -- the AVX-512 column: products of bf16 matrices by FMA, with the bits of vdpbf16ps.
 *
 * A bf16 is the upper half of a float, so a pair widens by a mask (the odd column) and a shift (the even one); a panel's
 * activations are widened once for all tiles of a call. Denormals are zero on the way in and on the way out, tiny
 * being judged after rounding: what fma does while MXCSR says so. The product sets it for itself and puts it back. */
#include "kernels/ops.h"
#include "kernels/pack.h"
#include "kernels/x86/avx512.h"

enum {
    FLUSH = 0x8040, // of MXCSR: flush to zero, denormals are zero
    ROWS = ACTS_PANEL,
    TILES = 4,  // at once, of few rows: they hide the FMA's latency
    PAIRS = 128 // of columns, widened at once
};

/* Pairs of columns of a panel, widened. */
struct wide {
    float odd[PAIRS][ROWS];
    float even[PAIRS][ROWS];
};

INLINE __m512 even_of(__m512i pairs)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
}

INLINE __m512 odd_of(__m512i pairs)
{
    return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32((int)0xFFFF0000)));
}

/* Pairs [first, first + count) of the panel that begins at `row`. */
static void widen_acts(struct wide *wide, const struct acts *acts, size_t row, size_t first,
                       size_t count)
{
    size_t rows = acts_panel_rows(acts, row);
    const uint16_t *from = acts->bf + 2 * (acts_entry(row, acts->cols / 2) + first * rows);
    for (size_t p = 0; p < count; p++, from += 2 * rows) {
        __m512i both = _mm512_maskz_loadu_epi32(lanes_below(rows), from);
        _mm512_storeu_ps(wide->odd[p], odd_of(both));
        _mm512_storeu_ps(wide->even[p], even_of(both));
    }
}

/* Where some tiles' sums of some rows of a panel go, and from which pair on they go. */
struct piece {
    const struct gemm *gemm;
    const struct wide *wide;
    size_t tile;
    size_t row;          // of the panel's first
    size_t skip;         // rows of the panel before this piece
    size_t first, count; // pairs
};

/* `tiles` tiles x `rows` rows; constants, tiles * rows <= 16. */
INLINE void add_piece(const struct piece *piece, size_t tiles, size_t rows)
{
    const struct packed *packed = piece->gemm->weights;
    size_t pairs = packed->cols / 2;
    const uint16_t *w = packed->weights;
    w += (piece->tile * pairs + piece->first) * LANES * 2;
    float *out = piece->gemm->out + (piece->row + piece->skip) * packed->rows + piece->tile * LANES;
    __m512 acc[ROWS];
    UNROLL
    for (size_t i = 0; i < tiles * rows; i++) {
        __mmask16 mask = lanes_below(packed->rows - (piece->tile + i % tiles) * LANES);
        acc[i] = _mm512_setzero_ps();
        if (piece->first > 0)
            acc[i] =
                _mm512_maskz_loadu_ps(mask, out + i / tiles * packed->rows + i % tiles * LANES);
    }
    for (size_t p = 0; p < piece->count; p++, w += LANES * 2) {
        const float *odd = piece->wide->odd[p] + piece->skip;
        const float *even = piece->wide->even[p] + piece->skip;
        UNROLL
        for (size_t i = 0; i < tiles; i++) {
            _mm_prefetch((const char *)(w + i * pairs * LANES * 2) + 2048, _MM_HINT_T0);
            __m512i both = _mm512_load_si512(w + i * pairs * LANES * 2);
            __m512 w_odd = odd_of(both);
            __m512 w_even = even_of(both);
            UNROLL
            for (size_t t = 0; t < rows; t++)
                acc[t * tiles + i] =
                    _mm512_fmadd_ps(_mm512_set1_ps(odd[t]), w_odd, acc[t * tiles + i]);
            UNROLL
            for (size_t t = 0; t < rows; t++)
                acc[t * tiles + i] =
                    _mm512_fmadd_ps(_mm512_set1_ps(even[t]), w_even, acc[t * tiles + i]);
        }
    }
    UNROLL
    for (size_t i = 0; i < tiles * rows; i++) {
        __mmask16 mask = lanes_below(packed->rows - (piece->tile + i % tiles) * LANES);
        _mm512_mask_storeu_ps(out + i / tiles * packed->rows + i % tiles * LANES, mask, acc[i]);
    }
}

/* All rows of a panel on `tiles` tiles, 1 or TILES. */
INLINE void add_rows(struct piece *piece, size_t rows, size_t tiles)
{
    const size_t tile = piece->tile;
    piece->skip = 0;
    if (rows == ROWS) {
        for (size_t i = 0; i < tiles; i++, piece->tile++)
            add_piece(piece, 1, ROWS);
        piece->tile = tile;
        return;
    }
    for (; piece->skip + 4 <= rows; piece->skip += 4)
        add_piece(piece, tiles, 4);
    for (; piece->skip < rows; piece->skip++)
        add_piece(piece, tiles, 1);
}

/* Not to be inlined: no product may move to where MXCSR is the contract's. */
__attribute__((noinline)) static void multiply(const struct gemm *gemm)
{
    struct wide wide;
    size_t pairs = gemm->weights->cols / 2;
    for (size_t row = gemm->row_begin; row < gemm->row_end; row += ROWS) {
        size_t rows = acts_panel_rows(gemm->acts, row);
        for (size_t first = 0; first < pairs; first += PAIRS) {
            size_t count = pairs - first < PAIRS ? pairs - first : PAIRS;
            struct piece piece = {
                .gemm = gemm, .wide = &wide, .row = row, .first = first, .count = count};
            widen_acts(&wide, gemm->acts, row, first, count);
            piece.tile = gemm->tile_begin;
            for (; piece.tile + TILES <= gemm->tile_end; piece.tile += TILES)
                add_rows(&piece, rows, TILES);
            for (; piece.tile < gemm->tile_end; piece.tile++)
                add_rows(&piece, rows, 1);
        }
    }
}

static void gemm_bf16(const struct gemm *gemm)
{
    unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | FLUSH);
    multiply(gemm);
    _mm_setcsr(mode);
}

void avx512_fill_bf16(struct ops *ops)
{
    ops->gemm[PACKED_BF16] = gemm_bf16;
}

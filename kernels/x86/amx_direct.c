/* kernels/x86/amx_direct.c -- the AMX column: Q8_0 by a panel of rows or two, when weights are to come out of memory as
 * fast as they can.
 *
 * A packed block of Q8_0 already lies as a tile wants its B, but for its zero: the tile takes it where it is, as unsigned
 * bytes, and zero * sum comes off the product, both exact. The blocks of all tiles lie one behind the other, and go
 * through one pipeline that does not run dry between two tiles. A second panel finds the weights in a cache. */
#include "kernels/ops.h"
#include "kernels/pack.h"
#include "kernels/x86/amx_tiles.h"
#include "kernels/x86/avx512.h"
#include "kernels/x86/avx512_codes.h"

#include <string.h>

enum {
    ROWS = ACTS_PANEL,
    CODES_SIZE = BLOCK * LANES, // bytes of a packed block
    SCALES_SIZE = 2 * LANES,    // and of its scales
    ZERO_BITS = 7               // packed_zero() is 1 << 7
};

/* A panel of rows on its way through tiles. */
struct walk {
    const uint8_t *weights; // of the first tile's first block, as are
    const uint8_t *scales;
    const int8_t *q; // the panel's activations, from its first block on
    const float *d;
    const int32_t *sum;
    size_t rows;     // P
    size_t blocks;   // of a tile
    size_t products; // blocks of all tiles
    float *out;      // of the first row and the next tile to end
    size_t stride;   // outputs from row to row
    size_t outputs;  // there are from `out` on
};

/* Product `index` begins; `block` is its block's number in its tile. */
INLINE void begin(const struct walk *walk, size_t index, size_t block, size_t slot)
{
    const uint8_t *weights = walk->weights + index * CODES_SIZE;
    UNROLL
    for (size_t i = 0; i < CODES_SIZE; i += VECTOR)
        fetch_weights(weights + i);
    multiply_unsigned(slot, walk->q + block * walk->rows * BLOCK, weights);
}

/* The product, as stored, to the sums of `count` rows, of which the panel has `rows`. The compiler is not to see through
 * the copies: out of memory a number is broadcast for nothing. */
INLINE void add(const struct walk *walk, size_t index, size_t block, const int32_t *c, size_t count,
                __m512 acc[ROWS])
{
    int32_t zeros[ROWS];
    float copy[ROWS];
    __mmask16 mask = lanes_below(walk->rows);
    const int32_t *zero = zeros;
    const float *d = walk->d + block * walk->rows;
    __m512i sums = _mm512_maskz_loadu_epi32(mask, walk->sum + block * walk->rows);
    _mm512_storeu_si512(zeros, _mm512_slli_epi32(sums, ZERO_BITS));
    if (walk->rows != count) {
        _mm512_storeu_ps(copy, _mm512_maskz_loadu_ps(mask, d));
        d = copy;
    }
    __asm__("" : "+r"(zero), "+r"(d) : : "memory");
    __m512 scale = halves_to_floats(walk->scales + index * SCALES_SIZE);
    UNROLL
    for (size_t t = 0; t < count; t++) {
        __m512i product = _mm512_load_si512(c + t * LANES);
        __m512i dot = _mm512_sub_epi32(product, _mm512_set1_epi32(zero[t]));
        __m512 both = _mm512_mul_ps(scale, _mm512_set1_ps(d[t]));
        acc[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), both, acc[t]);
    }
}

/* A tile's sums are whole: out with them, and on to the next one's. */
INLINE void end_tile(struct walk *walk, size_t count, __m512 acc[ROWS])
{
    __mmask16 mask = lanes_below(walk->outputs);
    UNROLL
    for (size_t t = 0; t < count; t++) {
        if (t < walk->rows) _mm512_mask_storeu_ps(walk->out + t * walk->stride, mask, acc[t]);
        acc[t] = _mm512_setzero_ps();
    }
    walk->out += LANES;
    walk->outputs -= LANES;
}

/* `count` is 8 or 16, at least the panel's rows. */
INLINE void walk_tiles(struct walk *walk, size_t count)
{
    _Alignas(64) int32_t c[PRODUCTS][ROWS * LANES];
    __m512 acc[ROWS];
    size_t begun = 0; // numbers in their tiles
    size_t added = 0;
    if (walk->rows < count) memset(c, 0, sizeof c);
    UNROLL
    for (size_t t = 0; t < count; t++)
        acc[t] = _mm512_setzero_ps();
    for (size_t index = 0; index < walk->products + ADD_LAG; index += PRODUCTS) {
        UNROLL
        for (size_t slot = 0; slot < PRODUCTS; slot++) {
            const size_t stored = (slot + PRODUCTS - STORE_LAG) % PRODUCTS;
            size_t at = index + slot;
            if (at < walk->products) {
                begin(walk, at, begun, slot);
                if (++begun == walk->blocks) begun = 0;
            }
            if (at >= STORE_LAG && at - STORE_LAG < walk->products) store(stored, c[stored]);
            if (at < ADD_LAG || at - ADD_LAG >= walk->products) continue;
            add(walk, at - ADD_LAG, added, c[slot], count, acc);
            if (++added < walk->blocks) continue;
            added = 0;
            end_tile(walk, count, acc);
        }
    }
}

void amx_gemm_direct(const struct gemm *gemm)
{
    const struct packed *packed = gemm->weights;
    const struct acts *acts = gemm->acts;
    size_t blocks = packed->cols / BLOCK;
    size_t tiles = gemm->tile_end - gemm->tile_begin;
    struct tile_areas areas = tile_areas(packed, PACKED_Q8_0, gemm->tile_begin);
    for (size_t row = gemm->row_begin; row < gemm->row_end; row += ROWS) {
        size_t entry = acts_entry(row, blocks);
        struct walk walk = {
            .weights = areas.weights,
            .scales = areas.scales,
            .q = acts->q + entry * BLOCK,
            .d = acts->d + entry,
            .sum = acts->sum + entry,
            .rows = acts_panel_rows(acts, row),
            .blocks = blocks,
            .products = blocks * tiles,
            .out = gemm->out + row * packed->rows + gemm->tile_begin * LANES,
            .stride = packed->rows,
            .outputs = packed->rows - gemm->tile_begin * LANES,
        };
        amx_configure(walk.rows, BLOCK);
        if (walk.rows > ROWS / 2)
            walk_tiles(&walk, ROWS);
        else
            walk_tiles(&walk, ROWS / 2);
    }
    amx_release();
}

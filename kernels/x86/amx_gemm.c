/* kernels/x86/amx_gemm.c -- the AMX column: products of packed quantised matrices by int8 tiles.
 *
 * A strip of one tile's blocks is unpacked once, to signed codes and floats, and then serves all panels of rows:
 *
 *      A  16 rows x 32 activations     B  32 codes x 16 outputs     C = A . B, 16 x 16 exact integers, by one instruction
 *
 * C goes through memory to the same convert, scale and FMA that every column does, block after block, so the bits
 * are theirs. Products are of blocks, or (Q6_K) of their halves. Few rows of Q8_0 take the weights as they lie
 * (amx_direct.c), and of other kinds are left to the AVX-512 kernels: neither needs a strip. Tiles are configured at the start of a call and released at its end. */
#include "kernels/columns.h"
#include "kernels/ops.h"
#include "kernels/pack.h"
#include "kernels/x86/amx_tiles.h"

#include <string.h>

enum {
    ROWS = ACTS_PANEL,
    STRIP_BLOCKS = 32, // with its panel's activations it stays in the first cache
    DIRECT_LEAST = 6,  // rows
    DIRECT_MOST = ROWS,
    ROWS_LEAST = 12 // fewer rows in all are faster without tiles
};

struct strip {
    _Alignas(64) int8_t codes[STRIP_BLOCKS][BLOCK * LANES]; // [8 groups][16 lanes x 4]
    float scale[STRIP_BLOCKS][LANES];
    float min[STRIP_BLOCKS][LANES];       // kinds with one
    float halves[STRIP_BLOCKS][2][LANES]; // Q6_K
};

INLINE void unpack_strip(enum packed_kind kind, const struct tile_areas *areas, size_t first,
                         size_t count, struct strip *strip)
{
    const __m512i zero = _mm512_set1_epi8((char)packed_zero(kind));
    for (size_t i = 0; i < count; i++) {
        __m512i codes[GROUPS];
        unpack(packed_bits(kind), areas->weights + (first + i) * packed_block_size(kind), codes);
        UNROLL
        for (size_t g = 0; g < GROUPS; g++)
            _mm512_store_si512(strip->codes[i] + g * VECTOR, _mm512_sub_epi8(codes[g], zero));
        struct scales scales = block_scales(areas, kind, first + i);
        _mm512_storeu_ps(strip->scale[i], scales.scale);
        if (packed_has_min(kind)) _mm512_storeu_ps(strip->min[i], scales.min);
        if (kind == PACKED_Q6_K) {
            _mm512_storeu_ps(strip->halves[i][0], scales.halves[0]);
            _mm512_storeu_ps(strip->halves[i][1], scales.halves[1]);
        }
    }
}

/* One panel of rows on its way through a strip. */
struct pass {
    const struct strip *strip;
    const int8_t
        *q; // of the panel's first row and the strip's first block; rows lie one behind the other
    const float *d;
    const float *dsum;
    size_t rows; // P
    float *out;  // of the first row: 16 outputs, rows `stride` apart
    size_t stride;
    __mmask16 mask; // outputs that there are
    bool first;     // the sums begin; else they go on from `out`
    const uint8_t *
        ahead; // the weights behind the strip's, to be fetched on the way; NULL: another pass does it
};

/* The d (or dsum) of the panel's rows: in place, or where a panel is not full, copied with zeros behind. The compiler
 * is not to see through the copy: out of memory a number is broadcast for nothing. */
INLINE const float *row_scales(const float *from, size_t rows, size_t count, float copy[ROWS])
{
    if (rows == count) return from;
    _mm512_storeu_ps(copy, _mm512_maskz_loadu_ps(lanes_below(rows), from));
    from = copy;
    __asm__("" : "+r"(from) : : "memory");
    return from;
}

/* The block's exact products to the sums of `count` rows. `first` and `second` are C as stored; the second is Q6_K's. */
INLINE void add_block(const struct pass *pass, enum packed_kind kind, size_t block,
                      const int32_t *first, const int32_t *second, size_t count, __m512 acc[ROWS])
{
    float copies[2][ROWS];
    const float *d = row_scales(pass->d + block * pass->rows, pass->rows, count, copies[0]);
    const float *dsum = d;
    __m512 scale = _mm512_loadu_ps(pass->strip->scale[block]);
    __m512 min = scale;
    if (packed_has_min(kind)) {
        dsum = row_scales(pass->dsum + block * pass->rows, pass->rows, count, copies[1]);
        min = _mm512_loadu_ps(pass->strip->min[block]);
    }
    UNROLL
    for (size_t t = 0; t < count; t++) {
        __m512 dot = _mm512_cvtepi32_ps(_mm512_load_si512(first + t * LANES));
        if (kind == PACKED_Q6_K) {
            __m512 rest = _mm512_cvtepi32_ps(_mm512_load_si512(second + t * LANES));
            dot = _mm512_mul_ps(dot, _mm512_loadu_ps(pass->strip->halves[block][0]));
            dot = _mm512_fmadd_ps(rest, _mm512_loadu_ps(pass->strip->halves[block][1]), dot);
        }
        __m512 both = _mm512_mul_ps(scale, _mm512_set1_ps(d[t]));
        acc[t] = _mm512_fmadd_ps(dot, both, acc[t]);
        if (packed_has_min(kind)) acc[t] = _mm512_fmadd_ps(min, _mm512_set1_ps(dsum[t]), acc[t]);
    }
}

/* Product `index` of a pass: block `index`, or (Q6_K) half `index` % 2 of block `index` / 2. */
INLINE void begin_product(const struct pass *pass, enum packed_kind kind, size_t index, size_t slot)
{
    const int8_t *codes = pass->strip->codes[0];
    if (kind == PACKED_Q6_K)
        multiply(slot, pass->q + index / 2 * pass->rows * BLOCK + slot % 2 * (BLOCK / 2),
                 codes + index * (BLOCK / 2 * LANES));
    else
        multiply(slot, pass->q + index * pass->rows * BLOCK, codes + index * (BLOCK * LANES));
}

/* The block of the next strip that is as far into it: while the tiles work, memory does. */
INLINE void fetch_ahead(const struct pass *pass, enum packed_kind kind, size_t index, size_t slot)
{
    const size_t size = packed_block_size(kind);
    if (kind == PACKED_Q6_K && slot % 2 == 1) return;
    const uint8_t *block = pass->ahead + (kind == PACKED_Q6_K ? index / 2 : index) * size;
    UNROLL
    for (size_t i = 0; i < size; i += VECTOR)
        _mm_prefetch((const char *)block + i, _MM_HINT_T1);
}

/* Step `index` of the pipeline: a product begins, an earlier one is stored, a still earlier one is added. `whole`:
 * there is one of each. `slot` is index % PRODUCTS. */
INLINE void step(const struct pass *pass, enum packed_kind kind, size_t index, size_t slot,
                 size_t products, bool whole, int32_t (*c)[ROWS * LANES], size_t count,
                 __m512 acc[ROWS])
{
    const size_t stored = (slot + PRODUCTS - STORE_LAG) % PRODUCTS;
    if (whole || index < products) {
        begin_product(pass, kind, index, slot);
        if (pass->ahead) fetch_ahead(pass, kind, index, slot);
    }
    if (whole || (index >= STORE_LAG && index - STORE_LAG < products)) store(stored, c[stored]);
    if (!whole && index < ADD_LAG) return;
    if (kind != PACKED_Q6_K)
        add_block(pass, kind, index - ADD_LAG, c[slot], c[slot], count, acc);
    else if (slot % 2 == 1)
        add_block(pass, kind, (index - ADD_LAG) / 2, c[slot - 1], c[slot], count, acc);
}

/* The pipeline fills, runs, and runs dry. */
INLINE void run_pipeline(const struct pass *pass, enum packed_kind kind, size_t products,
                         size_t count, __m512 acc[ROWS])
{
    _Alignas(64) int32_t c[PRODUCTS][ROWS * LANES];
    if (pass->rows < count) memset(c, 0, sizeof c);
    size_t index = 0;
    while (index < products + ADD_LAG) {
        UNROLL
        for (size_t slot = 0; slot < PRODUCTS; slot++) {
            if (index + slot < products + ADD_LAG)
                step(pass, kind, index + slot, slot, products, false, c, count, acc);
        }
        index += PRODUCTS;
        for (; index + PRODUCTS <= products; index += PRODUCTS) {
            UNROLL
            for (size_t slot = 0; slot < PRODUCTS; slot++)
                step(pass, kind, index + slot, slot, products, true, c, count, acc);
        }
    }
}

/* `count` is 8 or 16, at least the panel's rows. */
INLINE void pass_panel(const struct pass *pass, enum packed_kind kind, size_t blocks, size_t count)
{
    __m512 acc[ROWS];
    for (size_t t = 0; t < pass->rows; t++)
        __builtin_prefetch(pass->out + t * pass->stride, 1);
    UNROLL
    for (size_t t = 0; t < count; t++) {
        bool there = !pass->first && t < pass->rows;
        acc[t] = there ? _mm512_maskz_loadu_ps(pass->mask, pass->out + t * pass->stride)
                       : _mm512_setzero_ps();
    }
    run_pipeline(pass, kind, kind == PACKED_Q6_K ? 2 * blocks : blocks, count, acc);
    UNROLL
    for (size_t t = 0; t < count; t++) {
        if (t < pass->rows) _mm512_mask_storeu_ps(pass->out + t * pass->stride, pass->mask, acc[t]);
    }
}

/* Rows [begin, end) of one tile through one strip. Tiles are configured for full panels on entry, and at the end. */
INLINE void pass_rows(const struct gemm *gemm, enum packed_kind kind, size_t tile, size_t first,
                      size_t count, const struct strip *strip, const uint8_t *ahead)
{
    const struct packed *packed = gemm->weights;
    const size_t columns = kind == PACKED_Q6_K ? BLOCK / 2 : BLOCK;
    size_t blocks = packed->cols / BLOCK;
    for (size_t row = gemm->row_begin; row < gemm->row_end; row += ROWS) {
        const struct acts *acts = gemm->acts;
        struct pass pass = {
            .strip = strip,
            .rows = acts_panel_rows(acts, row),
            .out = gemm->out + row * packed->rows + tile * LANES,
            .stride = packed->rows,
            .mask = lanes_below(packed->rows - tile * LANES),
            .first = first == 0,
            .ahead = row == gemm->row_begin ? ahead : NULL,
        };
        size_t entry = acts_entry(row, blocks) + first * pass.rows;
        pass.q = acts->q + entry * BLOCK;
        pass.d = acts->d + entry;
        pass.dsum = acts->dsum + entry;
        if (pass.rows == ROWS) {
            pass_panel(&pass, kind, count, ROWS);
            continue;
        }
        amx_configure(pass.rows, columns);
        if (pass.rows > ROWS / 2)
            pass_panel(&pass, kind, count, ROWS);
        else
            pass_panel(&pass, kind, count, ROWS / 2);
        amx_configure(ROWS, columns);
    }
}

INLINE void gemm_tiles(const struct gemm *gemm, enum packed_kind kind)
{
    struct strip strip;
    size_t blocks = gemm->weights->cols / BLOCK;
    amx_configure(ROWS, kind == PACKED_Q6_K ? BLOCK / 2 : BLOCK);
    for (size_t tile = gemm->tile_begin; tile < gemm->tile_end; tile++) {
        struct tile_areas areas = tile_areas(gemm->weights, kind, tile);
        for (size_t first = 0; first < blocks; first += STRIP_BLOCKS) {
            size_t count = blocks - first < STRIP_BLOCKS ? blocks - first : STRIP_BLOCKS;
            unpack_strip(kind, &areas, first, count, &strip);
            pass_rows(gemm, kind, tile, first, count, &strip,
                      areas.weights + (first + count) * packed_block_size(kind));
        }
    }
    amx_release();
}

/* Rows that do not pay for a strip take weights as they lie: by tiles (Q8_0) or the AVX-512 way. */
INLINE void gemm_amx(const struct gemm *gemm, enum packed_kind kind)
{
    size_t rows = gemm->row_end - gemm->row_begin;
    if (kind == PACKED_Q8_0 && rows >= DIRECT_LEAST && rows <= DIRECT_MOST)
        amx_gemm_direct(gemm);
    else if (rows < ROWS_LEAST)
        avx512_gemm(gemm);
    else
        gemm_tiles(gemm, kind);
}

/* One function a kind: inside of it the kind is a constant. */
#define KIND(name, kind)                             \
    static void gemm_##name(const struct gemm *gemm) \
    {                                                \
        gemm_amx(gemm, PACKED_##kind);               \
    }
#include "kernels/quantised.def"
#undef KIND

void ops_fill_amx(struct ops *ops)
{
    ops->name = "amx";
#define KIND(name, kind) ops->gemm[PACKED_##kind] = gemm_##name;
#include "kernels/quantised.def"
#undef KIND
}

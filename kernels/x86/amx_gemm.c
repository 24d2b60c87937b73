/* kernels/x86/amx_gemm.c -- the AMX column: products of packed quantised matrices by int8 tiles.
 *
 * A strip of one tile's blocks is unpacked once, to signed codes and floats, and then serves all panels of rows:
 *
 *      A  16 rows x 32 activations     B  32 codes x 16 outputs     C = A . B, 16 x 16 exact integers, by one instruction
 *
 * C goes through memory to the same convert, scale and FMA that every column does, block after block, so the bits
 * are theirs. Two products are under way at once: two blocks, or (Q6_K) the halves of one. Few rows are left to the
 * AVX-512 kernels, which need no strip. Tiles are configured at the start of a call and released at its end. */
#include "kernels/columns.h"
#include "kernels/ops.h"
#include "kernels/pack.h"
#include "kernels/x86/avx512.h"
#include "kernels/x86/avx512_codes.h"

#include <string.h>

enum {
    ROWS = ACTS_PANEL,
    STRIP_BLOCKS = 32, // with its panel's activations it stays in the first cache
    ROWS_LEAST = 12    // fewer rows in all are faster without tiles
};

struct strip {
    _Alignas(64) int8_t codes[STRIP_BLOCKS][BLOCK * LANES]; // [8 groups][16 lanes x 4]
    float scale[STRIP_BLOCKS][LANES];
    float min[STRIP_BLOCKS][LANES];       // kinds with one
    float halves[STRIP_BLOCKS][2][LANES]; // Q6_K
};

/* The tile registers: pair i multiplies A = 2 + i by B = 4 + i into C = i. */
struct tile_config {
    uint8_t palette;
    uint8_t start_row;
    uint8_t reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

static void configure(size_t rows, size_t columns)
{
    struct tile_config config = {.palette = 1};
    for (size_t i = 0; i < 2; i++) {
        config.rows[i] = (uint8_t)rows;
        config.row_bytes[i] = LANES * sizeof(int32_t);
        config.rows[2 + i] = (uint8_t)rows;
        config.row_bytes[2 + i] = (uint16_t)columns;
        config.rows[4 + i] = (uint8_t)(columns / 4);
        config.row_bytes[4 + i] = VECTOR;
    }
    __asm__ volatile("ldtilecfg %0" : : "m"(config));
}

static void release(void)
{
    __asm__ volatile("tilerelease");
}

/* out = a . b: a in rows of `stride` bytes, b in rows of 64. Which pair is a constant. */
#define MULTIPLY(c, a, b, from_a, stride, from_b, out)                                       \
    __asm__ volatile("tilezero %%tmm" #c "\n\t"                                              \
                     "tileloadd (%0,%1,1), %%tmm" #a "\n\t"                                  \
                     "tileloadd (%2,%3,1), %%tmm" #b "\n\t"                                  \
                     "tdpbssd %%tmm" #b ", %%tmm" #a ", %%tmm" #c "\n\t"                     \
                     "tilestored %%tmm" #c ", (%4,%3,1)"                                     \
                     :                                                                       \
                     : "r"(from_a), "r"((size_t)(stride)), "r"(from_b), "r"((size_t)VECTOR), \
                       "r"(out)                                                              \
                     : "memory")

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
    const struct acts *acts;
    const struct strip *strip;
    size_t entry; // of the panel's first row and the strip's first block
    size_t rows;  // P
    float *out;   // of the first row: 16 outputs, rows `stride` apart
    size_t stride;
    __mmask16 mask; // outputs that there are
    bool first;     // the sums begin; else they go on from `out`
};

/* The d (or dsum) of the panel's rows: in place, or where a panel is not full, copied with zeros behind. */
INLINE const float *row_scales(const float *from, size_t rows, size_t count, float copy[ROWS])
{
    if (rows == count) return from;
    _mm512_storeu_ps(copy, _mm512_maskz_loadu_ps(lanes_below(rows), from));
    return copy;
}

/* The block's exact products to the sums of `count` rows. `first` and `second` are C as stored; the second is Q6_K's. */
INLINE void add_block(const struct pass *pass, enum packed_kind kind, size_t block,
                      const int32_t *first, const int32_t *second, size_t count, __m512 acc[ROWS])
{
    float copies[2][ROWS];
    size_t entry = pass->entry + block * pass->rows;
    const float *d = row_scales(pass->acts->d + entry, pass->rows, count, copies[0]);
    const float *dsum = d;
    __m512 scale = _mm512_loadu_ps(pass->strip->scale[block]);
    __m512 min = scale;
    if (packed_has_min(kind)) {
        dsum = row_scales(pass->acts->dsum + entry, pass->rows, count, copies[1]);
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

/* The products of step `index` into two C of 16 x 16: blocks 2 * index and the next one, if there is one; or the
 * halves of block `index` (Q6_K). */
INLINE void multiply_step(const struct pass *pass, enum packed_kind kind, size_t index,
                          size_t blocks, int32_t *out)
{
    const int8_t *q = pass->acts->q + pass->entry * BLOCK;
    size_t step = pass->rows * BLOCK;
    if (kind == PACKED_Q6_K) {
        const int8_t *codes = pass->strip->codes[index];
        q += index * step;
        MULTIPLY(0, 2, 4, q, BLOCK, codes, out);
        MULTIPLY(1, 3, 5, q + BLOCK / 2, BLOCK, codes + BLOCK / 2 * LANES, out + ROWS * LANES);
        return;
    }
    size_t b = 2 * index;
    MULTIPLY(0, 2, 4, q + b * step, BLOCK, pass->strip->codes[b], out);
    if (++b < blocks)
        MULTIPLY(1, 3, 5, q + b * step, BLOCK, pass->strip->codes[b], out + ROWS * LANES);
}

/* `count` is 8 or 16, at least the panel's rows. The tiles work one step ahead of the sums, so that neither waits. */
INLINE void pass_panel(const struct pass *pass, enum packed_kind kind, size_t blocks, size_t count)
{
    _Alignas(64) int32_t products[2][2 * ROWS * LANES];
    if (pass->rows < count) memset(products, 0, sizeof products);
    __m512 acc[ROWS];
    UNROLL
    for (size_t t = 0; t < count; t++) {
        bool there = !pass->first && t < pass->rows;
        acc[t] = there ? _mm512_maskz_loadu_ps(pass->mask, pass->out + t * pass->stride)
                       : _mm512_setzero_ps();
    }
    const size_t together = kind == PACKED_Q6_K ? 1 : 2; // blocks of a step
    size_t steps = (blocks + together - 1) / together;
    multiply_step(pass, kind, 0, blocks, products[0]);
    for (size_t i = 0; i < steps; i++) {
        const int32_t *first = products[i % 2];
        const int32_t *second = first + ROWS * LANES;
        if (i + 1 < steps) multiply_step(pass, kind, i + 1, blocks, products[(i + 1) % 2]);
        add_block(pass, kind, together * i, first, second, count, acc);
        if (together == 2 && 2 * i + 1 < blocks)
            add_block(pass, kind, 2 * i + 1, second, second, count, acc);
    }
    UNROLL
    for (size_t t = 0; t < count; t++) {
        if (t < pass->rows) _mm512_mask_storeu_ps(pass->out + t * pass->stride, pass->mask, acc[t]);
    }
}

/* Rows [begin, end) of one tile through one strip. Tiles are configured for full panels on entry, and at the end. */
INLINE void pass_rows(const struct gemm *gemm, enum packed_kind kind, size_t tile, size_t first,
                      size_t count, const struct strip *strip)
{
    const struct packed *packed = gemm->weights;
    const size_t columns = kind == PACKED_Q6_K ? BLOCK / 2 : BLOCK;
    size_t blocks = packed->cols / BLOCK;
    for (size_t row = gemm->row_begin; row < gemm->row_end; row += ROWS) {
        struct pass pass = {
            .acts = gemm->acts,
            .strip = strip,
            .rows = acts_panel_rows(gemm->acts, row),
            .out = gemm->out + row * packed->rows + tile * LANES,
            .stride = packed->rows,
            .mask = lanes_below(packed->rows - tile * LANES),
            .first = first == 0,
        };
        pass.entry = acts_entry(row, blocks) + first * pass.rows;
        if (pass.rows == ROWS) {
            pass_panel(&pass, kind, count, ROWS);
            continue;
        }
        configure(pass.rows, columns);
        if (pass.rows > ROWS / 2)
            pass_panel(&pass, kind, count, ROWS);
        else
            pass_panel(&pass, kind, count, ROWS / 2);
        configure(ROWS, columns);
    }
}

INLINE void gemm_tiles(const struct gemm *gemm, enum packed_kind kind)
{
    struct strip strip;
    size_t blocks = gemm->weights->cols / BLOCK;
    configure(ROWS, kind == PACKED_Q6_K ? BLOCK / 2 : BLOCK);
    for (size_t tile = gemm->tile_begin; tile < gemm->tile_end; tile++) {
        struct tile_areas areas = tile_areas(gemm->weights, kind, tile);
        for (size_t first = 0; first < blocks; first += STRIP_BLOCKS) {
            size_t count = blocks - first < STRIP_BLOCKS ? blocks - first : STRIP_BLOCKS;
            unpack_strip(kind, &areas, first, count, &strip);
            pass_rows(gemm, kind, tile, first, count, &strip);
        }
    }
    release();
}

/* Rows that do not pay for a strip take the AVX-512 way. */
INLINE void gemm_amx(const struct gemm *gemm, enum packed_kind kind)
{
    if (gemm->row_end - gemm->row_begin < ROWS_LEAST)
        avx512_gemm(gemm);
    else
        gemm_tiles(gemm, kind);
}

static void gemm_q8_0(const struct gemm *gemm)
{
    gemm_amx(gemm, PACKED_Q8_0);
}

static void gemm_q4_0(const struct gemm *gemm)
{
    gemm_amx(gemm, PACKED_Q4_0);
}

static void gemm_q4_1(const struct gemm *gemm)
{
    gemm_amx(gemm, PACKED_Q4_1);
}

static void gemm_q5_0(const struct gemm *gemm)
{
    gemm_amx(gemm, PACKED_Q5_0);
}

static void gemm_q5_1(const struct gemm *gemm)
{
    gemm_amx(gemm, PACKED_Q5_1);
}

static void gemm_q4_k(const struct gemm *gemm)
{
    gemm_amx(gemm, PACKED_Q4_K);
}

static void gemm_q5_k(const struct gemm *gemm)
{
    gemm_amx(gemm, PACKED_Q5_K);
}

static void gemm_q6_k(const struct gemm *gemm)
{
    gemm_amx(gemm, PACKED_Q6_K);
}

void ops_fill_amx(struct ops *ops)
{
    ops->name = "amx";
    ops->gemm[PACKED_Q8_0] = gemm_q8_0;
    ops->gemm[PACKED_Q4_0] = gemm_q4_0;
    ops->gemm[PACKED_Q4_1] = gemm_q4_1;
    ops->gemm[PACKED_Q5_0] = gemm_q5_0;
    ops->gemm[PACKED_Q5_1] = gemm_q5_1;
    ops->gemm[PACKED_Q4_K] = gemm_q4_k;
    ops->gemm[PACKED_Q5_K] = gemm_q5_k;
    ops->gemm[PACKED_Q6_K] = gemm_q6_k;
}

#include "kernels/pack.h"

#include "kernels/quant.h"

#include "base/gguf.h"
#include "base/must.h"

#include <string.h>

enum {
    VECTOR = PACK_TILE * 4, // bytes: a group of each row
    GROUPS = QUANT_BLOCK / 4,
    SUPER_BLOCKS = QUANT_SUPER / QUANT_BLOCK
};

/* Which GGUF type becomes which kind. */
static const struct {
    uint32_t type;
    enum packed_kind kind;
} kinds[] = {
    {GGUF_TENSOR_Q8_0, PACKED_Q8_0}, {GGUF_TENSOR_Q4_0, PACKED_Q4_0},
    {GGUF_TENSOR_Q4_1, PACKED_Q4_1}, {GGUF_TENSOR_Q5_0, PACKED_Q5_0},
    {GGUF_TENSOR_Q5_1, PACKED_Q5_1}, {GGUF_TENSOR_Q4_K, PACKED_Q4_K},
    {GGUF_TENSOR_Q5_K, PACKED_Q5_K}, {GGUF_TENSOR_Q6_K, PACKED_Q6_K},
    {GGUF_TENSOR_F32, PACKED_F32},   {GGUF_TENSOR_F16, PACKED_F16},
    {GGUF_TENSOR_BF16, PACKED_BF16},
};

enum packed_kind packed_kind_of(uint32_t type, enum float_gemm float_gemm)
{
    size_t at = 0;
    while (at < sizeof kinds / sizeof *kinds && kinds[at].type != type)
        at++;
    must(at < sizeof kinds / sizeof *kinds);
    enum packed_kind kind = kinds[at].kind;
    return !packed_quantised(kind) && float_gemm == FLOAT_GEMM_BLAS ? PACKED_ROWS : kind;
}

static uint32_t type_of(enum packed_kind kind)
{
    size_t at = 0;
    while (kinds[at].kind != kind)
        at++;
    return kinds[at].type;
}

static size_t tiles_of(size_t rows)
{
    return (rows + PACK_TILE - 1) / PACK_TILE;
}

size_t packed_tiles(const struct packed *packed)
{
    return tiles_of(packed->rows);
}

static size_t aligned(size_t size)
{
    return (size + PACK_ALIGN - 1) / PACK_ALIGN * PACK_ALIGN;
}

/* Bytes of one tile in each of the three areas. */

static size_t weights_of_tile(enum packed_kind kind, size_t cols)
{
    if (packed_quantised(kind)) return cols / QUANT_BLOCK * packed_block_size(kind);
    if (kind == PACKED_F16) return cols * PACK_TILE * sizeof(uint16_t);
    if (kind == PACKED_BF16) return cols / 2 * VECTOR;
    return cols * PACK_TILE * sizeof(float);
}

static size_t scales_of_tile(enum packed_kind kind, size_t cols)
{
    return packed_quantised(kind) ? cols / QUANT_BLOCK * packed_scale_size(kind) : 0;
}

static size_t supers_of_tile(enum packed_kind kind, size_t cols)
{
    return packed_quantised(kind) ? cols / QUANT_SUPER * packed_super_size(kind) : 0;
}

static size_t weights_size(enum packed_kind kind, size_t rows, size_t cols)
{
    if (kind == PACKED_ROWS) return aligned(rows * cols * sizeof(float));
    return aligned(tiles_of(rows) * weights_of_tile(kind, cols));
}

static size_t scales_size(enum packed_kind kind, size_t rows, size_t cols)
{
    return aligned(tiles_of(rows) * scales_of_tile(kind, cols));
}

size_t packed_size(enum packed_kind kind, size_t rows, size_t cols)
{
    return weights_size(kind, rows, cols) + scales_size(kind, rows, cols) +
           aligned(tiles_of(rows) * supers_of_tile(kind, cols));
}

size_t packed_tile_size(const struct packed *packed)
{
    return weights_of_tile(packed->kind, packed->cols) +
           scales_of_tile(packed->kind, packed->cols) + supers_of_tile(packed->kind, packed->cols);
}

void packed_init(struct packed *packed, enum packed_kind kind, size_t rows, size_t cols, void *area)
{
    must(rows > 0 && cols > 0);
    must(!packed_quantised(kind) || cols % QUANT_BLOCK == 0);
    must(packed_super_size(kind) == 0 || !packed_quantised(kind) || cols % QUANT_SUPER == 0);
    must(kind != PACKED_BF16 || cols % 2 == 0);
    must((uintptr_t)area % PACK_ALIGN == 0);
    *packed = (struct packed){.kind = kind, .rows = rows, .cols = cols, .weights = area};
    if (!packed_quantised(kind)) return;
    packed->scales = (unsigned char *)area + weights_size(kind, rows, cols);
    if (packed_super_size(kind) > 0)
        packed->supers = (unsigned char *)packed->scales + scales_size(kind, rows, cols);
}

/* The block's place: its weights, its scales, and the supers that it belongs to (NULL: the kind has none). */
struct place {
    unsigned char *weights;
    unsigned char *scales;
    unsigned char *supers;
};

static struct place place_of(const struct packed *packed, size_t tile, size_t block)
{
    enum packed_kind kind = packed->kind;
    size_t blocks = packed->cols / QUANT_BLOCK;
    size_t index = tile * blocks + block;
    struct place place = {
        .weights = (unsigned char *)packed->weights + index * packed_block_size(kind),
        .scales = (unsigned char *)packed->scales + index * packed_scale_size(kind),
    };
    if (packed->supers) {
        size_t super = tile * (blocks / SUPER_BLOCKS) + block / SUPER_BLOCKS;
        place.supers = (unsigned char *)packed->supers + super * packed_super_size(kind);
    }
    return place;
}

static uint32_t get_four(const void *from)
{
    uint32_t four;
    memcpy(&four, from, sizeof four);
    return four;
}

static void put_four(void *to, uint32_t four)
{
    memcpy(to, &four, sizeof four);
}

/* One row's 32 codes into its lane; see the header for where each bit goes. */
static void put_codes(unsigned char *weights, size_t bits, size_t lane, const uint8_t *code)
{
    uint32_t four[GROUPS];
    for (size_t g = 0; g < GROUPS; g++)
        four[g] = get_four(code + 4 * g);
    unsigned char *at = weights + lane * 4;
    if (bits == 8) {
        for (size_t g = 0; g < GROUPS; g++)
            put_four(at + g * VECTOR, four[g]);
        return;
    }
    for (size_t j = 0; j < 4; j++)
        put_four(at + j * VECTOR, (four[j] & 0x0F0F0F0F) | (four[j + 4] & 0x0F0F0F0F) << 4);
    uint32_t upper[2] = {0, 0};
    for (size_t g = 0; g < GROUPS; g++) {
        if (bits == 5) upper[0] |= (four[g] >> 4 & 0x01010101) << g;
        if (bits == 6) upper[g / 4] |= (four[g] >> 4 & 0x03030303) << 2 * (g % 4);
    }
    for (size_t p = 0; p + 4 < bits; p++)
        put_four(at + (4 + p) * VECTOR, upper[p]);
}

static void get_codes(const unsigned char *weights, size_t bits, size_t lane, uint8_t *code)
{
    const unsigned char *at = weights + lane * 4;
    for (size_t g = 0; g < GROUPS; g++) {
        uint32_t four = get_four(at + g % (bits == 8 ? 8 : 4) * VECTOR);
        if (bits != 8) four = four >> (g < 4 ? 0 : 4) & 0x0F0F0F0F;
        if (bits == 5) four |= (get_four(at + 4 * VECTOR) >> g & 0x01010101) << 4;
        if (bits == 6)
            four |= (get_four(at + (4 + g / 4) * VECTOR) >> 2 * (g % 4) & 0x03030303) << 4;
        put_four(code + 4 * g, four);
    }
}

static void put_half(unsigned char *to, size_t lane, uint16_t half)
{
    memcpy(to + 2 * lane, &half, sizeof half);
}

static uint16_t get_half(const unsigned char *from, size_t lane)
{
    uint16_t half;
    memcpy(&half, from + 2 * lane, sizeof half);
    return half;
}

static void put_scales(struct place place, enum packed_kind kind, size_t lane,
                       const struct quant_block *block)
{
    if (packed_super_size(kind) > 0) {
        place.scales[lane] = block->scale[0];
        place.scales[PACK_TILE + lane] = block->scale[1];
        put_half(place.supers, lane, block->d);
        if (packed_has_min(kind)) put_half(place.supers + 32, lane, block->m);
    } else {
        put_half(place.scales, lane, block->d);
        if (packed_has_min(kind)) put_half(place.scales + 32, lane, block->m);
    }
}

static void get_scales(struct place place, enum packed_kind kind, size_t lane,
                       struct quant_block *block)
{
    const unsigned char *halves = place.supers ? place.supers : place.scales;
    block->d = get_half(halves, lane);
    block->m = packed_has_min(kind) ? get_half(halves + 32, lane) : 0;
    block->scale[0] = place.supers ? place.scales[lane] : 0;
    block->scale[1] = place.supers ? place.scales[PACK_TILE + lane] : 0;
}

static void pack_quantised_tile(struct packed *packed, uint32_t type, const unsigned char *source,
                                size_t tile)
{
    size_t row_size = quant_row_size(type, packed->cols);
    struct quant_block empty = {.d = 0};
    memset(empty.code, quant_zero(type), sizeof empty.code);
    for (size_t lane = 0; lane < PACK_TILE; lane++) {
        size_t row = tile * PACK_TILE + lane;
        struct quant_block block = empty;
        for (size_t b = 0; b < packed->cols / QUANT_BLOCK; b++) {
            if (row < packed->rows) quant_read_block(type, source + row * row_size, b, &block);
            struct place place = place_of(packed, tile, b);
            put_codes(place.weights, packed_bits(packed->kind), lane, block.code);
            put_scales(place, packed->kind, lane, &block);
        }
    }
}

/* Float weights are moved, not changed: `width` is 4 or 2 bytes a value; `together` columns lie side by side. */
static void pack_float_tile(struct packed *packed, const unsigned char *source, size_t tile,
                            size_t width, size_t together)
{
    size_t cols = packed->cols;
    unsigned char *weights = (unsigned char *)packed->weights + tile * cols * PACK_TILE * width;
    for (size_t lane = 0; lane < PACK_TILE; lane++) {
        size_t row = tile * PACK_TILE + lane;
        for (size_t k = 0; k < cols; k++) {
            size_t at = (k / together * PACK_TILE + lane) * together + k % together;
            if (row < packed->rows)
                memcpy(weights + at * width, source + (row * cols + k) * width, width);
            else
                memset(weights + at * width, 0, width);
        }
    }
}

static void pack_plain_tile(struct packed *packed, uint32_t type, const unsigned char *source,
                            size_t tile)
{
    size_t row_size = quant_row_size(type, packed->cols);
    size_t end = (tile + 1) * PACK_TILE;
    for (size_t row = tile * PACK_TILE; row < end && row < packed->rows; row++)
        quant_row_to_f32(type, source + row * row_size,
                         (float *)packed->weights + row * packed->cols, packed->cols);
}

void pack_rows(struct packed *packed, uint32_t type, const void *source, size_t tile_begin,
               size_t tile_end)
{
    must(tile_end <= packed_tiles(packed));
    must(packed->kind == PACKED_ROWS || packed_kind_of(type, FLOAT_GEMM_EXACT) == packed->kind);
    for (size_t tile = tile_begin; tile < tile_end; tile++) {
        switch (packed->kind) {
        case PACKED_F32: pack_float_tile(packed, source, tile, sizeof(float), 1); break;
        case PACKED_F16: pack_float_tile(packed, source, tile, sizeof(uint16_t), 1); break;
        case PACKED_BF16: pack_float_tile(packed, source, tile, sizeof(uint16_t), 2); break;
        case PACKED_ROWS: pack_plain_tile(packed, type, source, tile); break;
        default: pack_quantised_tile(packed, type, source, tile); break;
        }
    }
}

static void quantised_row(const struct packed *packed, size_t row, float *out)
{
    size_t lane = row % PACK_TILE;
    for (size_t b = 0; b < packed->cols / QUANT_BLOCK; b++) {
        struct place place = place_of(packed, row / PACK_TILE, b);
        struct quant_block block;
        get_codes(place.weights, packed_bits(packed->kind), lane, block.code);
        get_scales(place, packed->kind, lane, &block);
        quant_block_to_f32(type_of(packed->kind), &block, out + b * QUANT_BLOCK);
    }
}

void packed_row(const struct packed *packed, size_t row, float *out)
{
    must(row < packed->rows);
    size_t cols = packed->cols;
    size_t first = row / PACK_TILE * cols * PACK_TILE + row % PACK_TILE;
    const float *floats = packed->weights;
    const uint16_t *halves = packed->weights;
    switch (packed->kind) {
    case PACKED_F32:
        for (size_t k = 0; k < cols; k++)
            out[k] = floats[first + k * PACK_TILE];
        break;
    case PACKED_F16:
        for (size_t k = 0; k < cols; k++)
            out[k] = quant_f16_to_f32(halves[first + k * PACK_TILE]);
        break;
    case PACKED_BF16:
        halves += (row / PACK_TILE * (cols / 2) * PACK_TILE + row % PACK_TILE) * 2;
        for (size_t k = 0; k < cols; k++)
            out[k] = quant_bf16_to_f32(halves[k / 2 * PACK_TILE * 2 + k % 2]);
        break;
    case PACKED_ROWS: memcpy(out, floats + row * cols, cols * sizeof *out); break;
    default: quantised_row(packed, row, out); break;
    }
}

#include "kernels/pack.h"

#include "kernels/quant.h"

#include "base/gguf.h"
#include "base/must.h"

#include <string.h>

enum {
    BLOCK_BYTES = PACK_TILE * QUANT_BLOCK, // weights of one block of one tile
    GROUP_BYTES = PACK_TILE * 4
};

enum packed_kind packed_kind_of(uint32_t type, enum float_gemm float_gemm)
{
    if (type == GGUF_TENSOR_Q8_0) return PACKED_Q8;
    must(type == GGUF_TENSOR_F32 || type == GGUF_TENSOR_F16);
    if (float_gemm == FLOAT_GEMM_BLAS) return PACKED_ROWS;
    return type == GGUF_TENSOR_F32 ? PACKED_F32 : PACKED_F16;
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

static size_t weights_size(enum packed_kind kind, size_t rows, size_t cols)
{
    size_t lanes = tiles_of(rows) * PACK_TILE;
    switch (kind) {
    case PACKED_Q8: return aligned(lanes * cols);
    case PACKED_F32: return aligned(lanes * cols * sizeof(float));
    case PACKED_F16: return aligned(lanes * cols * sizeof(uint16_t));
    case PACKED_ROWS: return aligned(rows * cols * sizeof(float));
    }
    must(!"a packed kind");
    return 0;
}

size_t packed_size(enum packed_kind kind, size_t rows, size_t cols)
{
    size_t size = weights_size(kind, rows, cols);
    if (kind == PACKED_Q8)
        size += aligned(tiles_of(rows) * PACK_TILE * (cols / QUANT_BLOCK) * sizeof(uint16_t));
    return size;
}

void packed_init(struct packed *packed, enum packed_kind kind, size_t rows, size_t cols, void *area)
{
    must(rows > 0 && cols > 0);
    must(kind != PACKED_Q8 || cols % QUANT_BLOCK == 0);
    must((uintptr_t)area % PACK_ALIGN == 0);
    *packed = (struct packed){.kind = kind, .rows = rows, .cols = cols, .weights = area};
    if (kind == PACKED_Q8)
        packed->scales =
            (uint16_t *)(void *)((unsigned char *)area + weights_size(kind, rows, cols));
}

/* One row's block of 32 bytes into its lane: w + 128 is w with its sign bit flipped. */
static void put_block(unsigned char *block, size_t lane, const unsigned char *source)
{
    for (size_t group = 0; group < QUANT_BLOCK / 4; group++) {
        uint32_t four;
        memcpy(&four, source + 4 * group, sizeof four);
        four ^= 0x80808080u;
        memcpy(block + group * GROUP_BYTES + lane * 4, &four, sizeof four);
    }
}

static void pack_q8_tile(struct packed *packed, const unsigned char *source, size_t tile)
{
    static const unsigned char zeros[QUANT_Q8_0_SIZE];
    size_t blocks = packed->cols / QUANT_BLOCK;
    size_t row_size = blocks * QUANT_Q8_0_SIZE;
    unsigned char *weights = (unsigned char *)packed->weights + tile * blocks * BLOCK_BYTES;
    uint16_t *scales = packed->scales + tile * blocks * PACK_TILE;
    for (size_t lane = 0; lane < PACK_TILE; lane++) {
        size_t row = tile * PACK_TILE + lane;
        for (size_t b = 0; b < blocks; b++) {
            const unsigned char *block =
                row < packed->rows ? source + row * row_size + b * QUANT_Q8_0_SIZE : zeros;
            put_block(weights + b * BLOCK_BYTES, lane, block + 2);
            scales[b * PACK_TILE + lane] = (uint16_t)(block[0] | block[1] << 8);
        }
    }
}

/* Float weights are moved, not changed: `width` is 4 or 2 bytes a value. */
static void pack_float_tile(struct packed *packed, const unsigned char *source, size_t tile,
                            size_t width)
{
    size_t cols = packed->cols;
    unsigned char *weights = (unsigned char *)packed->weights + tile * cols * PACK_TILE * width;
    for (size_t lane = 0; lane < PACK_TILE; lane++) {
        size_t row = tile * PACK_TILE + lane;
        for (size_t k = 0; k < cols; k++) {
            unsigned char *target = weights + (k * PACK_TILE + lane) * width;
            if (row < packed->rows)
                memcpy(target, source + (row * cols + k) * width, width);
            else
                memset(target, 0, width);
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
    for (size_t tile = tile_begin; tile < tile_end; tile++) {
        switch (packed->kind) {
        case PACKED_Q8:
            must(type == GGUF_TENSOR_Q8_0);
            pack_q8_tile(packed, source, tile);
            break;
        case PACKED_F32:
            must(type == GGUF_TENSOR_F32);
            pack_float_tile(packed, source, tile, sizeof(float));
            break;
        case PACKED_F16:
            must(type == GGUF_TENSOR_F16);
            pack_float_tile(packed, source, tile, sizeof(uint16_t));
            break;
        case PACKED_ROWS: pack_plain_tile(packed, type, source, tile); break;
        }
    }
}

static void q8_row(const struct packed *packed, size_t row, float *out)
{
    size_t blocks = packed->cols / QUANT_BLOCK;
    size_t tile = row / PACK_TILE;
    size_t lane = row % PACK_TILE;
    const unsigned char *weights =
        (const unsigned char *)packed->weights + tile * blocks * BLOCK_BYTES;
    const uint16_t *scales = packed->scales + tile * blocks * PACK_TILE;
    for (size_t b = 0; b < blocks; b++) {
        float d = quant_f16_to_f32(scales[b * PACK_TILE + lane]);
        for (size_t i = 0; i < QUANT_BLOCK; i++) {
            unsigned char w = weights[b * BLOCK_BYTES + i / 4 * GROUP_BYTES + lane * 4 + i % 4];
            out[b * QUANT_BLOCK + i] = d * (float)(w - 128);
        }
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
    case PACKED_Q8: q8_row(packed, row, out); break;
    case PACKED_F32:
        for (size_t k = 0; k < cols; k++)
            out[k] = floats[first + k * PACK_TILE];
        break;
    case PACKED_F16:
        for (size_t k = 0; k < cols; k++)
            out[k] = quant_f16_to_f32(halves[first + k * PACK_TILE]);
        break;
    case PACKED_ROWS: memcpy(out, floats + row * cols, cols * sizeof *out); break;
    }
}

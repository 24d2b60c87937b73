/* kernels/pack.h -- matrices as the kernels want them.
 *
 * A matrix of N rows (outputs) and K columns (inputs) is cut into tiles of PACK_TILE = 16 rows, a row a
 * lane; N is padded to 16 with zero rows. `tiles` below is ceil(N / 16).
 *
 *      PACKED_Q8    weights [tiles][K/32][8][16 rows x 4 bytes] of uint8, w + 128: byte j of row r in
 *                   group g is column 32 * block + 4 * g + j
 *                   scales  [tiles][K/32][16] of f16 (exact: they came as f16)
 *      PACKED_F32   weights [tiles][K][16 rows] of float
 *      PACKED_F16   the same, of f16, widened exactly in the kernel
 *      PACKED_ROWS  weights [N][K] of float, row by row: for OpenBLAS alone (--float-gemm blas)
 *
 * Memory: `weights` and `scales` lie in one area of packed_size() bytes, 64-byte aligned, that the caller
 * gives and keeps. Thread: pack_rows() of disjoint tiles may run in parallel; immutable after. */
#ifndef KERNELS_PACK_H
#define KERNELS_PACK_H

#include <stddef.h>
#include <stdint.h>

enum {
    PACK_TILE = 16,
    PACK_ALIGN = 64
};

enum packed_kind {
    PACKED_Q8,
    PACKED_F32,
    PACKED_F16,
    PACKED_ROWS
};

enum {
    PACKED_KINDS = PACKED_ROWS + 1
};

struct packed {
    enum packed_kind kind;
    size_t rows; // N
    size_t cols; // K; a multiple of 32 for PACKED_Q8
    void *weights;
    uint16_t *scales; // PACKED_Q8 only
};

/* What becomes of float weights: our own kernels (exact, promise 1) or OpenBLAS. */
enum float_gemm {
    FLOAT_GEMM_EXACT,
    FLOAT_GEMM_BLAS
};

/* The kind for weights of a GGUF type that quant_check() has passed. */
enum packed_kind packed_kind_of(uint32_t type, enum float_gemm float_gemm);

/* Bytes of the area: a multiple of PACK_ALIGN. */
size_t packed_size(enum packed_kind kind, size_t rows, size_t cols);
size_t packed_tiles(const struct packed *packed);

/* Lay the matrix out over `area`. */
void packed_init(struct packed *packed, enum packed_kind kind, size_t rows, size_t cols,
                 void *area);

/* Fill tiles [tile_begin, tile_end). `source` is the whole matrix in GGUF's order ([N] rows of
 * quant_row_size(type, K) bytes, any alignment); `type` is one whose kind this is. */
void pack_rows(struct packed *packed, uint32_t type, const void *source, size_t tile_begin,
               size_t tile_end);

/* out[K] = row `row`, dequantised as quant_row_to_f32() does: a token's embedding. */
void packed_row(const struct packed *packed, size_t row, float *out);

#endif

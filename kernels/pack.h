/* kernels/pack.h -- matrices as the kernels want them.
 *
 * A matrix of N rows (outputs) and K columns (inputs) is cut into tiles of PACK_TILE = 16 rows, a row a
 * lane; N is padded to 16 with zero rows. `tiles` below is ceil(N / 16).
 *
 * Quantised kinds: K is cut into blocks of 32. A row's 32 codes (kernels/quant.h: value = d * (code - zero), ...)
 * lie in 8 groups of 4 columns; `four` is a group of one row as 4 bytes. Vectors are [16 rows x 4 bytes].
 *
 *      weights [tiles][K/32][vectors of 64 bytes]
 *          8 bits   8 vectors: vector g is group g
 *          4 bits   4 vectors: vector j is group j in the low nibbles, group j + 4 in the high ones
 *          5 bits   the same 4, then 1: bit g of a byte is the fifth bit of the code in group g
 *          6 bits   the same 4, then 2: bits 2i and 2i + 1 of vector p are the upper two of group 4p + i
 *      scales  [tiles][K/32], as the kind says:
 *          Q8_0, Q4_0, Q5_0    d [16] f16
 *          Q4_1, Q5_1          d [16] f16, m [16] f16
 *          Q4_K, Q5_K          scale [16] uint8, min [16] uint8
 *          Q6_K                scale of columns 0..15 [16] int8, of 16..31 [16] int8
 *      supers  [tiles][K/256]
 *          Q4_K, Q5_K          d [16] f16, dmin [16] f16
 *          Q6_K                d [16] f16
 *
 *      PACKED_F32   weights [tiles][K][16 rows] of float
 *      PACKED_F16   the same, of f16, widened exactly in the kernel
 *      PACKED_BF16  weights [tiles][K/2][16 rows x 2] of bf16: columns 2k and 2k + 1; K is even
 *      PACKED_ROWS  weights [N][K] of float, row by row: for OpenBLAS alone (--float-gemm blas)
 *
 * Memory: the areas lie one behind the other in packed_size() bytes, 64-byte aligned, that the caller gives and
 * keeps. Thread: pack_rows() of disjoint tiles may run in parallel; immutable after. */
#ifndef KERNELS_PACK_H
#define KERNELS_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PACK_TILE = 16,
    PACK_ALIGN = 64
};

enum packed_kind {
    PACKED_Q8_0,
    PACKED_Q4_0,
    PACKED_Q4_1,
    PACKED_Q5_0,
    PACKED_Q5_1,
    PACKED_Q4_K,
    PACKED_Q5_K,
    PACKED_Q6_K,
    PACKED_F32,
    PACKED_F16,
    PACKED_BF16,
    PACKED_ROWS
};

enum {
    PACKED_KINDS = PACKED_ROWS + 1
};

struct packed {
    enum packed_kind kind;
    size_t rows; // N
    size_t cols; // K; a multiple of 32 for quantised kinds, of 256 for the K kinds
    void *weights;
    void *scales; // quantised kinds only
    void *supers; // K kinds only
};

/* What becomes of float weights: our own kernels (exact, promise 1) or OpenBLAS. */
enum float_gemm {
    FLOAT_GEMM_EXACT,
    FLOAT_GEMM_BLAS
};

/* Facts of a kind; constants where the kind is one. */

static inline bool packed_quantised(enum packed_kind kind)
{
    return kind <= PACKED_Q6_K;
}

/* Bits of a code. */
static inline size_t packed_bits(enum packed_kind kind)
{
    switch (kind) {
    case PACKED_Q4_0:
    case PACKED_Q4_1:
    case PACKED_Q4_K: return 4;
    case PACKED_Q5_0:
    case PACKED_Q5_1:
    case PACKED_Q5_K: return 5;
    case PACKED_Q6_K: return 6;
    default: return 8;
    }
}

/* Bytes of weights of one block of one tile. */
static inline size_t packed_block_size(enum packed_kind kind)
{
    return packed_bits(kind) * 64;
}

/* What a code stands above its value. */
static inline int32_t packed_zero(enum packed_kind kind)
{
    switch (kind) {
    case PACKED_Q8_0: return 128;
    case PACKED_Q4_0: return 8;
    case PACKED_Q5_0: return 16;
    case PACKED_Q6_K: return 32;
    default: return 0;
    }
}

/* Has a value a part beside d * code: m, or -dmin * min? */
static inline bool packed_has_min(enum packed_kind kind)
{
    return kind == PACKED_Q4_1 || kind == PACKED_Q5_1 || kind == PACKED_Q4_K || kind == PACKED_Q5_K;
}

/* Bytes of scales of one block of one tile. */
static inline size_t packed_scale_size(enum packed_kind kind)
{
    return kind == PACKED_Q4_1 || kind == PACKED_Q5_1 ? 64 : 32;
}

/* Bytes of supers of one super-block of one tile; 0 for a kind without them. */
static inline size_t packed_super_size(enum packed_kind kind)
{
    if (kind == PACKED_Q6_K) return 32;
    return kind == PACKED_Q4_K || kind == PACKED_Q5_K ? 64 : 0;
}

/* The kind for weights of a GGUF type that quant_check() has passed. */
enum packed_kind packed_kind_of(uint32_t type, enum float_gemm float_gemm);

/* Bytes of the area: a multiple of PACK_ALIGN. */
size_t packed_size(enum packed_kind kind, size_t rows, size_t cols);
size_t packed_tiles(const struct packed *packed);
/* Bytes of everything that one tile takes. */
size_t packed_tile_size(const struct packed *packed);

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

/* kernels/x86/amx_tiles.h -- int8 tiles for the files of the AMX column:
 *
 *      A  16 rows x 32 activations     B  32 codes x 16 outputs     C = A . B, 16 x 16 exact integers, by one instruction
 *
 * Tiles are not renamed, so products go through them in a pipeline: one begins, the one before the last is stored,
 * an earlier one is added to its sums. */
#ifndef KERNELS_X86_AMX_TILES_H
#define KERNELS_X86_AMX_TILES_H

#include "kernels/pack.h"
#include "kernels/x86/avx512.h"
#include "kernels/x86/avx512_codes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PRODUCTS = 4,  // under way at once
    STORE_LAG = 2, // a product is stored two steps after it began,
    ADD_LAG = 4    // and added two after that
};

/* Tile registers for products of up to 16 rows x `columns` activations; and no more tiles. Product i goes into C = i % 4,
 * from A = 4 + i % 2 and B = 6 + i % 2. */
void amx_configure(size_t rows, size_t columns);
void amx_release(void);

/* amx_direct.c: few rows of Q8_0, with the weights as they lie. */
struct gemm;
void amx_gemm_direct(const struct gemm *gemm);

#define MULTIPLY(product, c, a, b)                                                           \
    __asm__ volatile("tilezero %%tmm" #c "\n\t"                                              \
                     "tileloadd (%0,%1,1), %%tmm" #a "\n\t"                                  \
                     "tileloadd (%2,%3,1), %%tmm" #b "\n\t" product " %%tmm" #b ", %%tmm" #a \
                     ", %%tmm" #c                                                            \
                     :                                                                       \
                     : "r"(from_a), "r"((size_t)BLOCK), "r"(from_b), "r"((size_t)VECTOR)     \
                     : "memory")

/* C `slot` = a . b: a in rows of 32 bytes, b in rows of 64. The slot is a constant. */
INLINE void multiply(size_t slot, const int8_t *from_a, const int8_t *from_b)
{
    switch (slot) {
    case 0: MULTIPLY("tdpbssd", 0, 4, 6); break;
    case 1: MULTIPLY("tdpbssd", 1, 5, 7); break;
    case 2: MULTIPLY("tdpbssd", 2, 4, 6); break;
    default: MULTIPLY("tdpbssd", 3, 5, 7); break;
    }
}

/* The same of a b that is unsigned. */
INLINE void multiply_unsigned(size_t slot, const int8_t *from_a, const uint8_t *from_b)
{
    switch (slot) {
    case 0: MULTIPLY("tdpbsud", 0, 4, 6); break;
    case 1: MULTIPLY("tdpbsud", 1, 5, 7); break;
    case 2: MULTIPLY("tdpbsud", 2, 4, 6); break;
    default: MULTIPLY("tdpbsud", 3, 5, 7); break;
    }
}

#define STORE(c)                                         \
    __asm__ volatile("tilestored %%tmm" #c ", (%0,%1,1)" \
                     :                                   \
                     : "r"(out), "r"((size_t)VECTOR)     \
                     : "memory")

INLINE void store(size_t slot, int32_t *out)
{
    switch (slot) {
    case 0: STORE(0); break;
    case 1: STORE(1); break;
    case 2: STORE(2); break;
    default: STORE(3); break;
    }
}

#endif

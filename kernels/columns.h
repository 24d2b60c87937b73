/* kernels/columns.h -- the columns of the kernel table; for select.c alone. Each overrides the slots it has. */
#ifndef KERNELS_COLUMNS_H
#define KERNELS_COLUMNS_H

struct ops;

void ops_fill_scalar(struct ops *ops);
/* The products of the scalar column, a file of their own. */
void scalar_fill_gemm(struct ops *ops);
/* And its search among rows of bytes. */
void scalar_fill_scan(struct ops *ops);
/* Only where the machine has CPU_AVX2. */
void ops_fill_avx2(struct ops *ops);
/* Only where the machine has CPU_AVX512. */
void ops_fill_avx512(struct ops *ops);
/* Only where it has CPU_AVX512_BF16, over the AVX-512 column. */
void ops_fill_avx512_bf16(struct ops *ops);
/* Only where it has CPU_AMX, over the columns before. */
void ops_fill_amx(struct ops *ops);

#endif

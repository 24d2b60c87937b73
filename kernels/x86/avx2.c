#include "kernels/x86/avx2.h"

#include "kernels/columns.h"
#include "kernels/ops.h"

void ops_fill_avx2(struct ops *ops)
{
    ops->name = "avx2";
    avx2_fill_gemm(ops);
    avx2_fill_bf16(ops);
    avx2_fill_float(ops);
    avx2_fill_rows(ops);
    avx2_fill_attention(ops);
    avx2_fill_kv(ops);
    avx2_fill_scan(ops);
}

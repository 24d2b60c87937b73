#include "kernels/x86/avx512.h"

#include "kernels/columns.h"
#include "kernels/ops.h"

void ops_fill_avx512(struct ops *ops)
{
    ops->name = "avx512";
    avx512_fill_gemm(ops);
    avx512_fill_float(ops);
    avx512_fill_bf16(ops);
    avx512_fill_rows(ops);
    avx512_fill_sample(ops);
    avx512_fill_attention(ops);
    avx512_fill_kv(ops);
    avx512_fill_scan(ops);
}

#include "kernels/select.h"

#include "kernels/columns.h"
#include "kernels/cpu.h"
#include "kernels/ops.h"

void ops_select(struct ops *ops, uint32_t features)
{
    *ops = (struct ops){0};
    ops_fill_scalar(ops);
#if defined(__x86_64__)
    if (features & CPU_AVX2) ops_fill_avx2(ops);
    if (features & CPU_AVX512) ops_fill_avx512(ops);
    if (features & CPU_AVX512_BF16) ops_fill_avx512_bf16(ops);
    if (features & CPU_AMX) ops_fill_amx(ops);
#else
    (void)features;
#endif
}

#include "kernels/cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <xmmintrin.h>
#endif

#if defined(__x86_64__)
#define BUILT true
#else
#define BUILT false
#endif

enum {
    AVX512 = CPU_AVX2 | CPU_AVX512,
    BF16 = AVX512 | CPU_AVX512_BF16
};

static const struct cpu_rung rungs[] = {
    {"scalar", 0, true},   {"avx2", CPU_AVX2, BUILT},      {"avx512", AVX512, BUILT},
    {"bf16", BF16, BUILT}, {"amx", AVX512 | CPU_AMX, BUILT},
};

enum {
    RUNG_COUNT = sizeof rungs / sizeof *rungs
};

#if defined(__x86_64__)
/* Leaf 7: what __builtin_cpu_supports() of older compilers cannot name. */
enum {
    LEAF_EXTENDED = 7,
    EAX1_AVX512_BF16 = 1 << 5, // sub-leaf 1
    EDX_AMX_TILE = 1 << 24,
    EDX_AMX_INT8 = 1 << 25,
    ARCH_REQ_XCOMP_PERM = 0x1023,
    XFEATURE_TILE_DATA = 18
};

static uint32_t later_features(void)
{
    unsigned a = 0, b = 0, c = 0, d = 0;
    uint32_t features = 0;
    if (__get_cpuid_count(LEAF_EXTENDED, 1, &a, &b, &c, &d) && a & EAX1_AVX512_BF16)
        features |= CPU_AVX512_BF16;
    unsigned tiles = EDX_AMX_TILE | EDX_AMX_INT8;
    if (__get_cpuid_count(LEAF_EXTENDED, 0, &a, &b, &c, &d) && (d & tiles) == tiles &&
        syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_TILE_DATA) == 0)
        features |= CPU_AMX;
    return features;
}
#endif

uint32_t cpu_features(void)
{
    uint32_t features = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    // Every machine with AVX2 has F16C (it came a generation earlier); clang 14 cannot ask for it.
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) features |= CPU_AVX2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vnni"))
        features |= CPU_AVX512 | later_features();
#endif
    return features;
}

size_t cpu_rung_count(void)
{
    return RUNG_COUNT;
}

const struct cpu_rung *cpu_rung_at(size_t index)
{
    return &rungs[index];
}

bool cpu_rung_usable(const struct cpu_rung *rung)
{
    return rung->built && (cpu_features() & rung->features) == rung->features;
}

/* "scalar, avx512": the names of all rungs, or of those that would run here. */
static const char *rung_list(char *text, size_t size, bool usable_only)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < RUNG_COUNT && used < size; i++) {
        if (usable_only && !cpu_rung_usable(&rungs[i])) continue;
        int more = snprintf(text + used, size - used, "%s%s", used ? ", " : "", rungs[i].name);
        used += (size_t)more;
    }
    return text;
}

enum err cpu_choose(const char *name, uint32_t *features)
{
    char list[128];
    if (!name || !*name) {
        size_t best = RUNG_COUNT;
        while (!cpu_rung_usable(&rungs[--best]))
            ;
        *features = rungs[best].features;
        return ERR_OK;
    }
    for (size_t i = 0; i < RUNG_COUNT; i++) {
        if (strcmp(rungs[i].name, name) != 0) continue;
        if (cpu_rung_usable(&rungs[i])) {
            *features = rungs[i].features;
            return ERR_OK;
        }
        return err_note(ERR_UNSUPPORTED, "QIAO_CPU: %s has no '%s' kernels; usable here: %s",
                        rungs[i].built ? "this machine" : "this build", name,
                        rung_list(list, sizeof list, true));
    }
    return err_note(ERR_INVALID, "QIAO_CPU: '%.32s' is no rung; there are: %s", name,
                    rung_list(list, sizeof list, false));
}

enum err cpu_choose_env(uint32_t *features)
{
    return cpu_choose(getenv("QIAO_CPU"), features);
}

#if defined(__x86_64__)
enum {
    MXCSR_CONTRACT = 0x1F80,
    MXCSR_STICKY = 0x003F
};

void cpu_float_mode_set(void)
{
    _mm_setcsr(MXCSR_CONTRACT);
}

bool cpu_float_mode_ok(void)
{
    return (_mm_getcsr() & ~(unsigned)MXCSR_STICKY) == MXCSR_CONTRACT;
}
#else
void cpu_float_mode_set(void)
{
}

bool cpu_float_mode_ok(void)
{
    return true;
}
#endif

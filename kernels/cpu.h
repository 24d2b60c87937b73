/* kernels/cpu.h -- what this machine can do, and how its threads must round.
 *
 * A rung is a named set of features: "scalar" asks for none, "avx2" for all that kernels/x86/avx2*.c
 * use, and so on. Every rung gives the same bits (docs/numerics.md); a higher one is only faster. */
#ifndef KERNELS_CPU_H
#define KERNELS_CPU_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cpu_feature {
    CPU_AVX2 = 1 << 0,        // avx2, fma and f16c
    CPU_AVX512 = 1 << 1,      // avx512 f, bw, vl, dq and vnni
    CPU_AVX512_BF16 = 1 << 2, // avx512 bf16
    CPU_AMX = 1 << 3          // amx tile and int8, and the system lets this process use them
};

struct cpu_rung {
    const char *name;
    uint32_t features; // what the machine must have
    bool built;        // this build has kernels for it
};

/* The features of this machine (and its operating system, of which it asks the use of AMX tiles for this process). */
uint32_t cpu_features(void);

/* The ladder, lowest rung first. */
size_t cpu_rung_count(void);
const struct cpu_rung *cpu_rung_at(size_t index);
/* Built, and the machine has its features. */
bool cpu_rung_usable(const struct cpu_rung *rung);

/* The features to hand to ops_select(). `name` is a rung's name; NULL or "" asks for the highest usable
 * one. ERR_INVALID for a name that is no rung's, ERR_UNSUPPORTED for a rung that this build or this
 * machine lacks; the note says which rungs would do. */
enum err cpu_choose(const char *name, uint32_t *features);
/* The same, with the name from the environment's QIAO_CPU. */
enum err cpu_choose_env(uint32_t *features);

/* Give the calling thread the contract's float environment: MXCSR 0x1F80 (round to nearest even, no
 * flushing of denormals, no traps). */
void cpu_float_mode_set(void);
/* True while it is so; the sticky exception flags do not count. */
bool cpu_float_mode_ok(void);

#endif

/* node/probe/peak_loops.h -- the inner loops of node/probe/peak.c, each in a file with the flags of its instructions.
 *
 * A loop runs `rounds` times PEAK_CHAINS instructions that do not depend on one another, more than any machine's latency
 * times width. Call one only where the machine has its instructions. Thread: any. */
#ifndef NODE_PROBE_PEAK_LOOPS_H
#define NODE_PROBE_PEAK_LOOPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PEAK_CHAINS = 16,
    PEAK_TILES = 4 // chains of the AMX loops: four of the eight tiles gather
};

typedef void peak_loop(uint64_t rounds);
/* A sum over `size` bytes, a multiple of 4096, aligned to 64. */
typedef void peak_reader(const void *bytes, size_t size);

peak_loop peak_scalar_f32;
peak_reader peak_scalar_read;

#if defined(__x86_64__)
peak_loop peak_avx2_int8; // vpmaddubsw, vpmaddwd, vpaddd: 32 products in three instructions
peak_loop peak_avx2_f32;
peak_reader peak_avx2_read;
peak_loop peak_avx512_int8; // vpdpbusd
peak_loop peak_avx512_bf16; // vdpbf16ps
peak_loop peak_avx512_f32;
peak_reader peak_avx512_read;
peak_loop peak_amx_int8; // tdpbusd, tiles of 16 x 64 bytes
peak_loop peak_amx_bf16; // tdpbf16ps

/* Ask the system for the tiles' registers; false where there are none. */
bool peak_amx_usable(void);
bool peak_amx_has_bf16(void);
#endif

#endif

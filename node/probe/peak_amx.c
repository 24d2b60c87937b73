#include "node/probe/peak_loops.h"

#include <cpuid.h>
#include <immintrin.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Source of the numbers: Intel's instruction set reference (CPUID leaf 7, the palette of LDTILECFG) and Linux'
 * arch_prctl(2): the kernel gives a process the tiles' large registers only when it asks. */
enum {
    LEAF_FEATURES = 7,
    EDX_AMX_BF16 = 1 << 22,
    EDX_AMX_TILE = 1 << 24,
    EDX_AMX_INT8 = 1 << 25,
    REQUEST_PERMISSION = 0x1023, // ARCH_REQ_XCOMP_PERM
    TILE_DATA = 18,
    TILE_ROWS = 16,
    TILE_ROW_BYTES = 64
};

struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

static unsigned features(void)
{
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid_count(LEAF_FEATURES, 0, &eax, &ebx, &ecx, &edx) ? edx : 0;
}

bool peak_amx_usable(void)
{
    unsigned needed = EDX_AMX_TILE | EDX_AMX_INT8;
    return (features() & needed) == needed &&
           syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

bool peak_amx_has_bf16(void)
{
    return (features() & EDX_AMX_BF16) != 0;
}

static void begin_tiles(void)
{
    struct tile_config config = {.palette = 1};
    static const unsigned char zeros[TILE_ROWS * TILE_ROW_BYTES];
    for (int i = 0; i < 8; i++) {
        config.row_bytes[i] = TILE_ROW_BYTES;
        config.rows[i] = TILE_ROWS;
    }
    // gcc 12's intrinsic does not tell the compiler that the whole struct is read.
    __asm__ volatile("ldtilecfg %0" : : "m"(config));
    _tile_loadd(6, zeros, TILE_ROW_BYTES);
    _tile_loadd(7, zeros, TILE_ROW_BYTES);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

void peak_amx_int8(uint64_t rounds)
{
    begin_tiles();
    for (uint64_t round = 0; round < rounds; round++) {
        _tile_dpbusd(0, 6, 7);
        _tile_dpbusd(1, 6, 7);
        _tile_dpbusd(2, 6, 7);
        _tile_dpbusd(3, 6, 7);
    }
    _tile_release();
}

void peak_amx_bf16(uint64_t rounds)
{
    begin_tiles();
    for (uint64_t round = 0; round < rounds; round++) {
        _tile_dpbf16ps(0, 6, 7);
        _tile_dpbf16ps(1, 6, 7);
        _tile_dpbf16ps(2, 6, 7);
        _tile_dpbf16ps(3, 6, 7);
    }
    _tile_release();
}

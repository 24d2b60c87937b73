/* kernels/x86/amx_tiles.c -- the shape of the tile registers. */
#include "kernels/x86/amx_tiles.h"

/* What ldtilecfg reads. */
struct tile_config {
    uint8_t palette;
    uint8_t start_row;
    uint8_t reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

void amx_configure(size_t rows, size_t columns)
{
    struct tile_config config = {.palette = 1};
    for (size_t i = 0; i < PRODUCTS; i++) {
        config.rows[i] = (uint8_t)rows;
        config.row_bytes[i] = LANES * sizeof(int32_t);
    }
    for (size_t i = 0; i < 2; i++) {
        config.rows[4 + i] = (uint8_t)rows;
        config.row_bytes[4 + i] = (uint16_t)columns;
        config.rows[6 + i] = (uint8_t)(columns / 4);
        config.row_bytes[6 + i] = VECTOR;
    }
    __asm__ volatile("ldtilecfg %0" : : "m"(config));
}

void amx_release(void)
{
    __asm__ volatile("tilerelease");
}

/* node/model/catalogue_rows.h -- what a catalogue is made of, for catalogue.c and ranking.c alone.
 *
 * `width` is `dim` rounded up to the blocks of the integer kernels; the columns between are zero. Chunks hold
 * CATALOGUE_CHUNK rows each, the last one what is left: few enough for the second cache, whole groups. */
#ifndef NODE_MODEL_CATALOGUE_ROWS_H
#define NODE_MODEL_CATALOGUE_ROWS_H

#include "node/model/catalogue.h"

#include "kernels/pack.h"

enum {
    CATALOGUE_CHUNK = 1024
};

/* Of a group of CATALOGUE_GROUP rows: the largest norm, and the largest norm of what rounding took from a row. */
struct group_bound {
    float norm;
    float error;
};

struct catalogue {
    const struct ops *ops;
    size_t rows;
    size_t dim;
    size_t width;
    float *floats;              // [rows][dim]
    struct group_bound *bounds; // [ceil(rows / CATALOGUE_GROUP)]
    struct packed *chunks;      // [chunk_count], Q8_0 [CATALOGUE_CHUNK][width]
    size_t chunk_count;
    void *memory;
    size_t memory_size;
};

#endif

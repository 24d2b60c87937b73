#include "node/model/catalogue.h"

#include "node/model/catalogue_rows.h"

#include "kernels/ops.h"
#include "kernels/quant.h"
#include "kernels/team.h"

#include "base/gguf.h"
#include "base/mem.h"
#include "base/must.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

static size_t ceil_div(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

/* Fill the chunks, one a part. */
struct filling {
    struct catalogue *catalogue;
    const struct catalogue_source *source;
    unsigned char *codes;  // [lanes][CHUNK rows of Q8_0]
    size_t codes_size;     // of one lane
    float *padded;         // [lanes][width]
    _Atomic size_t broken; // 1 + the lowest row that has no finite values; 0: none
};

static void note_broken(struct filling *filling, size_t row)
{
    size_t known = filling->broken;
    while ((known == 0 || row + 1 < known) &&
           !atomic_compare_exchange_weak(&filling->broken, &known, row + 1)) {
    }
}

/* A float at least as large as the value. */
static float upper(double value)
{
    return (float)(value * (1 + 1e-6)) + 1e-37f;
}

/* The row's norm and that of what rounding takes from it, into its group's bounds. */
static void bound_row(struct catalogue *catalogue, size_t row, const float *x,
                      const unsigned char *codes)
{
    double norm = 0;
    double error = 0;
    float rounded[QUANT_BLOCK];
    for (size_t b = 0; b < catalogue->width / QUANT_BLOCK; b++) {
        quant_row_to_f32(GGUF_TENSOR_Q8_0, codes + b * QUANT_Q8_0_SIZE, rounded, QUANT_BLOCK);
        for (size_t i = 0; i < QUANT_BLOCK; i++) {
            double value = (double)x[b * QUANT_BLOCK + i];
            double lost = value - (double)rounded[i];
            norm += value * value;
            error += lost * lost;
        }
    }
    struct group_bound *bound = &catalogue->bounds[row / CATALOGUE_GROUP];
    float norm_bound = upper(sqrt(norm));
    float error_bound = upper(sqrt(error)); // a scale beyond f16 makes it infinite or NaN
    if (norm_bound > bound->norm) bound->norm = norm_bound;
    if (!(error_bound <= bound->error)) bound->error = error_bound;
}

static bool is_finite(const float *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

static void fill_part(void *argument, size_t part, size_t lane)
{
    struct filling *filling = argument;
    struct catalogue *catalogue = filling->catalogue;
    const struct catalogue_source *source = filling->source;
    struct packed *chunk = &catalogue->chunks[part];
    unsigned char *codes = filling->codes + lane * filling->codes_size;
    float *padded = filling->padded + lane * catalogue->width;
    size_t source_size = quant_row_size(source->type, source->dim);
    size_t row_size = quant_row_size(GGUF_TENSOR_Q8_0, catalogue->width);
    for (size_t i = 0; i < chunk->rows; i++) {
        size_t row = part * CATALOGUE_CHUNK + i;
        float *x = catalogue->floats + row * catalogue->dim;
        quant_row_to_f32(source->type, (const char *)source->data + row * source_size, x,
                         source->dim);
        if (!is_finite(x, source->dim)) { // nothing is made of it: the whole is refused
            note_broken(filling, row);
            continue;
        }
        memcpy(padded, x, source->dim * sizeof *x);
        quant_row_to_q8_0(padded, codes + i * row_size, catalogue->width);
        bound_row(catalogue, row, padded, codes + i * row_size);
    }
    pack_rows(chunk, GGUF_TENSOR_Q8_0, codes, 0, packed_tiles(chunk));
}

static enum err fill(struct catalogue *catalogue, const struct catalogue_source *source,
                     struct team *team)
{
    struct filling filling = {.catalogue = catalogue, .source = source};
    size_t lanes = team_size(team);
    filling.codes_size = CATALOGUE_CHUNK * quant_row_size(GGUF_TENSOR_Q8_0, catalogue->width);
    filling.codes = mem_new(lanes, filling.codes_size);
    filling.padded = mem_new(lanes, catalogue->width * sizeof(float));
    team_run(team, catalogue->chunk_count, fill_part, &filling);
    mem_free(filling.codes);
    mem_free(filling.padded);
    size_t broken = filling.broken;
    if (broken == 0) return ERR_OK;
    return err_note(ERR_FORMAT, "catalogue: row %zu has values that are not finite numbers",
                    broken - 1);
}

/* Everything in one mapping: floats, bounds, then the packed chunks. */
static enum err lay_out(struct catalogue *catalogue)
{
    size_t floats = ceil_div(catalogue->rows * catalogue->dim * sizeof(float), PACK_ALIGN);
    size_t groups = ceil_div(catalogue->rows, CATALOGUE_GROUP);
    size_t bounds = ceil_div(groups * sizeof(struct group_bound), PACK_ALIGN);
    size_t chunk_size = packed_size(PACKED_Q8_0, CATALOGUE_CHUNK, catalogue->width);
    size_t size = (floats + bounds) * PACK_ALIGN + catalogue->chunk_count * chunk_size;
    unsigned char *memory = mem_map(size);
    if (!memory)
        return err_note(ERR_NO_MEMORY, "catalogue: the system refused %zu bytes for %zu rows", size,
                        catalogue->rows);
    catalogue->memory = memory;
    catalogue->memory_size = size;
    catalogue->floats = (float *)(void *)memory;
    catalogue->bounds = (struct group_bound *)(void *)(memory + floats * PACK_ALIGN);
    memory += (floats + bounds) * PACK_ALIGN;
    for (size_t i = 0; i < catalogue->chunk_count; i++) {
        size_t left = catalogue->rows - i * CATALOGUE_CHUNK;
        packed_init(&catalogue->chunks[i], PACKED_Q8_0,
                    left < CATALOGUE_CHUNK ? left : CATALOGUE_CHUNK, catalogue->width,
                    memory + i * chunk_size);
    }
    return ERR_OK;
}

enum err catalogue_new(struct catalogue **out, const struct catalogue_source *source,
                       const struct ops *ops, struct team *team)
{
    must(source->rows > 0 && source->rows <= CATALOGUE_ROWS_MAX);
    must(source->dim > 0 && source->dim <= CATALOGUE_DIM_MAX);
    struct catalogue *catalogue = mem_new(1, sizeof *catalogue);
    catalogue->ops = ops;
    catalogue->rows = source->rows;
    catalogue->dim = source->dim;
    catalogue->width = ceil_div(source->dim, QUANT_BLOCK) * QUANT_BLOCK;
    catalogue->chunk_count = ceil_div(source->rows, CATALOGUE_CHUNK);
    catalogue->chunks = mem_new(catalogue->chunk_count, sizeof *catalogue->chunks);
    enum err err = lay_out(catalogue);
    if (!err) err = fill(catalogue, source, team);
    if (err) {
        catalogue_free(catalogue);
        return err;
    }
    *out = catalogue;
    return ERR_OK;
}

void catalogue_free(struct catalogue *catalogue)
{
    if (!catalogue) return;
    if (catalogue->memory) mem_unmap(catalogue->memory, catalogue->memory_size);
    mem_free(catalogue->chunks);
    mem_free(catalogue);
}

size_t catalogue_rows(const struct catalogue *catalogue)
{
    return catalogue->rows;
}

const float *catalogue_row(const struct catalogue *catalogue, size_t row)
{
    return catalogue->floats + row * catalogue->dim;
}

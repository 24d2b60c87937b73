#include "node/shelf/slabs.h"

#include "base/mem.h"
#include "base/must.h"

#include <stdbool.h>

enum {
    PIECES_MAX = 128, // so that two words tell which are free
    WORDS = PIECES_MAX / 64
};

struct slab {
    unsigned char *memory;
    size_t piece;
    uint32_t pieces;
    uint32_t taken;
    uint64_t free[WORDS];
    struct slab *before, *after; // among the open ones
};

static size_t slab_size(size_t piece)
{
    return piece > MEM_HUGE_PAGE ? piece : MEM_HUGE_PAGE;
}

static struct slab *find(const struct slabs *slabs, size_t piece)
{
    struct slab *slab = slabs->open;
    while (slab && slab->piece != piece)
        slab = slab->after;
    return slab;
}

static void open_slab(struct slabs *slabs, struct slab *slab)
{
    slab->before = NULL;
    slab->after = slabs->open;
    if (slabs->open) slabs->open->before = slab;
    slabs->open = slab;
}

static void close_slab(struct slabs *slabs, struct slab *slab)
{
    *(slab->before ? &slab->before->after : &slabs->open) = slab->after;
    if (slab->after) slab->after->before = slab->before;
}

size_t slabs_cost(const struct slabs *slabs, size_t piece)
{
    return find(slabs, piece) ? 0 : slab_size(piece);
}

static struct slab *new_slab(struct slabs *slabs, size_t piece)
{
    unsigned char *memory = mem_map(slab_size(piece));
    if (!memory) return NULL;
    size_t pieces = slab_size(piece) / piece;
    struct slab *slab = mem_new(1, sizeof *slab);
    *slab = (struct slab){.memory = memory,
                          .piece = piece,
                          .pieces = pieces < PIECES_MAX ? (uint32_t)pieces : PIECES_MAX};
    for (uint32_t i = 0; i < slab->pieces; i++)
        slab->free[i / 64] |= UINT64_C(1) << (i % 64);
    slabs->bytes += slab_size(piece);
    open_slab(slabs, slab);
    return slab;
}

void *slabs_take(struct slabs *slabs, size_t piece, struct slab **out)
{
    must(piece > 0 && piece % 64 == 0);
    struct slab *slab = find(slabs, piece);
    if (!slab) slab = new_slab(slabs, piece);
    if (!slab) return NULL;
    size_t word = 0;
    while (!slab->free[word])
        word++;
    size_t index = 64 * word + (size_t)__builtin_ctzll(slab->free[word]);
    slab->free[word] &= slab->free[word] - 1;
    if (++slab->taken == slab->pieces) close_slab(slabs, slab);
    *out = slab;
    return slab->memory + index * piece;
}

void slabs_give(struct slabs *slabs, struct slab *slab, const void *piece)
{
    size_t index = (size_t)((const unsigned char *)piece - slab->memory) / slab->piece;
    uint64_t bit = UINT64_C(1) << (index % 64);
    must(index < slab->pieces && !(slab->free[index / 64] & bit));
    slab->free[index / 64] |= bit;
    if (slab->taken-- == slab->pieces) open_slab(slabs, slab);
    if (slab->taken > 0) return;
    close_slab(slabs, slab);
    slabs->bytes -= slab_size(slab->piece);
    mem_unmap(slab->memory, slab_size(slab->piece));
    mem_free(slab);
}

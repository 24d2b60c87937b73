#include "base/arena.h"

#include "base/must.h"
#include "base/wipe.h"

#include <stdint.h>
#include <string.h>

void arena_init(struct arena *arena, void *bytes, size_t size)
{
    *arena = (struct arena){.bytes = bytes, .size = size};
}

void *arena_take(struct arena *arena, size_t size, size_t align)
{
    must(align > 0 && (align & (align - 1)) == 0);
    uintptr_t at = (uintptr_t)arena->bytes + arena->used;
    size_t pad = (size_t)(-at & (align - 1));
    size_t left = arena->size - arena->used;
    if (pad > left || size > left - pad) return NULL;
    void *memory = arena->bytes + arena->used + pad;
    arena->used += pad + size;
    memset(memory, 0, size);
    return memory;
}

void arena_reset(struct arena *arena)
{
    wipe(arena->bytes, arena->used);
    arena->used = 0;
}

#include "scheduler/features/bitmap.h"

#include "base/mem.h"

#include <string.h>

void bitmap_reserve(struct bitmap *bitmap, size_t end)
{
    size_t count = (end + 63) / 64;
    if (count <= bitmap->count) return;
    if (count < 2 * bitmap->count) count = 2 * bitmap->count;
    bitmap->words = mem_resize(bitmap->words, count, sizeof *bitmap->words);
    memset(bitmap->words + bitmap->count, 0, (count - bitmap->count) * sizeof *bitmap->words);
    bitmap->count = count;
}

void bitmap_fini(struct bitmap *bitmap)
{
    mem_free(bitmap->words);
    *bitmap = (struct bitmap){0};
}

void bitmap_zero(struct bitmap *bitmap)
{
    if (bitmap->count > 0) memset(bitmap->words, 0, bitmap->count * sizeof *bitmap->words);
}

static size_t shared(const struct bitmap *a, const struct bitmap *b)
{
    return a->count < b->count ? a->count : b->count;
}

void bitmap_copy(struct bitmap *to, const struct bitmap *from)
{
    bitmap_zero(to);
    bitmap_or(to, from);
}

void bitmap_and(struct bitmap *to, const struct bitmap *from)
{
    size_t count = shared(to, from);
    for (size_t i = 0; i < count; i++)
        to->words[i] &= from->words[i];
    for (size_t i = count; i < to->count; i++)
        to->words[i] = 0;
}

void bitmap_or(struct bitmap *to, const struct bitmap *from)
{
    size_t count = shared(to, from);
    for (size_t i = 0; i < count; i++)
        to->words[i] |= from->words[i];
}

void bitmap_not(struct bitmap *to)
{
    for (size_t i = 0; i < to->count; i++)
        to->words[i] = ~to->words[i];
}

size_t bitmap_size(const struct bitmap *bitmap)
{
    size_t size = 0;
    for (size_t i = 0; i < bitmap->count; i++)
        size += (size_t)__builtin_popcountll(bitmap->words[i]);
    return size;
}

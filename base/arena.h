/* base/arena.h -- memory that ends with the thing it serves.
 *
 * What is parsed out of one request lives in one arena and is never freed piece by piece. A full
 * arena is an answer (413), not a reason to grow. Thread: one owner. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

struct arena {
    unsigned char *bytes;
    size_t size;
    size_t used;
};

/* `bytes` stays the caller's and must outlive the arena. */
void arena_init(struct arena *arena, void *bytes, size_t size);
/* Zeroed memory, valid until arena_reset(); NULL when the arena is full. `align` is a
 * power of two. */
void *arena_take(struct arena *arena, size_t size, size_t align);
/* What was in it is wiped. */
void arena_reset(struct arena *arena);

#endif

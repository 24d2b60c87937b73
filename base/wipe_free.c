/* The free() and realloc() of programs that hold what people have written (base/wipe.h).
 *
 * glibc lets a program put functions of its own in the place of malloc's family, for its libraries too ("Replacing malloc" in its
 * manual). These two go on to glibc's own: blocks stay its blocks, so the rest of the family needs no other. A realloc() that moved
 * a block inside of glibc would free the old place unseen, so a block is moved here. */
#include "base/wipe.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#if !defined(QIAO_SANITIZED)

void __libc_free(void *memory);

void free(void *memory)
{
    if (!memory) return;
    wipe(memory, malloc_usable_size(memory));
    __libc_free(memory);
}

/* A block that is large enough, and not much too large, stays where it is. */
void *realloc(void *old, size_t size)
{
    if (!old) return malloc(size);
    if (size == 0) {
        free(old);
        return NULL;
    }
    size_t has = malloc_usable_size(old);
    if (size <= has && size >= has / 2) {
        wipe((char *)old + size, has - size);
        return old;
    }
    void *moved = malloc(size);
    if (!moved) return NULL;
    memcpy(moved, old, has < size ? has : size);
    free(old);
    return moved;
}

#endif

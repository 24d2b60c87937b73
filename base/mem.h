/* base/mem.h -- memory of small, process-lived things.
 *
 * These never return NULL: a process that cannot allocate a few bytes for itself stops with one
 * clear line (the pools that serve strangers are sized at start and answer ERR_NO_MEMORY instead).
 * Never call them with a size that a stranger chose without checking that size first.
 * Thread: any. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

/* Zeroed memory for count × size bytes; the product is checked. Free with mem_free(). */
void *mem_new(size_t count, size_t size);
/* As realloc; the tail is not zeroed. */
void *mem_resize(void *old, size_t count, size_t size);
/* A copy of `size` bytes with a NUL behind it; `text` may be NULL, then so is the copy. */
char *mem_text(const char *text, size_t size);
char *mem_copy_text(const char *text);
void mem_free(void *memory);

/* A private anonymous mapping of `size` bytes, zeroed, with transparent huge pages advised; NULL when the system
 * refuses. Aligned to MEM_HUGE_PAGE from that size on, to a page below. Give back with mem_unmap(). */
enum {
    MEM_HUGE_PAGE = 2 << 20
};

void *mem_map(size_t size);
void mem_unmap(void *memory, size_t size);

#endif

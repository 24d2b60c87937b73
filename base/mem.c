#include "base/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static _Noreturn void out_of_memory(size_t count, size_t size)
{
    fprintf(stderr, "qiao: out of memory (asked for %zu x %zu bytes)\n", count, size);
    abort();
}

void *mem_new(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size ? size : 1);
    if (!memory) out_of_memory(count, size);
    return memory;
}

void *mem_resize(void *old, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size) out_of_memory(count, size);
    size_t bytes = count * size;
    void *memory = realloc(old, bytes ? bytes : 1);
    if (!memory) out_of_memory(count, size);
    return memory;
}

char *mem_text(const char *text, size_t size)
{
    if (!text) return NULL;
    char *copy = mem_new(size + 1, 1);
    memcpy(copy, text, size);
    return copy;
}

char *mem_copy_text(const char *text)
{
    return text ? mem_text(text, strlen(text)) : NULL;
}

void mem_free(void *memory)
{
    free(memory);
}

static void *map_pages(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

/* Map more than is asked for and give back what lies before the first boundary and behind the end. */
static void *map_aligned(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t whole = (size + page - 1) / page * page;
    if (whole < size || whole + MEM_HUGE_PAGE < whole) return NULL;
    unsigned char *first = map_pages(whole + MEM_HUGE_PAGE);
    if (!first) return NULL;
    size_t before = (MEM_HUGE_PAGE - (uintptr_t)first % MEM_HUGE_PAGE) % MEM_HUGE_PAGE;
    if (before > 0) munmap(first, before);
    munmap(first + before + whole, MEM_HUGE_PAGE - before);
    return first + before;
}

void *mem_map(size_t size)
{
    void *memory = size >= MEM_HUGE_PAGE ? map_aligned(size) : map_pages(size);
    if (!memory) return NULL;
    madvise(memory, size, MADV_HUGEPAGE); // advice only: a refusal costs speed, nothing else
    return memory;
}

void mem_unmap(void *memory, size_t size)
{
    if (memory) munmap(memory, size);
}

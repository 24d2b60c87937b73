#include "base/wipe.h"

#include <string.h>

void wipe(void *memory, size_t size)
{
    if (size > 0) explicit_bzero(memory, size);
}

__attribute__((noinline)) void wipe_stack(void)
{
    unsigned char below[WIPE_STACK];
    explicit_bzero(below, sizeof below);
}

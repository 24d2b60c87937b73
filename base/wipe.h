/* base/wipe.h -- what this process lets go of is zeros before anyone else can have it.
 *
 * Prompts, answers and histories pass through our own buffers and through those of every library that a program uses: JSON, HTTP,
 * links, Redis. A program that is linked with `base_wipe` has a free() and a realloc() that fill a block with zeros before it goes back
 * to the C library, whoever it belonged to, so that no list of buffers has to be kept and none can be forgotten. Under a sanitizer the
 * sanitizer's are used, and nothing is wiped.
 *
 * What is not freed is its owner's: rooms that are used again (base/arena.h wipes itself), the blocks of keys and values
 * (node/engine/kv.h), and the stack, for which there is wipe_stack().
 *
 * Thread: any. */
#ifndef BASE_WIPE_H
#define BASE_WIPE_H

#include <stddef.h>

/* Zeros that no compiler takes away. */
void wipe(void *memory, size_t size);

/* What earlier calls of this thread have left below its stack's end, as deep as WIPE_STACK bytes. Some microseconds: for a thread that is
 * about to wait, or between two things that it serves. */
enum {
    WIPE_STACK = 64 << 10
};

void wipe_stack(void);

#endif

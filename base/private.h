/* base/private.h -- a process whose memory is nobody else's: no core file, no debugger, no swap.
 *
 * Prompts and answers are in the memory of schedulers and nodes. Neither writes a core, and no other process of the same user may look
 * into them (PR_SET_DUMPABLE). Where the limit of locked memory allows it (LimitMEMLOCK=infinity, or CAP_IPC_LOCK), all memory is locked,
 * so that none of it is ever written to swap. Where it does not, the setting says what happens.
 *
 * Thread: main, before there are others. */
#ifndef BASE_PRIVATE_H
#define BASE_PRIVATE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* No core, no debugger; first of all, before anything is read. */
void private_forbid_cores(void);

/* What `swap` is when memory cannot be locked: "warn": a line in the log; "refuse": where the machine swaps now, ERR_INVALID with a note;
 * "lock": that in any case, as swap may be turned on later. */
bool private_is_choice(const char *swap);
enum err private_lock(const char *swap);
/* A mapping of a public file, such as a model: it may be given back while everything else is locked. */
void private_unlock(void *memory, size_t size);

/* Does this machine swap, by the text of /proc/swaps: a headline, then a line for each place? */
bool private_swaps(const char *text);

#endif

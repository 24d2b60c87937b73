/* node/swap.h -- a newer model beside the old one: loaded while that answers, and told to main when it is ready.
 *
 *      SIGHUP, a scheduler's order, or (--watch) another file under the model's name
 *        --> a thread calls load(): it does not open --> the log says why, and the old model goes on as if nothing had been
 *                                   it is there      --> the bell rings, and swapper_take() has it
 *
 * Main then runs both: the new one says HELLO and whom it replaces, the old one answers what it has and what schedulers send until
 * they know the new one's text pack, and leaves SWAP_OVERLAP_MS later. A file has to be replaced by another (written beside it
 * and renamed): one that is written over in place changes what is being served. Thread: main's, but for load(). */
#ifndef NODE_SWAP_H
#define NODE_SWAP_H

#include "base/err.h"

#include <stdbool.h>

struct swapper;

enum {
    SWAP_OVERLAP_MS = 5000 // for text packs on their way, over a slow network too
};

struct swapper_options {
    const char *path;              // the model's file, which is not served yet
    bool watch;                    // look at it each second
    int reload;                    // an eventfd that asks for a look
    int bell;                      // an eventfd that is rung
    void *(*load)(void *argument); // NULL: it failed, with a note
    void (*unload)(void *loaded);
    void *argument;
};

/* ERR_IO. What it borrows outlives it. */
enum err swapper_new(struct swapper **out, const struct swapper_options *options);
/* Waits for a load that is under way. */
void swapper_free(struct swapper *swapper);
/* What was loaded, the caller's now; NULL: nothing was. */
void *swapper_take(struct swapper *swapper);

#endif

/* node/service/filters.h -- bitmaps of rows that a list may have, found by the digest of their bytes.
 *
 * A scheduler sends a filter's bits once and names it from then on. A filter that somebody holds stays; of the others the
 * one that was asked for longest ago makes way when there are more than FILTERS_MAX or FILTERS_BYTES. What is held
 * beyond that (no more than the requests in the air) is let go with its last holder.
 *
 * Thread: the service's; the bits of a filter that is held may be read by any. */
#ifndef NODE_SERVICE_FILTERS_H
#define NODE_SERVICE_FILTERS_H

#include "base/digest.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum {
    FILTERS_MAX = 256,
    FILTERS_BYTES = 64 << 20
};

struct filter {
    struct digest digest;
    const uint8_t *bits; // bit i of byte i / 8 is row i
    size_t size;
    uint32_t holders;
    struct filter *newer, *older; // by when it was asked for
};

struct filters {
    struct filter *newest, *oldest;
    size_t count;
    size_t bytes;
};

/* Everything in it is held by nobody. */
void filters_fini(struct filters *filters);

/* The filter of this digest, held for the caller; with `bits` it is put in where it is missing. ERR_NOT_FOUND, with the
 * note "filter": it is not there, and came without bits. ERR_INVALID: the bits do not have this digest. */
enum err filters_hold(struct filters *filters, const struct digest *digest, const uint8_t *bits,
                      size_t size, struct filter **out);
/* NULL is fine. */
void filters_let_go(struct filters *filters, struct filter *filter);

#endif

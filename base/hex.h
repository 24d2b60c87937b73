/* base/hex.h -- bytes from hexadecimal digits, of either case.
 *
 * Where a text must have one spelling alone (the ledger's lines, a node's facts) its reader is stricter and its own. Thread: any. */
#ifndef BASE_HEX_H
#define BASE_HEX_H

#include <stdbool.h>
#include <stddef.h>

/* Exactly `size` bytes. False: `text` is NULL or anything but 2 * size digits; what stands in `out` then is undefined. */
bool hex_read(unsigned char *out, size_t size, const char *text);

#endif

/* kernels/numerics.h -- which arithmetic this is.
 *
 * Two nodes may continue one another's streams only when they round alike. docs/numerics.md is the
 * contract in words; a change of any result bit, on any rung, is a new version here and there. The
 * version goes into the numerics digest that nodes announce. */
#ifndef KERNELS_NUMERICS_H
#define KERNELS_NUMERICS_H

enum {
    NUMERICS_VERSION = 1
};

#endif

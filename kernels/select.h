/* kernels/select.h -- fill the table of kernels for a machine. */
#ifndef KERNELS_SELECT_H
#define KERNELS_SELECT_H

#include <stdint.h>

struct ops;

/* Fill every slot with the best kernel that `features` (of cpu_choose()) allow: scalar first, then each rung
 * overrides the slots in which it is faster. The mask is a parameter so that a test can walk every rung. */
void ops_select(struct ops *ops, uint32_t features);

#endif

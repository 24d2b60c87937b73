/* node/service/loads.h -- what LOAD says of the engine. Pure. */
#ifndef NODE_SERVICE_LOADS_H
#define NODE_SERVICE_LOADS_H

#include "wire/message.h"

#include <stdbool.h>
#include <stdint.h>

struct engine_load;

/* In the fields that are worth a LOAD of their own. */
bool loads_differ(const struct engine_load *a, const struct engine_load *b);
struct wire_load loads_message(const struct engine_load *load, uint32_t kv_blocks);

#endif

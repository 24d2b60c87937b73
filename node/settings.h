/* node/settings.h -- the settings of qiao-node, made from their table. */
#ifndef NODE_SETTINGS_H
#define NODE_SETTINGS_H

#include "base/conf.h"

#include <stdint.h>

struct settings {
#define CONF(type, name, preset, min, max, unit, text) CONF_FIELD_##type name;
#include "node/node.conf.def"
#undef CONF
};

extern const struct conf_table settings_table;

/* What no single row can say: words that are known, numbers that must agree. ERR_INVALID names the setting. */
enum err settings_check(const struct settings *settings);

/* Rows of logits in one step: an id for each answer, and room to guess for a few. */
uint32_t settings_logits(const struct settings *settings);

/* Most tokens in the waiting room of a node whose context is `context`: as set, or enough for long prompts and for
 * many. */
uint64_t settings_waiting_tokens(const struct settings *settings, uint32_t context);

#endif

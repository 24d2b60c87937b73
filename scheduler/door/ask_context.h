/* scheduler/door/ask_context.h -- the "context" of a chat: what the answer may draw on besides the conversation.
 *
 *      ["history", "search:INDEX", …]     at most GROUND_SOURCES_MAX, each once
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_DOOR_ASK_CONTEXT_H
#define SCHEDULER_DOOR_ASK_CONTEXT_H

#include "base/err.h"

#include <jansson.h>

#include <stddef.h>

enum {
    ASK_CONTEXT_MAX = 4,
    ASK_CONTEXT_NAME_MAX = 80 // bytes of an entry
};

struct ask_context {
    const char *names[ASK_CONTEXT_MAX]; // as they were given
    size_t count;
};

/* Texts are borrowed from the document. ERR_INVALID names the entry. */
enum err ask_context_read(struct ask_context *out, const json_t *root);

#endif

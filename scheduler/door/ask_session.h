/* scheduler/door/ask_session.h -- the "session" of a request: an id, or an object that says more.
 *
 *      {"id": "ID", "version": N, "turn_id": "T", "compact": "error|drop|summary", "durability": "local|replicated"}
 *
 * Unknown members are refused by name: what a client asks of its data is not to be missed by a slip. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_ASK_SESSION_H
#define SCHEDULER_DOOR_ASK_SESSION_H

#include "base/err.h"

#include <jansson.h>

#include <stdbool.h>
#include <stdint.h>

struct ask;

enum ask_compact {
    ASK_COMPACT_ERROR, // a conversation that does not fit is refused
    ASK_COMPACT_DROP,
    ASK_COMPACT_SUMMARY
};

enum ask_durability {
    ASK_DURABILITY_PRESET, // as the setting says
    ASK_DURABILITY_LOCAL,
    ASK_DURABILITY_REPLICATED
};

struct ask_session {
    const char *id;   // NULL: no session
    const char *turn; // the append's idempotency id; NULL: none
    bool has_version;
    uint64_t version; // that the client believes in
    enum ask_compact compact;
    enum ask_durability durability;
};

/* Texts are borrowed from the document. ERR_INVALID names the field. */
enum err ask_session_read(struct ask_session *out, const json_t *root);

/* POST /v1/sessions/{id}/prewarm: a chat without messages and answer. The body may be empty, or say the model. `id` is a proper
 * one, and copied. */
enum err ask_prewarm_parse(struct ask *out, const char *id, const char *body, size_t size);

#endif

/* scheduler/door/talk.h -- a conversation in memory, and the doors to a stored one.
 *
 * A struct talk is what a session held when it was loaded, and what was said since; it owns its
 * texts. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_TALK_H
#define SCHEDULER_DOOR_TALK_H

#include "scheduler/state/session.h"

#include <stddef.h>
#include <stdint.h>

struct context;
struct door;
struct http_request;

struct talk {
    struct session_turn *turns; // [count], owned with their contents; roles are literals
    size_t count, capacity;
    size_t bytes; // of all contents
    uint64_t version;
};

/* A zeroed struct is an empty talk. */
void talk_load(struct talk *talk, const struct session *session);
void talk_add(struct talk *talk, const char *role, const char *content, size_t size);
void talk_fini(struct talk *talk);

/* Where a session lives: with the tenant and user of the context. Borrows both. */
struct session_name talk_name(const struct context *context, const char *id);

/* GET and DELETE /v1/sessions/{id}. */
void talk_show(struct door *door, struct http_request *request);
void talk_delete(struct door *door, struct http_request *request);

#endif

/* scheduler/door/salts.h -- who finds again what a node has cached of a prompt, and for how long.
 *
 *      [ the tenant's opening | what the user said, what was answered … ]
 *        tenant's salt          the user's salt                             without a user: the tenant's for all
 *
 * Blocks are found under their salt alone, so nobody learns from the time that an answer takes what another user has asked, and a user's
 * blocks can be dropped by the user's salt (uplink.h). A salt is a keyed hash: a node cannot tell whose it is. What all users of a tenant
 * share is its opening: the system message that it sends to more than one of them (openings.h), as far as its tokens are in the prompt
 * (prompt.h).
 *
 * Where the region's rules say so, blocks outlive their request for `cache_seconds` at most; with 0 they are found by the request's own
 * choices alone, and go with the last of them.
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_DOOR_SALTS_H
#define SCHEDULER_DOOR_SALTS_H

#include <stddef.h>
#include <stdint.h>

struct context;
struct door;
struct flight_order;

/* Into an order whose first `opening_ids` are the tenant's opening. */
void salts_fill(const struct door *door, const struct context *context, size_t opening_ids,
                struct flight_order *order);
/* What a user's blocks are under. */
uint64_t salts_of_user(const struct door *door, const char *tenant, const char *user);

#endif

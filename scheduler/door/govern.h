/* scheduler/door/govern.h -- the one seam between requests and policy: may this feature serve this request, and by which rules?
 *
 *      who asks (context) --> the region's rules --> the feature, its language, its gate --> struct governed
 *                                                        its model, limits, places  <-- context->rules
 *
 * A scheduler without policies governs nothing: everything here is ERR_OK at once, and `rules` is NULL. Each denial is counted, and its
 * note names the feature, the region, why, and what would be right; `*code` is the reason for the API's error.
 *
 * Rules that are replaced while a request runs stay its own: it holds them. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_GOVERN_H
#define SCHEDULER_DOOR_GOVERN_H

#include "scheduler/door/context.h"
#include "scheduler/policy/reason.h"
#include "scheduler/policy/rules.h"

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct door;
struct fleet_model;
struct flight_order;

/* By which rules a request is served. A zeroed one is ungoverned. */
struct governed {
    const struct rules *rules; // held; NULL: nothing is governed
    enum feature feature;
    char language[CONTEXT_LABEL_MAX + 1]; // for texts that the rules give; "": the first of each
};

/* May the feature serve whoever asks? After the key, before the body is looked at. Sets context->region where the key has one alone, and
 * context->rules, which `out` holds: govern_drop() it, also after a failure. The error is the reason's. */
enum err govern_admit(struct door *door, struct context *context, enum feature feature,
                      struct governed *out, const char **code);
/* Another feature within the same request: a chat's grounding, a search's taste. */
enum err govern_also(struct door *door, const struct context *context, enum feature feature,
                     const char **code);
/* May this model, and its adapter, serve the feature? Whenever one was chosen, for each feature that it serves. */
enum err govern_model(struct door *door, const struct context *context, enum feature feature,
                      const struct fleet_model *model, const char **code);
/* The region's limits of a prompt and its answer: ERR_TOO_LONG; *max_tokens is made smaller. */
enum err govern_size(const struct context *context, size_t prompt_tokens, uint32_t *max_tokens);
/* Which nodes may see the request: by their regions. Borrowed from the rules. */
void govern_place(const struct context *context, struct flight_order *order);
/* What was said under the rules of another region (its digest_tag(); 0: of none) goes to no node that these do not allow: may it go where
 * this request may? */
enum err govern_origin(struct door *door, const struct context *context, enum feature feature,
                       uint64_t region, const char **code);
/* Deny for a reason that another part found. `what` (or NULL) ends the message. */
enum err govern_deny(struct door *door, const struct context *context, enum feature feature,
                     enum reason reason, const char *what, const char **code);

/* Another holder of the same. */
void govern_copy(struct governed *out, const struct governed *governed);
/* A zeroed one, too. */
void govern_drop(struct governed *governed);

#endif

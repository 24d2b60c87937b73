/* scheduler/door/waive.h -- a request for an answer without the visible label: `X-Qiao-Label: none`.
 *
 *      waive_read --> waive_ask: has the user agreed? (Redis) --> waive_agreement, for the answer's mark
 *
 * Only where the rules say that the label can be waived, and only for a user whose agreement is on record; anything else is denied,
 * never answered with less than was asked for. Metadata is never waived. Agreements are put on record by operators: /admin/waivers.
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_DOOR_WAIVE_H
#define SCHEDULER_DOOR_WAIVE_H

#include "scheduler/policy/waivers.h"

#include "base/err.h"

#include <stdbool.h>

struct context;
struct door;
struct governed;
struct http_request;

typedef void waive_fn(void *owner, enum err err, const char *code);

/* A zeroed one asks for nothing. */
struct waive {
    struct door *door;
    const struct context *context; // outlives it
    const struct governed *governed;
    bool is_asked;
    struct waivers_ticket *ticket; // NULL: nothing is on its way
    char agreement[WAIVERS_AGREEMENT_SIZE];
    waive_fn *done;
    void *owner;
};

/* ERR_INVALID names the header; else the reason's error, with its code. */
enum err waive_read(struct waive *waive, struct door *door, const struct context *context,
                    const struct governed *governed, const struct http_request *request,
                    const char **code);
/* True: `done` comes later, unless it is dropped. False: there is nothing to ask. */
bool waive_ask(struct waive *waive, waive_fn *done, void *owner);
void waive_drop(struct waive *waive);
/* NULL: the label stays. */
const char *waive_agreement(const struct waive *waive);

/* POST /admin/waivers {"user", "agreement", "days"}: an agreement is on record; 0 days: no more. */
void waive_post(struct door *door, struct http_request *request);

#endif

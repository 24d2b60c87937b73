/* scheduler/door/openings.h -- which system messages a tenant says to more than one of its users.
 *
 * What all users of a tenant are told first may be cached for all of them. But a tenant may write what it knows of a user into the
 * system message, too, and that is the user's. So an opening is common from the second user on who has it; until then it is the
 * first one's own. A scheduler learns this for itself, of the latest OPENINGS_MAX openings, by keyed hashes: it keeps no text and no name.
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_DOOR_OPENINGS_H
#define SCHEDULER_DOOR_OPENINGS_H

#include <stdbool.h>
#include <stddef.h>

struct openings;

enum {
    OPENINGS_MAX = 4096
};

struct openings *openings_new(void);
void openings_free(struct openings *openings);

/* `user` of `tenant` is told this first. Has another user been, too? */
bool openings_is_common(struct openings *openings, const char *tenant, const char *user,
                        const char *text, size_t size);

#endif

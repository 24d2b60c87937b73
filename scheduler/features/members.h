/* scheduler/features/members.h -- a stranger's object has the members that it may have, and no other.
 *
 * Thread: any. */
#ifndef SCHEDULER_FEATURES_MEMBERS_H
#define SCHEDULER_FEATURES_MEMBERS_H

#include <jansson.h>

#include <stddef.h>

/* The first member whose name is none of `known`; NULL: there is none. Borrowed from the object. */
const char *members_unknown(const json_t *object, const char *const *known, size_t count);

#endif

/* scheduler/features/members.h -- a stranger's object has the members that it may have, and no other.
 *
 * Clients of several services spell one thing in several ways. What a member is called here is its name; members_respell()
 * and members_rename() give a stranger's object those names before anything is read from it, so that readers know one each.
 *
 * Thread: any. */
#ifndef SCHEDULER_FEATURES_MEMBERS_H
#define SCHEDULER_FEATURES_MEMBERS_H

#include <jansson.h>

#include <stddef.h>

struct member_name {
    const char *theirs, *ours;
};

/* The first member whose name is none of `known`; NULL: there is none. Borrowed from the object. */
const char *members_unknown(const json_t *object, const char *const *known, size_t count);
/* A member that is one of `known` but for case and underscores (semanticRatio: semantic_ratio) gets that name. NULL, or the name
 * that the object has twice now; it is not changed then. */
const char *members_respell(json_t *object, const char *const *known, size_t count);
/* The same by a table. */
const char *members_rename(json_t *object, const struct member_name *names, size_t count);
/* An id may be a whole number elsewhere: the member, or the place of a list, becomes the text that it is written as. */
void members_name_number(json_t *object, const char *name);
void members_name_place(json_t *list, size_t at);

#endif

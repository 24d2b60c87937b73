/* scheduler/features/walk.h -- through everybody who has events, a page at a time.
 *
 *      qiao:{c:items:TENANT}:owners   set of OWNER
 *
 * A page is what one SSCAN of Redis gives, some WALK_PAGE owners. The cursor that comes back leads to the next one; "0" is the
 * beginning and, coming back, the end. Who is there all the while is met at least once, maybe twice. Thread: the loop's. */
#ifndef SCHEDULER_FEATURES_WALK_H
#define SCHEDULER_FEATURES_WALK_H

#include "scheduler/state/owner.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct store;

enum {
    WALK_PAGE = 100,
    WALK_PAGE_MAX = 4096, // SSCAN gives a few more than asked for; a set that was small all at once
    WALK_CURSOR_MAX = 24  // bytes
};

bool walk_is_cursor(const char *text);

/* The owners of a page, borrowed until the return. */
typedef void walk_fn(void *argument, enum err err, const char *cursor, const char *const *owners,
                     size_t count);
void walk_owners(struct store *store, const char *tenant, const char *cursor, walk_fn *done,
                 void *argument);

/* Delete a source's events of a page's owners, or of `owner` alone; how many had some. Consents and links stay. */
typedef void walk_forget_fn(void *argument, enum err err, const char *cursor, size_t count);
void walk_forget(struct store *store, const char *tenant, const char *source, const char *owner,
                 const char *cursor, walk_forget_fn *done, void *argument);

#endif

/* scheduler/policy/schema.h -- the table of all rules: how each stands in a document's "rules", and where it goes in struct rules.
 *
 * One table reads, checks, explains. A member that no row has is refused by its path and the names that are known there; so is a value that is
 * not right, with what would be. Any object of rules may have "provision": a list of {"law", "article", "note"}, which nothing reads but
 * people.
 *
 * Pure. Thread: any. */
#ifndef SCHEDULER_POLICY_SCHEMA_H
#define SCHEDULER_POLICY_SCHEMA_H

#include "scheduler/policy/rules.h"

#include "base/err.h"

#include <jansson.h>

enum {
    SCHEMA_PATH_MAX = 128
};

/* Write what the object of a document's "rules" says over what stands in `rules`. Texts are borrowed from it. ERR_INVALID:
 * "/labels/place: must be one of none, start, end, both". */
enum err schema_apply(struct rules *rules, const json_t *object);
/* What two rules say of one another once all documents are applied: more signatures than approvers, and the like. */
enum err schema_check(const struct rules *rules);

/* Every rule's path, such as "/features/search/gated". */
typedef void schema_path_fn(void *argument, const char *path);
void schema_each(schema_path_fn *found, void *argument);
/* The value at a path of an object, NULL: there is none; the nearest "provision" on the way there into *provision, NULL: none. */
const json_t *schema_find(const json_t *object, const char *path, const json_t **provision);

#endif

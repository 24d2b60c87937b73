/* scheduler/state/names.h -- a table from short names to what the caller keeps under them.
 *
 * Bounded by its callers: keys of the operator's file, users with streams in the air. Thread: the loop's. */
#ifndef SCHEDULER_STATE_NAMES_H
#define SCHEDULER_STATE_NAMES_H

enum {
    NAMES_TEXT_MAX = 64,
    NAMES_BUCKETS = 1024
};

struct name;

/* Zeroed: empty. What is under the names is the caller's. */
struct names {
    struct name *buckets[NAMES_BUCKETS];
};

/* NULL when there is none. */
void *names_get(const struct names *names, const char *text);
/* The name is not there yet. */
void names_put(struct names *names, const char *text, void *item);
/* The name is there. */
void names_remove(struct names *names, const char *text);
/* `each` may remove the name that it is called for, and no other. */
void names_walk(struct names *names, void (*each)(void *argument, void *item), void *argument);
/* Empty the table. */
void names_fini(struct names *names);

#endif

/* scheduler/door/folders.h -- the folders that a scheduler looks at again and again: documents of policy, bundles of terms.
 *
 * What has changed is read, checked and taken, or refused as a whole while the old stays in force; what came of it is logged, counted and
 * audited by policy_admin and terms_admin. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_FOLDERS_H
#define SCHEDULER_DOOR_FOLDERS_H

struct door;
struct folders;

enum {
    FOLDERS_LOOK_MS = 2000
};

/* Look every FOLDERS_LOOK_MS, and tell what it begins with. Free it before the door's loop ends. */
struct folders *folders_new(struct door *door);
/* NULL is fine. */
void folders_free(struct folders *folders);
/* Read all of them now. */
void folders_reload(struct door *door);

#endif

/* base/mailbox.h -- how threads talk: a bounded queue with many writers and one reader.
 *
 *      writer --put--> [ . . . . ] --take--> reader
 *                          |
 *                        bell (an eventfd, readable while something waits)
 *
 * A mailbox carries pointers. put() gives the thing away on success only; a full mailbox refuses,
 * and the writer decides what that means (answer busy, close the link). The reader either blocks in
 * mailbox_wait(), or watches the bell with its event loop: on readiness it calls mailbox_hush()
 * first and then takes until empty. Thread: any may put; one reader. */
#ifndef BASE_MAILBOX_H
#define BASE_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mailbox;

/* Room for `capacity` messages. The owner frees it after every writer has stopped. */
struct mailbox *mailbox_new(size_t capacity);
void mailbox_free(struct mailbox *mailbox);

/* False when full or closed; never blocks longer than the lock. */
bool mailbox_put(struct mailbox *mailbox, void *message);
/* The oldest message, or NULL when empty. */
void *mailbox_take(struct mailbox *mailbox);
/* Sleep until something waits, the mailbox is closed, or `timeout_ns` has passed (UINT64_MAX: no
 * limit). True when something waits. */
bool mailbox_wait(struct mailbox *mailbox, uint64_t timeout_ns);
/* Refuse further messages; those inside can still be taken. */
void mailbox_close(struct mailbox *mailbox);
size_t mailbox_count(struct mailbox *mailbox);

/* The bell's descriptor, for an event loop; owned by the mailbox. */
int mailbox_bell(struct mailbox *mailbox);
void mailbox_hush(struct mailbox *mailbox);

#endif

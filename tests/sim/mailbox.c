/* tests/sim/mailbox.c -- base/mailbox.h for one thread: no lock, no bell. Who would sleep until something waits is the engine that has
 * no report left; the service of its node then takes those that there are. */
#include "base/mailbox.h"

#include "tests/sim/node.h"

#include "base/mem.h"
#include "base/must.h"

struct mailbox {
    void **messages; // [capacity] a ring
    size_t capacity, first, count;
};

struct mailbox *mailbox_new(size_t capacity)
{
    struct mailbox *mailbox = mem_new(1, sizeof *mailbox);
    mailbox->capacity = capacity;
    return mailbox;
}

void mailbox_free(struct mailbox *mailbox)
{
    if (!mailbox) return;
    mem_free(mailbox->messages);
    mem_free(mailbox);
}

bool mailbox_put(struct mailbox *mailbox, void *message)
{
    if (mailbox->count == mailbox->capacity) return false;
    if (!mailbox->messages) mailbox->messages = mem_new(mailbox->capacity, sizeof(void *));
    mailbox->messages[(mailbox->first + mailbox->count++) % mailbox->capacity] = message;
    return true;
}

void *mailbox_take(struct mailbox *mailbox)
{
    if (mailbox->count == 0) return NULL;
    void *message = mailbox->messages[mailbox->first];
    mailbox->first = (mailbox->first + 1) % mailbox->capacity;
    mailbox->count--;
    return message;
}

bool mailbox_wait(struct mailbox *mailbox, uint64_t timeout_ns)
{
    (void)timeout_ns;
    if (mailbox->count == 0) sim_node_starves();
    must(mailbox->count > 0);
    return true;
}

void mailbox_close(struct mailbox *mailbox)
{
    (void)mailbox;
}

size_t mailbox_count(struct mailbox *mailbox)
{
    return mailbox->count;
}

int mailbox_bell(struct mailbox *mailbox)
{
    (void)mailbox;
    return -1;
}

void mailbox_hush(struct mailbox *mailbox)
{
    (void)mailbox;
}

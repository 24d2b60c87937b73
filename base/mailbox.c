#include "base/mailbox.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct mailbox {
    pthread_mutex_t lock;
    void **slots; // [capacity], a ring
    size_t capacity;
    size_t first;
    size_t count;
    bool closed;
    int bell;
};

struct mailbox *mailbox_new(size_t capacity)
{
    must(capacity > 0);
    struct mailbox *mailbox = mem_new(1, sizeof *mailbox);
    mailbox->slots = mem_new(capacity, sizeof *mailbox->slots);
    mailbox->capacity = capacity;
    mailbox->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    must(mailbox->bell >= 0);
    must(pthread_mutex_init(&mailbox->lock, NULL) == 0);
    return mailbox;
}

void mailbox_free(struct mailbox *mailbox)
{
    if (!mailbox) return;
    close(mailbox->bell);
    pthread_mutex_destroy(&mailbox->lock);
    mem_free(mailbox->slots);
    mem_free(mailbox);
}

static void ring(struct mailbox *mailbox)
{
    uint64_t one = 1;
    ssize_t written = write(mailbox->bell, &one, sizeof one);
    must(written == (ssize_t)sizeof one || errno == EAGAIN); // EAGAIN: already ringing loudly
}

bool mailbox_put(struct mailbox *mailbox, void *message)
{
    must(message);
    pthread_mutex_lock(&mailbox->lock);
    bool room = !mailbox->closed && mailbox->count < mailbox->capacity;
    bool was_empty = mailbox->count == 0;
    if (room) {
        mailbox->slots[(mailbox->first + mailbox->count) % mailbox->capacity] = message;
        mailbox->count++;
    }
    pthread_mutex_unlock(&mailbox->lock);
    // Only the step from empty to one needs the bell: a reader hushes before it takes until empty.
    if (room && was_empty) ring(mailbox);
    return room;
}

void *mailbox_take(struct mailbox *mailbox)
{
    void *message = NULL;
    pthread_mutex_lock(&mailbox->lock);
    if (mailbox->count > 0) {
        message = mailbox->slots[mailbox->first];
        mailbox->first = (mailbox->first + 1) % mailbox->capacity;
        mailbox->count--;
    }
    pthread_mutex_unlock(&mailbox->lock);
    return message;
}

size_t mailbox_count(struct mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    size_t count = mailbox->count;
    pthread_mutex_unlock(&mailbox->lock);
    return count;
}

static bool is_closed(struct mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    bool closed = mailbox->closed;
    pthread_mutex_unlock(&mailbox->lock);
    return closed;
}

bool mailbox_wait(struct mailbox *mailbox, uint64_t timeout_ns)
{
    mailbox_hush(mailbox);
    if (mailbox_count(mailbox) > 0) return true;
    if (is_closed(mailbox)) return false;

    struct pollfd bell = {.fd = mailbox->bell, .events = POLLIN};
    uint64_t start_ns = clock_now_ns(), past_ns = 0;
    int rung;
    do { // a signal ends a poll early, but not our sleep
        uint64_t left_ns = past_ns < timeout_ns ? timeout_ns - past_ns : 0;
        struct timespec limit = {.tv_sec = (time_t)(left_ns / 1000000000),
                                 .tv_nsec = (long)(left_ns % 1000000000)};
        rung = ppoll(&bell, 1, timeout_ns == UINT64_MAX ? NULL : &limit, NULL);
        past_ns = clock_now_ns() - start_ns;
    } while (rung < 0 && errno == EINTR);
    mailbox_hush(mailbox);
    return mailbox_count(mailbox) > 0;
}

void mailbox_close(struct mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    mailbox->closed = true;
    pthread_mutex_unlock(&mailbox->lock);
    ring(mailbox);
}

int mailbox_bell(struct mailbox *mailbox)
{
    return mailbox->bell;
}

void mailbox_hush(struct mailbox *mailbox)
{
    uint64_t rung;
    ssize_t got = read(mailbox->bell, &rung, sizeof rung);
    (void)got; // EAGAIN: it was silent already
}

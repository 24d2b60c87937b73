#include "scheduler/door/event_send.h"

#include "scheduler/door/door.h"
#include "scheduler/features/popular.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

struct sending {
    struct door *door;
    const char *tenant, *region, *source;
    struct event_parcel *parcels; // [count], by owner, then time, then index
    struct event *events;         // [count], the same order: what events_store() reads
    unsigned char *fates;         // [count]
    size_t count, next;           // those before `next` are on their way, or through
    size_t flying;
    event_sent_fn *done;
    void *argument;
};

/* The events of one user on their way. */
struct flock {
    struct sending *sending;
    size_t first, count;
};

static int compare(const void *a, const void *b)
{
    const struct event_parcel *left = a, *right = b;
    int order = strcmp(left->owner, right->owner);
    if (order != 0) return order;
    if (left->event.time_ms != right->event.time_ms)
        return left->event.time_ms < right->event.time_ms ? -1 : 1;
    return left->index < right->index ? -1 : 1;
}

static void count_popular(const struct sending *sending, const struct flock *flock)
{
    const struct event **fresh = mem_new(flock->count, sizeof *fresh);
    size_t found = 0;
    for (size_t i = flock->first; i < flock->first + flock->count; i++)
        if (sending->fates[i] == EVENT_STORED) fresh[found++] = &sending->events[i];
    popular_add(sending->door->popular, sending->tenant, sending->region, fresh, found);
    mem_free(fresh);
}

static void send_more(struct sending *sending);

static void on_stored(void *argument, enum err err)
{
    struct flock flock = *(struct flock *)argument;
    struct sending *sending = flock.sending;
    mem_free(argument);
    for (size_t i = flock.first; i < flock.first + flock.count; i++) {
        sending->parcels[i].fate = (enum event_fate)sending->fates[i];
        sending->parcels[i].err = err;
    }
    if (!err) count_popular(sending, &flock);
    sending->flying--;
    send_more(sending);
}

static void send_more(struct sending *sending)
{
    while (sending->next < sending->count && sending->flying < EVENT_SEND_FLYING_MAX) {
        const struct event_parcel *first = &sending->parcels[sending->next];
        struct flock *flock = mem_new(1, sizeof *flock);
        *flock = (struct flock){.sending = sending, .first = sending->next};
        while (sending->next < sending->count &&
               strcmp(sending->parcels[sending->next].owner, first->owner) == 0)
            sending->next++;
        flock->count = sending->next - flock->first;
        sending->flying++;
        struct event_batch batch = {.tenant = sending->tenant,
                                    .owner = first->owner,
                                    .source = sending->source,
                                    .events = sending->events + flock->first,
                                    .count = flock->count,
                                    .fates = sending->fates + flock->first};
        events_store(sending->door->events, &batch, on_stored, flock);
    }
    if (sending->flying > 0) return;
    sending->done(sending->argument);
    mem_free(sending->events);
    mem_free(sending->fates);
    mem_free(sending);
}

void event_send(struct door *door, const char *tenant, const char *region, const char *source,
                struct event_parcel *parcels, size_t count, event_sent_fn *done, void *argument)
{
    struct sending *sending = mem_new(1, sizeof *sending);
    *sending = (struct sending){.door = door,
                                .tenant = tenant,
                                .region = region,
                                .source = source,
                                .parcels = parcels,
                                .events = mem_new(count + 1, sizeof *sending->events),
                                .fates = mem_new(count + 1, 1),
                                .count = count,
                                .done = done,
                                .argument = argument};
    if (count > 1) qsort(parcels, count, sizeof *parcels, compare);
    for (size_t i = 0; i < count; i++)
        sending->events[i] = parcels[i].event;
    send_more(sending);
}

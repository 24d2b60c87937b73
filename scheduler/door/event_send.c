#include "scheduler/door/event_send.h"

#include "scheduler/door/door.h"
#include "scheduler/door/residence.h"
#include "scheduler/door/retention.h"
#include "scheduler/features/popular.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

struct sending {
    struct door *door;
    struct event_sending call; // its parcels by owner, then time, then index
    struct event *events;      // [count], the same order: what events_store() reads
    unsigned char *fates;      // [count]
    size_t next;               // those before it are on their way, or through
    size_t flying;
    uint32_t keep_seconds;
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
    popular_add(sending->door->popular, sending->call.tenant, sending->call.region, fresh, found);
    mem_free(fresh);
}

static void send_more(struct sending *sending);

static void on_stored(void *argument, enum err err)
{
    struct flock flock = *(struct flock *)argument;
    struct sending *sending = flock.sending;
    struct event_parcel *parcels = sending->call.parcels;
    mem_free(argument);
    for (size_t i = flock.first; i < flock.first + flock.count; i++)
        parcels[i].fate = (enum event_fate)sending->fates[i];
    sending->call.judged(sending->call.argument, parcels + flock.first, flock.count, err);
    if (!err) count_popular(sending, &flock);
    sending->flying--;
    send_more(sending);
}

static void send_more(struct sending *sending)
{
    const struct event_sending *call = &sending->call;
    while (sending->next < call->count && sending->flying < EVENT_SEND_FLYING_MAX) {
        const struct event_parcel *first = &call->parcels[sending->next];
        struct flock *flock = mem_new(1, sizeof *flock);
        *flock = (struct flock){.sending = sending, .first = sending->next};
        while (sending->next < call->count &&
               strcmp(call->parcels[sending->next].owner, first->owner) == 0)
            sending->next++;
        flock->count = sending->next - flock->first;
        sending->flying++;
        struct event_batch batch = {.tenant = call->tenant,
                                    .owner = first->owner,
                                    .source = call->source,
                                    .region =
                                        residence_of(sending->door, call->tenant, call->region),
                                    .events = sending->events + flock->first,
                                    .count = flock->count,
                                    .keep_seconds = sending->keep_seconds,
                                    .fates = sending->fates + flock->first};
        events_store(sending->door->events, &batch, on_stored, flock);
    }
    if (sending->flying > 0) return;
    call->done(call->argument);
    mem_free(sending->events);
    mem_free(sending->fates);
    mem_free(sending);
}

void event_send(struct door *door, const struct event_sending *call)
{
    struct sending *sending = mem_new(1, sizeof *sending);
    *sending = (struct sending){.door = door,
                                .call = *call,
                                .events = mem_new(call->count + 1, sizeof *sending->events),
                                .fates = mem_new(call->count + 1, 1)};
    sending->keep_seconds = 86400 * retention_history_days(door, call->tenant, call->region);
    if (call->count > 1) qsort(call->parcels, call->count, sizeof *call->parcels, compare);
    for (size_t i = 0; i < call->count; i++)
        sending->events[i] = call->parcels[i].event;
    send_more(sending);
}

#include "scheduler/evictions.h"

#include "scheduler/core/fleet.h"

#include "wire/message.h"

#include "base/clock.h"
#include "base/mem.h"

struct eviction {
    struct eviction *next;
    uint64_t serial, salt;
    uint64_t began_ns, asked_ns;
    uint64_t *links; // [link_count] who has not answered
    size_t link_count;
    bool lost; // one of them went away without an answer
    eviction_fn *done;
    void *argument;
};

struct evictions {
    const struct fleet *fleet;
    struct evictions_seam seam;
    struct eviction *first;
    size_t count;
    uint64_t serial;
    uint64_t kept[EVICTIONS_KEPT]; // salts, a ring
    size_t kept_count;             // ever
};

struct evictions *evictions_new(const struct fleet *fleet, const struct evictions_seam *seam)
{
    struct evictions *evictions = mem_new(1, sizeof *evictions);
    evictions->fleet = fleet;
    evictions->seam = *seam;
    return evictions;
}

static void end(struct evictions *evictions, struct eviction **at, bool all)
{
    struct eviction *eviction = *at;
    *at = eviction->next;
    evictions->count--;
    eviction->done(eviction->argument, all);
    mem_free(eviction->links);
    mem_free(eviction);
}

void evictions_free(struct evictions *evictions)
{
    if (!evictions) return;
    while (evictions->first)
        end(evictions, &evictions->first, false);
    mem_free(evictions);
}

static void tell(struct evictions *evictions, uint64_t link, uint64_t salt, uint64_t serial)
{
    struct wire_message message = {.type = WIRE_EVICT, .evict = {.salt = salt, .serial = serial}};
    (void)evictions->seam.send(evictions->seam.owner, link, &message, false); // its DOWN follows
}

static void ask(struct evictions *evictions, struct eviction *eviction, uint64_t now_ns)
{
    eviction->asked_ns = now_ns;
    for (size_t i = 0; i < eviction->link_count; i++)
        tell(evictions, eviction->links[i], eviction->salt, eviction->serial);
}

enum err evictions_begin(struct evictions *evictions, uint64_t salt, uint64_t now_ns,
                         eviction_fn *done, void *argument)
{
    if (evictions->count == EVICTIONS_MAX)
        return err_note(ERR_BUSY, "%d evictions are under way", EVICTIONS_MAX);
    struct eviction *eviction = mem_new(1, sizeof *eviction);
    size_t nodes = fleet_node_count(evictions->fleet);
    *eviction = (struct eviction){.next = evictions->first,
                                  .serial = ++evictions->serial,
                                  .salt = salt,
                                  .began_ns = now_ns,
                                  .links = mem_new(nodes, sizeof *eviction->links),
                                  .link_count = nodes,
                                  .done = done,
                                  .argument = argument};
    for (size_t i = 0; i < nodes; i++)
        eviction->links[i] = fleet_node_at(evictions->fleet, i)->link;
    evictions->first = eviction;
    evictions->count++;
    evictions->kept[evictions->kept_count++ % EVICTIONS_KEPT] = salt;
    ask(evictions, eviction, now_ns);
    return ERR_OK;
}

void evictions_up(struct evictions *evictions, uint64_t link)
{
    size_t count = evictions->kept_count;
    for (size_t i = count > EVICTIONS_KEPT ? count - EVICTIONS_KEPT : 0; i < count; i++)
        tell(evictions, link, evictions->kept[i % EVICTIONS_KEPT], 0);
}

static bool strike(struct eviction *eviction, uint64_t link)
{
    for (size_t i = 0; i < eviction->link_count; i++) {
        if (eviction->links[i] != link) continue;
        eviction->links[i] = eviction->links[--eviction->link_count];
        return true;
    }
    return false;
}

void evictions_said(struct evictions *evictions, uint64_t link, uint64_t serial)
{
    for (struct eviction **at = &evictions->first; *at; at = &(*at)->next) {
        if ((*at)->serial != serial) continue;
        if (strike(*at, link) && (*at)->link_count == 0) end(evictions, at, !(*at)->lost);
        return;
    }
}

/* What it held may be there yet: the rest is waited for, so that as much as can be is gone. */
void evictions_down(struct evictions *evictions, uint64_t link)
{
    for (struct eviction *one = evictions->first; one; one = one->next)
        one->lost |= strike(one, link);
}

void evictions_tick(struct evictions *evictions, uint64_t now_ns)
{
    struct eviction **at = &evictions->first;
    while (*at) {
        struct eviction *one = *at;
        bool over = one->link_count == 0 || now_ns >= one->began_ns + EVICTION_MS * CLOCK_MS;
        if (over) {
            end(evictions, at, one->link_count == 0 && !one->lost);
            continue;
        }
        if (now_ns >= one->asked_ns + EVICTION_AGAIN_MS * CLOCK_MS) ask(evictions, one, now_ns);
        at = &one->next;
    }
}

#include "tests/sim/sched.h"

#include "scheduler/core/fleet.h"
#include "tests/sim/net.h"
#include "tests/sim/world.h"

#include "wire/link.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/mailbox.h"
#include "base/mem.h"
#include "base/must.h"

#include <stdio.h>
#include <string.h>

enum {
    SCHEDS_MAX = 64,
    INBOX_MAX = 65536,
    ARENA_SIZE = 4 << 20,
    FLIGHTS_MAX = 16384,
    SMALL_INBOX = 4096, // of a small history, whose tables may be full now and then
    SMALL_FLIGHTS = 64,
    SMALL_INDEX = 1024
};

struct sim_sched {
    uint32_t number;
    bool up;
    uint32_t life;
    bool wakes;
    struct fleet *fleet;
    struct flights *flights;
    struct links *links;
    struct mailbox *inbox;
    uint64_t beat;
};

static struct sim_sched scheds[SCHEDS_MAX];
static struct plan plan;
static struct arena arena;
static struct flights_stats past; // of lives that have ended

static enum err send(void *owner, uint64_t link, const struct wire_message *message, bool urgent)
{
    struct sim_sched *sched = owner;
    return link_send(sched->links, link, message, urgent);
}

static void quarantine(void *owner, uint64_t link)
{
    (void)owner, (void)link;
    must(!"a node contradicted what was delivered");
}

static uint64_t key_of(const struct sim_sched *sched)
{
    return (uint64_t)sched->life << 16 | sched->number;
}

static struct sim_sched *sched_of(uint64_t key)
{
    struct sim_sched *sched = &scheds[key & 0xffff];
    return sched->up && sched->life == key >> 16 ? sched : NULL;
}

static void hello(struct sim_sched *sched, uint64_t link, const struct wire_hello *said)
{
    if (fleet_hello(sched->fleet, link, said, world_now_ns())) {
        link_close(sched->links, link, "refused"); // its earlier life is still known
        return;
    }
    struct wire_message welcome = {.type = WIRE_WELCOME,
                                   .welcome = {.protocol = WIRE_PROTOCOL, .instance = 1}};
    (void)link_send(sched->links, link, &welcome, false);
}

static void take_frame(struct sim_sched *sched, const struct link_event *event)
{
    struct wire_message message;
    uint64_t now_ns = world_now_ns();
    arena_reset(&arena);
    must(message_decode(&message, event->type, event->body, event->size, &arena) == ERR_OK);
    if (message.type == WIRE_HELLO) {
        hello(sched, event->link, &message.hello);
        return;
    }
    if (!fleet_find_node(sched->fleet, event->link)) return;
    switch (message.type) {
    case WIRE_HEARTBEAT:
        fleet_heartbeat(sched->fleet, event->link, &message.heartbeat, now_ns);
        break;
    case WIRE_LOAD: fleet_load(sched->fleet, event->link, &message.load, now_ns); break;
    case WIRE_RESULT: flights_result(sched->flights, event->link, &message.result, now_ns); break;
    case WIRE_DONE: flights_done(sched->flights, event->link, &message.done, now_ns); break;
    case WIRE_BUSY: flights_busy(sched->flights, event->link, &message.busy, now_ns); break;
    case WIRE_CACHE_DELTA:
        must(fleet_cache_delta(sched->fleet, event->link, &message.cache_delta, now_ns) == ERR_OK);
        break;
    case WIRE_SHARD_STATE:
    case WIRE_EVICTED: break;
    default: must(!"what no node says");
    }
}

static void take_all(struct sim_sched *sched)
{
    for (struct link_event *event; (event = mailbox_take(sched->inbox)) != NULL;) {
        if (event->kind == LINK_FRAME) take_frame(sched, event);
        if (event->kind == LINK_DOWN && fleet_find_node(sched->fleet, event->link)) {
            fleet_down(sched->fleet, event->link, world_now_ns());
            flights_node_lost(sched->flights, event->link, world_now_ns());
        }
        link_event_free(event);
    }
}

static void on_wake(void *argument, uint64_t key)
{
    struct sim_sched *sched = sched_of(key);
    (void)argument;
    if (!sched) return;
    sched->wakes = false;
    take_all(sched);
}

void sim_sched_wake(uint32_t number, bool at_rest)
{
    struct sim_sched *sched = &scheds[number];
    if (!sched->up || sched->wakes) return;
    if (at_rest) {
        take_all(sched);
        return;
    }
    sched->wakes = true;
    world_at(world_now_ns(), on_wake, NULL, key_of(sched));
}

/* What is charged to nodes is some flight's, of which two nodes at most have a part; without flights, nothing is. */
static void check_charges(const struct sim_sched *sched)
{
    size_t flights = flights_count(sched->flights), in_air = 0;
    for (size_t n = 0; n < fleet_node_count(sched->fleet); n++) {
        const struct fleet_node *node = fleet_node_at(sched->fleet, n);
        in_air += node->in_air;
        must(node->in_air <= node->credits && (flights > 0 || node->in_air_tokens == 0));
    }
    must(in_air <= 2 * flights);
}

static void on_timer(void *argument, uint64_t key)
{
    struct sim_sched *sched = sched_of(key);
    uint64_t now_ns = world_now_ns();
    (void)argument;
    if (!sched) return;
    struct wire_message beat = {.type = WIRE_HEARTBEAT, .heartbeat = {.count = ++sched->beat}};
    for (size_t i = 0; i < fleet_node_count(sched->fleet); i++)
        (void)link_send(sched->links, fleet_node_at(sched->fleet, i)->link, &beat, true);
    take_all(sched);
    links_check(sched->links, now_ns);
    take_all(sched);
    fleet_tick(sched->fleet, now_ns);
    flights_tick(sched->flights, now_ns);
    check_charges(sched);
    world_at(now_ns + LINK_HEARTBEAT_MS * CLOCK_MS, on_timer, NULL, key);
}

static void start(struct sim_sched *sched)
{
    char url[16];
    sched->inbox = mailbox_new(plan.small ? SMALL_INBOX : INBOX_MAX);
    net_set_owner(sched->number);
    must(links_new(&sched->links, sched->inbox) == ERR_OK);
    snprintf(url, sizeof url, "sim:%u", sched->number);
    must(links_listen(sched->links, url, NULL) == ERR_OK);
    sched->fleet = fleet_new(&(struct fleet_options){.seed = rand_next(world_rand()),
                                                     .policy = plan.policy,
                                                     .index_blocks = plan.small ? SMALL_INDEX : 0});
    struct flights_seams seams = {sched, send, quarantine};
    sched->flights = flights_new(sched->fleet, &seams, plan.small ? SMALL_FLIGHTS : FLIGHTS_MAX);
    sched->up = true;
    sched->life++;
    sched->wakes = false;
    world_at(world_now_ns() + world_between(0, 100) * CLOCK_MS, on_timer, NULL, key_of(sched));
}

static void add_stats(const struct flights_stats *more)
{
    past.started += more->started;
    past.ended += more->ended;
    past.retried += more->retried;
    past.busy += more->busy;
    past.duplicates += more->duplicates;
    past.lost_nodes += more->lost_nodes;
    past.hedged += more->hedged;
    past.hedges_won += more->hedges_won;
    past.moved += more->moved;
}

/* Its flights are over by now. */
static void stop(struct sim_sched *sched)
{
    must(flights_count(sched->flights) == 0);
    add_stats(flights_stats(sched->flights));
    links_free(sched->links);
    for (struct link_event *event; (event = mailbox_take(sched->inbox)) != NULL;)
        link_event_free(event);
    mailbox_free(sched->inbox);
    flights_free(sched->flights);
    fleet_free(sched->fleet);
    sched->up = false;
}

static void restart(void *argument, uint64_t number)
{
    (void)argument;
    if (number < plan.schedulers && !scheds[number].up) start(&scheds[number]);
}

void sim_sched_crash(uint32_t number)
{
    net_kill(number);
    stop(&scheds[number]);
    world_at(world_now_ns() + world_between(500, 3000) * CLOCK_MS, restart, NULL, number);
}

void sim_scheds_heal(void)
{
    for (uint32_t i = 0; i < plan.schedulers; i++)
        if (!scheds[i].up) start(&scheds[i]);
}

bool sim_sched_is_up(uint32_t number)
{
    return scheds[number].up;
}

void sim_sched_drain(uint32_t number, const char *node, bool on)
{
    struct sim_sched *sched = &scheds[number];
    uint64_t link;
    if (!sched->up || fleet_drain(sched->fleet, node, on, world_now_ns(), &link)) return;
    struct wire_message message = {.type = WIRE_DRAIN, .drain = {.on = on}};
    (void)link_send(sched->links, link, &message, false);
}

enum err sim_sched_start(uint32_t number, const struct flight_order *order,
                         const struct flight_events *events, void *argument, uint64_t *flight)
{
    return flight_start(scheds[number].flights, order, events, argument, world_now_ns(), flight);
}

void sim_sched_cancel(uint32_t number, uint64_t flight)
{
    flight_cancel(scheds[number].flights, flight, world_now_ns());
}

size_t sim_sched_nodes(uint32_t number)
{
    return scheds[number].up ? fleet_node_count(scheds[number].fleet) : 0;
}

size_t sim_sched_flights(uint32_t number)
{
    return scheds[number].up ? flights_count(scheds[number].flights) : 0;
}

struct flights_stats sim_scheds_stats(void)
{
    return past;
}

void sim_scheds_begin(const struct plan *what)
{
    plan = *what;
    past = (struct flights_stats){0};
    arena_init(&arena, mem_new(1, ARENA_SIZE), ARENA_SIZE);
    for (uint32_t i = 0; i < plan.schedulers; i++) {
        scheds[i].number = i;
        start(&scheds[i]);
    }
}

void sim_scheds_end(void)
{
    for (uint32_t i = 0; i < plan.schedulers; i++) {
        struct sim_sched *sched = &scheds[i];
        if (!sched->up) continue;
        check_charges(sched);
        stop(sched);
    }
    mem_free(arena.bytes);
    plan.schedulers = 0; // who was to come back does not
}

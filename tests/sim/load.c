#include "tests/sim/load.h"

#include "tests/sim/check.h"
#include "tests/sim/node.h"
#include "tests/sim/sched.h"
#include "tests/sim/world.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SYSTEMS = 200,
    TURNS_MAX = 5,
    HISTORY_MAX = SIM_CONTEXT - 600
};

/* One conversation, or one request of the plain trace. */
struct talk {
    int32_t *ids; // [count]: all that was said
    size_t count, capacity;
    uint32_t turns; // that are still to come
    uint64_t salt;
};

struct request {
    struct talk *talk;
    uint32_t sched;
    uint64_t flight;
    uint64_t seed;
    uint32_t prompt; // ids
    uint32_t most;
    uint64_t asked_ns, first_ns, heard_ns;
    bool open;
    bool counts;  // for the figures: it was asked after the warm-up
    size_t place; // in the list of those that are open
    struct request *next_gone;
};

static struct plan plan;

static struct {
    struct load_report report;
    struct request **open; // [open_count]
    size_t open_count, open_capacity;
    struct request *gone; // kept, so that what comes after an end is seen
    size_t waiting;       // conversations that come back
    uint64_t asked;
    uint64_t *firsts; // ns, of whole answers
    size_t first_count, first_capacity;
    uint64_t in_time;
    uint64_t warm_ns, last_ns; // when the first that counts was asked, and the last of all
} load;

static void talk_free(struct talk *talk)
{
    mem_free(talk->ids);
    mem_free(talk);
}

static void make_room(struct talk *talk, size_t count)
{
    if (talk->count + count <= talk->capacity) return;
    talk->capacity = talk->count + count + 128;
    talk->ids = mem_resize(talk->ids, talk->capacity, sizeof *talk->ids);
}

static void say(struct talk *talk, uint64_t seed, size_t count)
{
    make_room(talk, count);
    for (size_t i = 0; i < count; i++)
        talk->ids[talk->count++] = 1 + (int32_t)(rand_at(seed, 3, i) % (SIM_VOCAB - 1));
}

/* Zipf with exponent 1: rank r is drawn 1 / r as often as the first. */
static uint64_t draw_system(void)
{
    static double sums[SYSTEMS];
    if (sums[0] == 0)
        for (size_t i = 0; i < SYSTEMS; i++)
            sums[i] = (i ? sums[i - 1] : 0) + 1.0 / (double)(i + 1);
    double at = rand_unit(rand_next(world_rand())) * sums[SYSTEMS - 1];
    size_t system = 0;
    while (system + 1 < SYSTEMS && sums[system] < at)
        system++;
    return system;
}

static struct talk *new_talk(void)
{
    struct talk *talk = mem_new(1, sizeof *talk);
    talk->salt = 1 + rand_below(world_rand(), 3);
    if (plan.shared) {
        uint64_t system = draw_system();
        talk->salt = 7;
        talk->turns = (uint32_t)world_between(1, TURNS_MAX);
        if (plan.small)
            say(talk, system, 32 + system % 64);
        else
            say(talk, system, 256 + rand_at(system, 4, 0) % 1793);
    } else {
        talk->turns = 1;
    }
    say(talk, rand_next(world_rand()), plan.small ? world_between(1, 200) : world_between(64, 512));
    return talk;
}

static void drop(struct request *request)
{
    struct request *last = load.open[--load.open_count];
    load.open[request->place] = last;
    last->place = request->place;
    if (request->talk) talk_free(request->talk);
    request->talk = NULL;
    request->open = false;
    if (!plan.chaos) {
        mem_free(request);
        return;
    }
    request->next_gone = load.gone;
    load.gone = request;
}

static void note_first(const struct request *request, uint32_t cached)
{
    load.report.prompt_ids += request->prompt;
    load.report.cached_ids += cached;
    if (load.first_count == load.first_capacity) {
        load.first_capacity = load.first_capacity ? 2 * load.first_capacity : 4096;
        load.firsts = mem_resize(load.firsts, load.first_capacity, sizeof *load.firsts);
    }
    uint64_t took_ns = request->first_ns - request->asked_ns;
    load.firsts[load.first_count++] = took_ns;
    load.in_time += took_ns <= CLOCK_SECOND;
}

static void see_ids(void *argument, const struct flight_ids *ids)
{
    struct request *request = argument;
    struct talk *talk = request->talk;
    uint64_t now_ns = world_now_ns();
    must(request->open); // nothing after an end or a cancel
    must(ids->count > 0 && ids->position == talk->count);
    make_room(talk, ids->count);
    for (size_t i = 0; i < ids->count; i++) { // promise 2: what the undisturbed run gives
        must(ids->ids[i] == sim_next_id(request->seed, talk->ids, talk->count));
        talk->ids[talk->count++] = ids->ids[i];
        world_note((uint64_t)ids->ids[i]);
    }
    must(talk->count <= request->prompt + request->most);
    load.report.ids += ids->count;
    if (request->first_ns == 0)
        request->first_ns = now_ns;
    else if (now_ns - request->heard_ns > load.report.longest_gap_ns)
        load.report.longest_gap_ns = now_ns - request->heard_ns;
    request->heard_ns = now_ns;
}

static void ask(struct talk *talk);

static void come_back(void *argument, uint64_t number)
{
    (void)number;
    load.waiting--;
    struct talk *talk = argument;
    say(talk, rand_next(world_rand()), plan.small ? 20 : world_between(32, 256));
    ask(talk);
}

static void see_end(void *argument, const struct flight_end *end)
{
    struct request *request = argument;
    struct talk *talk = request->talk;
    must(request->open); // one end, and nothing after a cancel
    request->open = false;
    world_note(end->err);
    uint64_t took_ns = world_now_ns() - request->asked_ns;
    if (took_ns > load.report.longest_ns) load.report.longest_ns = took_ns;
    must(end->completion_tokens == talk->count - request->prompt);
    if (end->err) {
        load.report.failed++;
        drop(request);
        return;
    }
    bool stopped = talk->ids[talk->count - 1] == SIM_STOP_ID;
    must(stopped ? end->finish == WIRE_FINISH_STOP : end->finish == WIRE_FINISH_LENGTH);
    must(stopped || talk->count == request->prompt + request->most);
    load.report.whole++;
    if (request->counts) note_first(request, end->cached_tokens);
    if (--talk->turns > 0 && talk->count < HISTORY_MAX && load.asked < plan.requests) {
        load.waiting++;
        world_at(world_now_ns() + world_between(500, 15000) * CLOCK_MS, come_back, talk, 0);
        request->talk = NULL;
    }
    drop(request);
}

static const struct flight_events events = {.ids = see_ids, .end = see_end};

static struct flight_order order_of(const struct request *request)
{
    static const int32_t stops[] = {SIM_STOP_ID};
    struct flight_order order = {.ids = request->talk->ids,
                                 .id_count = request->talk->count,
                                 .max_tokens = request->most,
                                 .stop_ids = stops,
                                 .stop_id_count = 1,
                                 .sampling = {.repetition_penalty = 1, .seed = request->seed},
                                 .tenant = request->talk->salt,
                                 .tenant_weight = 1,
                                 .priority = WIRE_DEFAULT,
                                 .salt = request->talk->salt};
    order.model.bytes[0] = 1;
    order.numerics.bytes[0] = 1;
    if (plan.chaos && world_chance(20))
        order.deadline_ns = world_now_ns() + world_between(50, 5000) * CLOCK_MS;
    if (!plan.chaos) return order;
    order.priority = (enum wire_priority)rand_below(world_rand(), 3);
    order.tenant = world_between(1, SIM_TENANTS);
    order.tenant_weight = sim_weight(order.tenant);
    return order;
}

static void ask(struct talk *talk)
{
    struct request *request = mem_new(1, sizeof *request);
    *request = (struct request){.talk = talk,
                                .sched = (uint32_t)rand_below(world_rand(), plan.schedulers),
                                .seed = rand_next(world_rand()),
                                .prompt = (uint32_t)talk->count,
                                .most = (uint32_t)(plan.small ? world_between(1, SIM_SMALL_ANSWER)
                                                              : world_between(16, 128)),
                                .asked_ns = world_now_ns(),
                                .open = true,
                                .counts = load.asked >= plan.warm_up,
                                .place = load.open_count};
    if (load.asked == plan.warm_up) load.warm_ns = request->asked_ns;
    load.last_ns = request->asked_ns;
    request->heard_ns = request->asked_ns;
    if (load.open_count == load.open_capacity) {
        load.open_capacity = load.open_capacity ? 2 * load.open_capacity : 256;
        load.open = mem_resize(load.open, load.open_capacity, sizeof(struct request *));
    }
    load.open[load.open_count++] = request;
    load.asked++;
    struct flight_order order = order_of(request);
    if (sim_sched_is_up(request->sched) &&
        sim_sched_start(request->sched, &order, &events, request, &request->flight) == ERR_OK)
        return;
    load.report.refused++;
    drop(request);
}

static void arrive(void *argument, uint64_t number)
{
    (void)argument, (void)number;
    if (load.asked >= plan.requests) return;
    double wait = -log(1 - rand_unit(rand_next(world_rand()))) / plan.rate;
    world_at(world_now_ns() + (uint64_t)(wait * 1e9) + 1, arrive, NULL, 0);
    ask(new_talk());
}

void load_begin(const struct plan *what)
{
    plan = *what;
    memset(&load, 0, sizeof load);
    world_at(world_now_ns() + 3 * CLOCK_SECOND, arrive, NULL, 0); // when the nodes are there
}

bool load_is_over(void)
{
    return load.asked >= plan.requests && load.open_count == 0 && load.waiting == 0;
}

void load_cancel_one(void)
{
    if (load.open_count == 0) return;
    struct request *request = load.open[rand_below(world_rand(), load.open_count)];
    sim_sched_cancel(request->sched, request->flight);
    load.report.canceled++;
    drop(request);
}

void load_lose(uint32_t sched)
{
    for (size_t i = load.open_count; i-- > 0;) {
        struct request *request = load.open[i];
        if (request->sched != sched) continue;
        sim_sched_cancel(sched, request->flight);
        load.report.lost++;
        drop(request);
    }
}

void load_check(void)
{
    for (uint32_t s = 0; s < plan.schedulers; s++) {
        size_t count = 0;
        for (size_t i = 0; i < load.open_count; i++)
            count += load.open[i]->sched == s;
        must(count == sim_sched_flights(s));
    }
}

void load_free(void)
{
    for (struct request *next, *request = load.gone; request; request = next) {
        next = request->next_gone;
        mem_free(request);
    }
    load.gone = NULL;
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

struct load_report load_end(void)
{
    struct load_report *report = &load.report;
    must(load.open_count == 0);
    must(report->whole + report->refused + report->failed + report->canceled + report->lost ==
         load.asked);
    if (load.first_count > 0) {
        double sum = 0;
        qsort(load.firsts, load.first_count, sizeof *load.firsts, by_size);
        for (size_t i = 0; i < load.first_count; i++)
            sum += (double)load.firsts[i];
        report->first_p50_ns = load.firsts[load.first_count / 2];
        report->first_p99_ns = load.firsts[load.first_count * 99 / 100];
        report->first_mean_ns = (uint64_t)(sum / (double)load.first_count);
    }
    double asked_s = (double)(load.last_ns - load.warm_ns) / (double)CLOCK_SECOND;
    report->offered = asked_s > 0 ? (double)(load.asked - plan.warm_up) / asked_s : 0;
    report->goodput = asked_s > 0 ? (double)load.in_time / asked_s : 0;
    mem_free(load.firsts);
    mem_free(load.open);
    return *report;
}

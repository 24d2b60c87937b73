#include "tests/sim/run.h"

#include "tests/sim/net.h"
#include "tests/sim/node.h"
#include "tests/sim/sched.h"
#include "tests/sim/world.h"

#include "base/clock.h"
#include "base/must.h"

enum {
    OWNER_NODES = 1000,
    PATIENCE_S = 3600 // until everything has ended, in virtual time
};

static struct plan plan;
static bool calm; // nothing more happens

static void wake(uint32_t owner, bool at_rest)
{
    if (owner >= OWNER_NODES)
        sim_node_wake(owner - OWNER_NODES);
    else
        sim_sched_wake(owner, at_rest);
}

static void undrain(void *argument, uint64_t number)
{
    (void)argument;
    for (uint32_t i = 0; i < plan.schedulers; i++)
        sim_sched_drain(i, sim_node_name((uint32_t)number), false);
}

static void drain(uint32_t node)
{
    sim_sched_drain((uint32_t)rand_below(world_rand(), plan.schedulers), sim_node_name(node), true);
    world_at(world_now_ns() + world_between(500, 6000) * CLOCK_MS, undrain, NULL, node);
}

/* Something goes wrong, somewhere. */
static void strike(void *argument, uint64_t number)
{
    (void)argument, (void)number;
    if (calm) return;
    world_at(world_now_ns() + world_between(20, 2000) * CLOCK_MS, strike, NULL, 0);
    uint32_t node = (uint32_t)rand_below(world_rand(), plan.nodes);
    uint32_t sched = (uint32_t)rand_below(world_rand(), plan.schedulers);
    uint64_t for_ns = world_between(50, 3000) * CLOCK_MS;
    switch (rand_below(world_rand(), 12)) {
    case 0:
    case 1:
        if (sim_node_is_up(node)) sim_node_crash(node, world_chance(3));
        break;
    case 2:
    case 3: sim_node_hang(node, for_ns); break;
    case 4: sim_node_slow(node, world_chance(2) ? 0.1 : 1); break;
    case 5:
    case 6: net_part(OWNER_NODES + node, sched, world_now_ns() + for_ns); break;
    case 7: drain(node); break;
    case 8:
        if (plan.schedulers > 1 && sim_sched_is_up(sched) && world_chance(4)) {
            load_lose(sched);
            sim_sched_crash(sched);
        }
        break;
    default: load_cancel_one(); break;
    }
}

static void calm_down(void)
{
    calm = true;
    sim_nodes_heal();
    sim_scheds_heal();
}

struct run_report run(const struct plan *what)
{
    struct run_report report = {0};
    plan = *what;
    calm = false;
    world_begin(plan.seed);
    net_set_wake(wake);
    check_begin();
    sim_scheds_begin(&plan);
    sim_nodes_begin(&plan);
    load_begin(&plan);
    uint64_t begun_ns = world_now_ns();
    uint64_t end_ns = begun_ns + PATIENCE_S * CLOCK_SECOND;
    if (plan.chaos) world_at(begun_ns + 3 * CLOCK_SECOND, strike, NULL, 0);
    while (!load_is_over() && world_step(end_ns)) {
        must(++report.events != plan.break_at);
        if (plan.chaos && report.events % 64 == 0) load_check();
    }
    must(load_is_over()); // every request ends
    report.virtual_s = (double)(world_now_ns() - begun_ns) / (double)CLOCK_SECOND;
    report.load = load_end();
    calm_down();
    end_ns = world_now_ns() + 5 * CLOCK_SECOND; // cancels arrive, nodes come back
    while (world_step(end_ns))
        report.events++;
    sim_nodes_end();
    sim_scheds_end();
    report.flights = sim_scheds_stats();
    report.check = check_report();
    report.digest = world_digest();
    net_end();
    load_free();
    world_end();
    return report;
}

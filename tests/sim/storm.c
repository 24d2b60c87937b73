#include "tests/sim/storm.h"

#include "tests/sim/limits.h"
#include "tests/sim/run.h"

#include "base/rand.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static uint64_t or_else(uint64_t chosen, uint64_t other)
{
    return chosen ? chosen : other;
}

/* A small cluster, by the seed. */
static struct plan plan_of(const struct storm_choices *c, uint64_t seed)
{
    static const uint32_t schedulers[] = {1, 4, 16};
    return (struct plan){.seed = seed,
                         .nodes = (uint32_t)or_else(c->nodes, 2 + seed % 5),
                         .schedulers = (uint32_t)or_else(c->schedulers, schedulers[seed % 3]),
                         .requests = or_else(c->requests, 120),
                         .rate = (double)or_else(c->rate, 10 + seed % 30),
                         .chaos = true,
                         .shared = seed % 2,
                         .small = true,
                         .kv_blocks = 136 + 16 * (uint32_t)(seed % 7),
                         .sequences = 2 + (uint32_t)(seed % 9),
                         .waiting_max = 4 + 31 * (uint32_t)(seed / 3 % 5),
                         .waiting_tokens_max = seed / 5 % 3 == 0 ? 2000 : 0,
                         .break_at = c->break_at,
                         .policy = (enum route_policy)(seed / 7 % ROUTE_POLICIES)};
}

static char command[200]; // that plays this history again

static void note_command(const struct storm_choices *c, const struct plan *plan)
{
    int size = snprintf(command, sizeof command,
                        "a promise is broken; the same history again: make sim SEED=%" PRIu64
                        " NODES=%u SCHEDULERS=%u",
                        plan->seed, plan->nodes, plan->schedulers);
    if (c->requests)
        size += snprintf(command + size, sizeof command - (size_t)size, " REQUESTS=%" PRIu64,
                         c->requests);
    if (c->rate)
        size += snprintf(command + size, sizeof command - (size_t)size, " RATE=%" PRIu64, c->rate);
    snprintf(command + size, sizeof command - (size_t)size, "\n");
}

static void say_command(int number)
{
    (void)number;
    size_t size = 0;
    while (command[size])
        size++;
    (void)!write(STDERR_FILENO, command, size);
}

struct sums {
    struct load_report load;
    struct flights_stats flights;
    struct check_report check;
    struct limits_report limits;
};

static double larger(double a, double b)
{
    return a > b ? a : b;
}

static void add_limits(struct limits_report *sum, const struct limits_report *one)
{
    sum->asked += one->asked;
    sum->admitted += one->admitted;
    sum->refused += one->refused;
    sum->away += one->away;
    sum->fullest = larger(sum->fullest, one->fullest);
}

static void add(struct sums *sums, const struct run_report *one)
{
    sums->load.whole += one->load.whole;
    sums->load.refused += one->load.refused;
    sums->load.failed += one->load.failed;
    sums->load.canceled += one->load.canceled;
    sums->load.lost += one->load.lost;
    sums->flights.retried += one->flights.retried;
    sums->flights.hedged += one->flights.hedged;
    sums->flights.hedges_won += one->flights.hedges_won;
    sums->flights.moved += one->flights.moved;
    sums->check.pairs += one->check.pairs;
    sums->check.worst = larger(sums->check.worst, one->check.worst);
    sums->check.full_rooms += one->check.full_rooms;
}

static void say(uint64_t seeds, const struct sums *sums)
{
    const struct load_report *load = &sums->load;
    const struct limits_report *limits = &sums->limits;
    printf(
        "%" PRIu64 " histories: %" PRIu64 " answers whole and right, %" PRIu64 " refused, %" PRIu64
        " failed, %" PRIu64 " canceled, %" PRIu64 " lost with their scheduler; %" PRIu64
        " retries, %" PRIu64 " hedges, %" PRIu64 " moves, %" PRIu64 " overtook\n",
        seeds, load->whole, load->refused, load->failed, load->canceled, load->lost,
        sums->flights.retried, sums->flights.hedged, sums->flights.moved, sums->flights.hedges_won);
    printf("fairness: %" PRIu64
           " looks at two who wait, at most %.0f %% of the bound apart; %" PRIu64
           " steps with a full waiting room\n",
           sums->check.pairs, 100 * sums->check.worst, sums->check.full_rooms);
    printf("limits: %" PRIu64 " asked, %" PRIu64 " admitted, %" PRIu64 " refused, %" PRIu64
           " without Redis; the fullest window at %.1f %% of its limit\n",
           limits->asked, limits->admitted, limits->refused, limits->away, 100 * limits->fullest);
}

/* Did enough happen for the checks to mean something? */
static bool says_something(uint64_t seeds, const struct sums *sums)
{
    if (sums->load.whole <= 20 * seeds || sums->limits.admitted <= 20 * seeds) return false;
    return seeds < 50 || (sums->flights.retried > seeds && sums->check.pairs > seeds &&
                          sums->check.full_rooms > 0 && sums->limits.fullest > 0.99);
}

int storm(const struct storm_choices *choices)
{
    uint64_t seeds = or_else(choices->seeds, 1);
    struct sums sums = {0};
    signal(SIGABRT, say_command);
    for (uint64_t seed = choices->seed; seed < choices->seed + seeds; seed++) {
        struct plan plan = plan_of(choices, seed);
        note_command(choices, &plan);
        struct run_report one = run(&plan);
        struct limits_report limits = limits_run(seed, plan.schedulers, seed % 4 != 0);
        add(&sums, &one);
        add_limits(&sums.limits, &limits);
        if (choices->digest)
            printf("seed %" PRIu64 ": digest %016" PRIx64 ", %" PRIu64 " events\n", seed,
                   rand_at(one.digest, 1, limits.digest), one.events);
    }
    say(seeds, &sums);
    return says_something(seeds, &sums) ? 0 : 1;
}

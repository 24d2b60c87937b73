/* tests/sim: a whole cluster in virtual time, from a seed.
 *
 *      sim --seed N [--seeds COUNT] [--nodes N] [--schedulers N] [--requests N]       histories in which everything goes wrong
 *      sim --load [--policy NAME] [--plain] [--rate R] [--nodes N] [--requests N]     one history in which nothing does: figures
 *      sim --graph FILE.svg [--nodes N] [--requests N]                                 the same for each policy over load
 *
 * A history that breaks a promise stops the program; its seed was said, and plays it again. */
#include "tests/sim/graph.h"
#include "tests/sim/run.h"

#include "base/err.h"
#include "base/log.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct choices {
    uint64_t seed, seeds;
    uint64_t nodes, schedulers, requests, rate; // 0: by the seed
    bool load, plain;
    const char *policy, *graph;
};

static bool number(const char *text, uint64_t *out)
{
    char *end;
    *out = strtoull(text, &end, 10);
    return *text && !*end;
}

static bool read_word(struct choices *c, const char *word, const char *value)
{
    struct {
        const char *name;
        uint64_t *out;
    } numbers[] = {{"--seed", &c->seed},         {"--seeds", &c->seeds},
                   {"--nodes", &c->nodes},       {"--schedulers", &c->schedulers},
                   {"--requests", &c->requests}, {"--rate", &c->rate}};

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (strcmp(word, numbers[i].name) == 0) return value && number(value, numbers[i].out);
    if (strcmp(word, "--policy") == 0) c->policy = value;
    if (strcmp(word, "--graph") == 0) c->graph = value;
    return value && (strcmp(word, "--policy") == 0 || strcmp(word, "--graph") == 0);
}

static bool read_words(struct choices *c, int count, char **words)
{
    for (int i = 1; i < count; i++) {
        bool *flag = strcmp(words[i], "--load") == 0    ? &c->load
                     : strcmp(words[i], "--plain") == 0 ? &c->plain
                                                        : NULL;
        if (flag)
            *flag = true;
        else if (!read_word(c, words[i], i + 1 < count ? words[i + 1] : NULL))
            return fprintf(stderr, "sim: '%s' is not right; see tests/sim/main.c\n", words[i]),
                   false;
        else
            i++;
    }
    return true;
}

static uint64_t or_else(uint64_t chosen, uint64_t other)
{
    return chosen ? chosen : other;
}

/* A small cluster, by the seed, in which everything goes wrong. */
static struct plan stormy(const struct choices *c, uint64_t seed)
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
                         .policy = (enum route_policy)(seed / 7 % ROUTE_POLICIES)};
}

static volatile uint64_t playing; // the seed of the history that is being played

/* A broken promise stops the process: say which history it was. */
static void name_seed(int number)
{
    (void)number;
    fprintf(stderr,
            "the history of this seed breaks a promise; play it again: make sim SEED=%" PRIu64 "\n",
            playing);
}

static int storms(const struct choices *c)
{
    uint64_t seeds = or_else(c->seeds, 1);
    struct load_report all = {0};
    struct flights_stats flights = {0};
    for (uint64_t seed = c->seed; seed < c->seed + seeds; seed++) {
        struct plan plan = stormy(c, seed);
        playing = seed;
        struct run_report report = run(&plan);
        all.whole += report.load.whole;
        all.refused += report.load.refused;
        all.failed += report.load.failed;
        all.canceled += report.load.canceled;
        all.lost += report.load.lost;
        if (report.load.longest_gap_ns > all.longest_gap_ns)
            all.longest_gap_ns = report.load.longest_gap_ns;
        flights.retried += report.flights.retried;
        flights.hedged += report.flights.hedged;
        flights.hedges_won += report.flights.hedges_won;
        flights.moved += report.flights.moved;
    }
    printf("%" PRIu64 " histories: %" PRIu64 " answers whole and right, %" PRIu64
           " refused, %" PRIu64 " failed, %" PRIu64 " canceled, %" PRIu64
           " lost with their scheduler; %" PRIu64 " retries, %" PRIu64 " hedges, %" PRIu64
           " moves, %" PRIu64 " overtook\n",
           seeds, all.whole, all.refused, all.failed, all.canceled, all.lost, flights.retried,
           flights.hedged, flights.moved, flights.hedges_won);
    bool says_something = all.whole > 20 * seeds && (seeds < 50 || flights.retried > seeds);
    return says_something ? 0 : 1;
}

static int figures(const struct choices *c, struct plan *plan)
{
    struct run_report report = run(plan);
    const struct load_report *load = &report.load;
    printf("%s, %s, %u nodes, %u schedulers, %.0f requests/s: first token p50 %.0f ms, p99 %.0f "
           "ms, mean %.0f ms; goodput %.1f/s; "
           "cached %.1f %%; whole %" PRIu64 ", refused %" PRIu64 ", failed %" PRIu64
           "; hedges %" PRIu64 "; %.0f s in virtual time, %" PRIu64 " events\n",
           route_policy_name(plan->policy), c->plain ? "plain" : "shared", plan->nodes,
           plan->schedulers, plan->rate, (double)load->first_p50_ns * 1e-6,
           (double)load->first_p99_ns * 1e-6, (double)load->first_mean_ns * 1e-6, load->goodput,
           100.0 * (double)load->cached_ids / (double)(load->prompt_ids + 1), load->whole,
           load->refused, load->failed, report.flights.hedged, report.virtual_s, report.events);
    return 0;
}

int main(int count, char **words)
{
    struct choices c = {.seed = 1};
    log_set_level(LOG_LEVEL_ERROR);
    signal(SIGABRT, name_seed);
    if (!read_words(&c, count, words)) return 2;
    if (!c.load && !c.graph) return storms(&c);
    struct plan plan = {.seed = c.seed,
                        .nodes = (uint32_t)or_else(c.nodes, 64),
                        .schedulers = (uint32_t)or_else(c.schedulers, 1),
                        .requests = or_else(c.requests, 20000),
                        .rate = (double)or_else(c.rate, 100),
                        .shared = !c.plain,
                        .kv_blocks = 1024,
                        .sequences = 16};
    if (c.policy && route_policy_parse(c.policy, &plan.policy))
        return fprintf(stderr, "sim: %s\n", err_text()), 2;
    return c.graph ? graph_write(c.graph, &plan) : figures(&c, &plan);
}

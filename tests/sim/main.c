/* tests/sim: a whole cluster in virtual time, from a seed.
 *
 *      sim --seed N [--seeds COUNT] [--nodes N] [--schedulers N] [--requests N] [--rate R]   histories in which everything goes wrong
 *      sim --load [--policy NAME] [--plain] [--rate R] [--nodes N] [--requests N]            one in which nothing does: figures
 *      sim --graph FILE.svg [--rate MOST] [--nodes N] [--schedulers N] [--requests N]        the same for each policy over load
 *
 * A history that breaks a promise stops the program, which says the command that plays it again; --break-at EVENT breaks one, to
 * see that. --digest prints a line for each seed: two plays of a history have the same. A rate is of new conversations; of
 * --plain, each is one request. The first part in WARM_PART of the requests warms the caches and is left out of the figures. */
#include "tests/sim/graph.h"
#include "tests/sim/run.h"
#include "tests/sim/storm.h"

#include "base/err.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WARM_PART = 3
};

struct choices {
    struct storm_choices storm; // its numbers serve the others too
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
    } numbers[] = {{"--seed", &c->storm.seed},         {"--seeds", &c->storm.seeds},
                   {"--nodes", &c->storm.nodes},       {"--schedulers", &c->storm.schedulers},
                   {"--requests", &c->storm.requests}, {"--rate", &c->storm.rate},
                   {"--break-at", &c->storm.break_at}};

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (strcmp(word, numbers[i].name) == 0) return value && number(value, numbers[i].out);
    if (strcmp(word, "--policy") == 0) c->policy = value;
    if (strcmp(word, "--graph") == 0) c->graph = value;
    return value && (strcmp(word, "--policy") == 0 || strcmp(word, "--graph") == 0);
}

static bool read_words(struct choices *c, int count, char **words)
{
    for (int i = 1; i < count; i++) {
        bool *flag = strcmp(words[i], "--load") == 0     ? &c->load
                     : strcmp(words[i], "--plain") == 0  ? &c->plain
                     : strcmp(words[i], "--digest") == 0 ? &c->storm.digest
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

static int figures(const struct choices *c, const struct plan *plan)
{
    struct run_report report = run(plan);
    const struct load_report *load = &report.load;
    printf("%s, %s, %u nodes, %u schedulers, %.0f %s/s, %.0f requests/s: first token p50 %.0f ms, "
           "p99 %.0f ms, mean %.0f ms; goodput %.1f/s; cached %.1f %%; whole %" PRIu64
           ", refused %" PRIu64 ", failed %" PRIu64 "; hedges %" PRIu64
           "; %.0f s in virtual time, %" PRIu64 " events\n",
           route_policy_name(plan->policy), c->plain ? "plain" : "shared", plan->nodes,
           plan->schedulers, plan->rate, c->plain ? "requests" : "conversations", load->offered,
           (double)load->first_p50_ns * 1e-6, (double)load->first_p99_ns * 1e-6,
           (double)load->first_mean_ns * 1e-6, load->goodput,
           100.0 * (double)load->cached_ids / (double)(load->prompt_ids + 1), load->whole,
           load->refused, load->failed, report.flights.hedged, report.virtual_s, report.events);
    return 0;
}

int main(int count, char **words)
{
    struct choices c = {.storm.seed = 1};
    log_set_level(LOG_LEVEL_ERROR);
    if (!read_words(&c, count, words)) return 2;
    if (!c.load && !c.graph) return storm(&c.storm);
    struct plan plan = {.seed = c.storm.seed,
                        .nodes = (uint32_t)or_else(c.storm.nodes, 64),
                        .schedulers = (uint32_t)or_else(c.storm.schedulers, 1),
                        .requests = or_else(c.storm.requests, 24000),
                        .rate = (double)or_else(c.storm.rate, 90),
                        .shared = !c.plain,
                        .kv_blocks = 1024,
                        .sequences = 16,
                        .waiting_max = 128};
    plan.warm_up = plan.requests / WARM_PART;
    if (c.policy && route_policy_parse(c.policy, &plan.policy))
        return fprintf(stderr, "sim: %s\n", err_text()), 2;
    return c.graph ? graph_write(c.graph, &plan) : figures(&c, &plan);
}

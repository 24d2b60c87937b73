#include "scheduler/core/route.h"

#include "base/must.h"
#include "base/rand.h"

#include <string.h>

enum {
    NODES_MAX = 1024,
    NEAR_TOKENS = 32, // of loads: so few tokens more are no reason
    NEAR_SHARE = 16,  // of predictions: a sixteenth more is none either,
    NEAR_NS = 1000000 // nor a millisecond
};

/* The usual queue at which work counts twice. */
#define BUSY_NS 100e6

static const char *const names[ROUTE_POLICIES] = {
    [ROUTE_PREDICTED] = "predicted",
    [ROUTE_ROUND_ROBIN] = "round_robin",
    [ROUTE_LEAST_LOADED] = "least_loaded",
    [ROUTE_PREFIX] = "prefix",
};

const char *route_policy_name(enum route_policy policy)
{
    must(policy < ROUTE_POLICIES);
    return names[policy];
}

enum err route_policy_parse(const char *name, enum route_policy *out)
{
    for (unsigned i = 0; i < ROUTE_POLICIES; i++) {
        if (strcmp(names[i], name) != 0) continue;
        *out = (enum route_policy)i;
        return ERR_OK;
    }
    return err_note(
        ERR_INVALID,
        "there is no way of routing '%s'; there are predicted, round_robin, least_loaded "
        "and prefix",
        name);
}

static uint32_t uncached(const struct route_node *node, uint32_t tokens)
{
    return node->cached < tokens ? tokens - node->cached : 1; // the last one is always computed
}

static double token_ns(const struct route_node *node)
{
    must(node->prefill_rate > 0);
    return 1e9 / (double)node->prefill_rate;
}

/* Until what is there before it is done. */
static double queue_ns(const struct route_node *node)
{
    double ns = (double)node->queued_tokens * token_ns(node);
    return ns > (double)node->place_ns ? ns : (double)node->place_ns;
}

/* With its own work counted `weight` times. */
static uint64_t cost_ns(const struct route_node *node, uint32_t tokens, double weight)
{
    double work_ns = uncached(node, tokens) * token_ns(node);
    double all_ns = (double)node->way_ns + queue_ns(node) + work_ns * weight;
    return all_ns < 1e18 ? (uint64_t)all_ns : (uint64_t)1e18;
}

uint64_t route_predict_ns(const struct route_node *node, uint32_t tokens)
{
    return cost_ns(node, tokens, 1);
}

/* Which are still in the choice. */
struct race {
    const struct route_node *nodes;
    uint16_t left[NODES_MAX];
    size_t count;
};

/* Keep those whose cost is within `slack` and a share of the least. */
static void keep_least(struct race *race, const uint64_t *costs, uint64_t share, uint64_t slack)
{
    uint64_t least = UINT64_MAX;
    size_t kept = 0;
    for (size_t i = 0; i < race->count; i++)
        if (costs[race->left[i]] < least) least = costs[race->left[i]];
    uint64_t most = least + (share ? least / share : 0) + slack;
    for (size_t i = 0; i < race->count; i++)
        if (costs[race->left[i]] <= most) race->left[kept++] = race->left[i];
    race->count = kept;
}

static void keep_least_loaded(struct race *race)
{
    uint64_t costs[NODES_MAX];
    for (size_t i = 0; i < race->count; i++)
        costs[race->left[i]] = race->nodes[race->left[i]].queued_tokens;
    keep_least(race, costs, 8, NEAR_TOKENS);
}

static void keep_fewest_requests(struct race *race)
{
    uint64_t costs[NODES_MAX];
    for (size_t i = 0; i < race->count; i++)
        costs[race->left[i]] = race->nodes[race->left[i]].requests;
    keep_least(race, costs, 0, 0);
}

static void keep_most_cached(struct race *race)
{
    uint64_t costs[NODES_MAX];
    for (size_t i = 0; i < race->count; i++)
        costs[race->left[i]] = UINT32_MAX - race->nodes[race->left[i]].cached;
    keep_least(race, costs, 0, 0);
}

/* The value that would stand at `place` if they were sorted; they are moved about. */
static double value_at(double *values, size_t count, size_t place)
{
    size_t first = 0, last = count - 1;
    while (first < last) {
        double pivot = values[first + (last - first) / 2];
        size_t low = first, high = last;
        for (;; low++, high--) {
            while (values[low] < pivot)
                low++;
            while (values[high] > pivot)
                high--;
            if (low >= high) break;
            double moved = values[low];
            values[low] = values[high];
            values[high] = moved;
        }
        if (place <= high)
            last = high;
        else
            first = high + 1;
    }
    return values[place];
}

/* Half of the nodes have a longer queue, or as long a one. */
static double usual_queue_ns(const struct race *race)
{
    double queues[NODES_MAX];
    for (size_t i = 0; i < race->count; i++)
        queues[i] = queue_ns(&race->nodes[race->left[i]]);
    return value_at(queues, race->count, (race->count - 1) / 2);
}

static void keep_soonest(struct race *race, uint32_t tokens)
{
    uint64_t costs[NODES_MAX];
    double weight = 1 + usual_queue_ns(race) / BUSY_NS;
    for (size_t i = 0; i < race->count; i++)
        costs[race->left[i]] = cost_ns(&race->nodes[race->left[i]], tokens, weight);
    keep_least(race, costs, NEAR_SHARE, NEAR_NS);
}

size_t route_choose(enum route_policy policy, const struct route_node *nodes, size_t count,
                    uint32_t tokens, uint64_t turn, struct rand *rand)
{
    must(count > 0 && count <= NODES_MAX);
    struct race race = {.nodes = nodes, .count = count};
    for (size_t i = 0; i < count; i++)
        race.left[i] = (uint16_t)i;
    switch (policy) {
    case ROUTE_ROUND_ROBIN: return (size_t)(turn % count);
    case ROUTE_PREFIX:
        keep_most_cached(&race);
        keep_least_loaded(&race);
        break;
    case ROUTE_LEAST_LOADED: keep_least_loaded(&race); break;
    default: keep_soonest(&race, tokens); break;
    }
    keep_fewest_requests(&race);
    return race.left[rand_below(rand, race.count)];
}

/* scheduler/core/route.h -- which of the nodes that could take a request does: least predicted time to its first id.
 *
 *      predicted = way there + max( tokens before it / prefill rate , wait for a place ) + its own uncached tokens / rate
 *
 * Tokens before it: those that the node reports as waiting, and what was sent there since its report. So a cached prefix
 * draws requests to its node while that is worth it, and no longer: once the queue there costs more than computing the prefix
 * elsewhere, the next one goes elsewhere and the prefix is on two nodes. A session stays where its blocks are for the
 * same reason. Predictions within a sixteenth of the least are equal: of those the node with the fewest requests, by chance
 * among equals, so that many schedulers do not herd.
 *
 * When most nodes have a queue, there is no idle time in which a prefix could be computed once more: its work delays all who
 * come after, and what it drives out of the cache is work again. So the request's own tokens then count more, twice with a usual
 * (median) queue of 100 ms, eleven times with one of a second; a hot spot among idle nodes is parted as ever.
 *
 * The other policies are baselines: round_robin; least_loaded (fewest tokens before it, near-equal ones by requests and
 * chance); prefix (most of the prompt cached, then least loaded).
 *
 * Pure: chance is an argument. Thread: the loop's. */
#ifndef SCHEDULER_CORE_ROUTE_H
#define SCHEDULER_CORE_ROUTE_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct rand;

enum route_policy {
    ROUTE_PREDICTED,
    ROUTE_ROUND_ROBIN,
    ROUTE_LEAST_LOADED,
    ROUTE_PREFIX,
    ROUTE_POLICIES
};

/* A node that could take a request, as far as is known now. */
struct route_node {
    uint32_t cached;        // leading tokens of the prompt that are cached there
    uint64_t queued_tokens; // to be prefilled there before it
    uint64_t requests;      // there
    float prefill_rate;     // tokens/s; > 0
    uint64_t place_ns;      // until one that waits there gets a place, for those that wait already
    uint64_t way_ns;        // of the request to it
};

const char *route_policy_name(enum route_policy policy);
/* ERR_INVALID names the policies that there are. */
enum err route_policy_parse(const char *name, enum route_policy *out);

/* To the first id of a request of `tokens`; its own tokens count once. */
uint64_t route_predict_ns(const struct route_node *node, uint32_t tokens);
/* The index of the node that takes it; count > 0. `turn` counts requests, for round_robin. */
size_t route_choose(enum route_policy policy, const struct route_node *nodes, size_t count,
                    uint32_t tokens, uint64_t turn, struct rand *rand);

#endif

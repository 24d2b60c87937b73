/* tests/sim/plan.h -- what one simulated history is asked to be. */
#ifndef TESTS_SIM_PLAN_H
#define TESTS_SIM_PLAN_H

#include "scheduler/core/route.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    SIM_VOCAB = 64,
    SIM_STOP_ID = 0,
    SIM_CONTEXT = 4096
};

struct plan {
    uint64_t seed;
    uint32_t nodes, schedulers;
    uint64_t requests;
    double rate;        // requests/s, Poisson, over all schedulers
    bool chaos;         // crashes, partings, hangs, slowness, drains, cancels, deadlines
    bool shared;        // prompts of the shared-prefix trace; else nothing is shared
    bool small;         // short prompts and answers: histories for invariants
    uint32_t kv_blocks; // of a node
    uint32_t sequences;
    enum route_policy policy;
};

#endif

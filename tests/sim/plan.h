/* tests/sim/plan.h -- what one simulated history is asked to be. */
#ifndef TESTS_SIM_PLAN_H
#define TESTS_SIM_PLAN_H

#include "scheduler/core/route.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    SIM_VOCAB = 64,
    SIM_STOP_ID = 0,
    SIM_CONTEXT = 4096,
    SIM_TENANTS = 4,      // numbered from 1
    SIM_SMALL_ANSWER = 60 // ids of an answer, at most, in a small history
};

struct plan {
    uint64_t seed;
    uint32_t nodes, schedulers;
    uint64_t requests;
    uint64_t warm_up;   // of the requests, the first ones, that figures leave out
    double rate;        // conversations/s, Poisson, over all schedulers; not shared: requests/s
    bool chaos;         // crashes, partings, hangs, slowness, drains, cancels, deadlines
    bool shared;        // prompts of the shared-prefix trace; else nothing is shared
    bool small;         // short prompts and answers: histories for invariants
    uint32_t kv_blocks; // of a node
    uint32_t sequences;
    uint32_t waiting_max;        // requests in a node's waiting room
    uint64_t waiting_tokens_max; // and their ids; 0: as many as come
    uint64_t break_at;           // an event at which a promise is broken on purpose; 0: none
    enum route_policy policy;
};

#endif

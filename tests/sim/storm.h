/* tests/sim/storm.h -- histories in which everything goes wrong, one a seed: a small cluster (run.h), then limits (limits.h). */
#ifndef TESTS_SIM_STORM_H
#define TESTS_SIM_STORM_H

#include <stdbool.h>
#include <stdint.h>

struct storm_choices {
    uint64_t seed, seeds;                       // the first, and how many; 0: one
    uint64_t nodes, schedulers, requests, rate; // 0: by the seed
    uint64_t break_at; // an event at which a promise is broken on purpose; 0: none
    bool digest;       // a line for each seed
};

/* Gives the program's exit status. A broken promise stops the process after it has said how to play its history again. */
int storm(const struct storm_choices *choices);

#endif

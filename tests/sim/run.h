/* tests/sim/run.h -- one history from its plan. Whatever must hold is checked on the way: a broken promise stops the process, after
 * the seed was named. */
#ifndef TESTS_SIM_RUN_H
#define TESTS_SIM_RUN_H

#include "scheduler/core/flight.h"
#include "tests/sim/check.h"
#include "tests/sim/load.h"
#include "tests/sim/plan.h"

struct run_report {
    struct load_report load;
    struct flights_stats flights;
    struct check_report check;
    uint64_t digest;
    double virtual_s;
    uint64_t events;
};

struct run_report run(const struct plan *plan);

#endif

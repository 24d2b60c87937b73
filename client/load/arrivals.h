/* client/load/arrivals.h -- when the requests of an open loop should begin: a Poisson process from
 * a seed.
 *
 * Gaps are exponential with mean 1 / rate, drawn by inversion: -ln(1 - u) / rate. The same seed
 * and rate give the same instants on every run. */
#ifndef CLIENT_LOAD_ARRIVALS_H
#define CLIENT_LOAD_ARRIVALS_H

#include "base/rand.h"

#include <stdint.h>

struct arrivals {
    struct rand rand;
    double mean_gap_ns;
    double at_ns; // of the latest arrival; whole nanoseconds stay exact for 104 days
};

/* `rate` requests a second, > 0. */
void arrivals_init(struct arrivals *arrivals, uint64_t seed, double rate);
/* Nanoseconds from the start to the next arrival; never less than the one before. */
uint64_t arrivals_next(struct arrivals *arrivals);

#endif

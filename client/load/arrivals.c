#include "client/load/arrivals.h"

#include "base/must.h"

#include <math.h>

void arrivals_init(struct arrivals *arrivals, uint64_t seed, double rate)
{
    must(rate > 0);
    *arrivals = (struct arrivals){.mean_gap_ns = 1e9 / rate};
    rand_init(&arrivals->rand, seed);
}

uint64_t arrivals_next(struct arrivals *arrivals)
{
    double unit = rand_unit(rand_next(&arrivals->rand)); // in [0, 1): the logarithm is finite
    arrivals->at_ns += -log1p(-unit) * arrivals->mean_gap_ns;
    return (uint64_t)arrivals->at_ns;
}

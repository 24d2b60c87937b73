/* tests/sim/limits.h -- limits in virtual time: schedulers hammer a few keys and users of theirs over one Redis.
 *
 * The real scheduler/state/limit.h, with its leases and its meter; redis.h plays Redis, and the tick of libevent is the world's.
 * Connections break, answers are late or lost, schedulers die. A minute lasts MINUTE_MS, a day DAY_MS.
 *
 * What is checked is what limit.h promises: in no minute and no day, wherever it begins, is more admitted than the limit, by
 * the time of admission; never more streams at once than the limit; and when nothing goes wrong and all has ended, nothing
 * stays reserved. */
#ifndef TESTS_SIM_LIMITS_H
#define TESTS_SIM_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

struct limits_report {
    uint64_t asked, admitted, refused, away;
    double fullest;  // window, of its limit
    uint64_t digest; // world.h
};

/* One history. */
struct limits_report limits_run(uint64_t seed, uint32_t schedulers, bool trouble);

#endif

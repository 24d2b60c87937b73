/* base/clock.h -- time. Cores take `now_ns` as an argument; only loops and mains ask here. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

#define CLOCK_MS     UINT64_C(1000000)
#define CLOCK_SECOND UINT64_C(1000000000)

/* Nanoseconds of CLOCK_MONOTONIC: for durations and deadlines. */
uint64_t clock_now_ns(void);
/* Milliseconds since 1970, UTC: for records and people. */
int64_t clock_wall_ms(void);

#endif

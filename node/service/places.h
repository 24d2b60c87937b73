/* node/service/places.h -- pure: when who was refused may come again.
 *
 * A place gets free when a request ends, and room for tokens when those that wait have been prefilled. So it is the
 * longer of two times: what lies between two ends, smoothed over some PLACES_ENDS while there was something to do, and
 * what waits at the rate of prefill. Of nothing known, PLACES_MS_MIN.
 *
 * Thread: the service's. Time is an argument. */
#ifndef NODE_SERVICE_PLACES_H
#define NODE_SERVICE_PLACES_H

#include <stdint.h>

enum {
    PLACES_ENDS = 8,
    PLACES_MS_MIN = 50,
    PLACES_MS_MAX = 10000
};

/* Zeroed: nothing known. */
struct places {
    uint64_t since_ns; // of the latest end, or of the beginning when there was nothing to do
    float every_ms;    // between two ends; 0: not known
};

/* A request comes in, and it is the only one. */
void places_begin(struct places *places, uint64_t now_ns);
/* A request ends. */
void places_end(struct places *places, uint64_t now_ns);

uint32_t places_retry_ms(const struct places *places, uint64_t waiting_tokens, float prefill_rate);

#endif

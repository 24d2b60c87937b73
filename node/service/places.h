/* node/service/places.h -- pure: who gets a place, and when who was refused may come again.
 *
 * Of a node's places a tenant gets one while it has fewer than PLACES_PART times what is free: alone it gets about eight
 * in nine, two get four in nine each, and who comes with little finds one, however hard the others press.
 *
 * A place gets free when a request ends, and room for tokens when those that wait have been prefilled. So it is the
 * longer of two times: what lies between two ends, smoothed over some PLACES_ENDS while there was something to do, and
 * what waits at the rate of prefill. Of nothing known, PLACES_MS_MIN.
 *
 * Thread: the service's. Time is an argument. */
#ifndef NODE_SERVICE_PLACES_H
#define NODE_SERVICE_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PLACES_PART = 8,
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

/* For a tenant that has `held`, when `unused` are free. */
bool places_admit(size_t held, size_t unused);

uint32_t places_retry_ms(const struct places *places, uint64_t waiting_tokens, float prefill_rate);

#endif

#include "node/service/places.h"

#include "base/clock.h"

void places_begin(struct places *places, uint64_t now_ns)
{
    places->since_ns = now_ns;
}

void places_end(struct places *places, uint64_t now_ns)
{
    float ms = (float)(now_ns - places->since_ns) / (float)CLOCK_MS;
    places->since_ns = now_ns;
    if (places->every_ms == 0)
        places->every_ms = ms;
    else
        places->every_ms += (ms - places->every_ms) / PLACES_ENDS;
}

bool places_admit(size_t held, size_t unused)
{
    return held / PLACES_PART < unused;
}

uint32_t places_retry_ms(const struct places *places, uint64_t waiting_tokens, float prefill_rate)
{
    float ms = prefill_rate > 0 ? (float)waiting_tokens / prefill_rate * 1000 : 0;
    if (ms < places->every_ms) ms = places->every_ms;
    if (ms < PLACES_MS_MIN) return PLACES_MS_MIN;
    return ms < PLACES_MS_MAX ? (uint32_t)ms : PLACES_MS_MAX;
}

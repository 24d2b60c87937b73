#include "node/service/dials.h"

#include "base/clock.h"
#include "base/must.h"

#include <string.h>

bool dials_know(const struct dials *dials, const char *url, size_t size)
{
    for (size_t i = 0; i < dials->count; i++) {
        const char *known = dials->list[i].url;
        if (strlen(known) == size && memcmp(known, url, size) == 0) return true;
    }
    return false;
}

struct dial *dials_place(struct dials *dials, uint64_t now_ns, uint64_t gone_ms)
{
    struct dial *oldest = NULL;
    if (dials->count < DIALS_MAX) return &dials->list[dials->count];
    for (size_t i = 0; i < DIALS_MAX; i++) {
        struct dial *dial = &dials->list[i];
        if (dial->keeps || dial->up || now_ns < dial->gone_ns + gone_ms * CLOCK_MS) continue;
        if (!oldest || dial->gone_ns < oldest->gone_ns) oldest = dial;
    }
    return oldest;
}

void dials_set(struct dials *dials, struct dial *place, const char *url, size_t dialer, bool keeps,
               uint64_t now_ns)
{
    size_t size = strlen(url);
    must(size < WIRE_URL_MAX && place <= &dials->list[dials->count]);
    if (place == &dials->list[dials->count]) dials->count++;
    *place = (struct dial){.dialer = dialer, .keeps = keeps, .gone_ns = now_ns};
    memcpy(place->url, url, size);
}

static struct dial *find(struct dials *dials, size_t dialer)
{
    for (size_t i = 0; i < dials->count; i++)
        if (dials->list[i].dialer == dialer) return &dials->list[i];
    return NULL;
}

void dials_up(struct dials *dials, size_t dialer)
{
    struct dial *dial = find(dials, dialer);
    if (dial) dial->up = true;
}

void dials_down(struct dials *dials, size_t dialer, uint64_t now_ns)
{
    struct dial *dial = find(dials, dialer);
    if (!dial || !dial->up) return;
    dial->up = false;
    dial->gone_ns = now_ns;
}

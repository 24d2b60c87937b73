#include "scheduler/features/search/strays.h"

#include "base/clock.h"
#include "base/mem.h"

struct stray {
    uint64_t link, shard, since_ns, round;
};

struct strays {
    struct stray list[STRAYS_MAX];
    size_t count;
    uint64_t round;
};

struct strays *strays_new(void)
{
    return mem_new(1, sizeof(struct strays));
}

void strays_free(struct strays *strays)
{
    mem_free(strays);
}

void strays_begin(struct strays *strays)
{
    for (size_t i = 0; i < strays->count;)
        if (strays->list[i].round != strays->round)
            strays->list[i] = strays->list[--strays->count];
        else
            i++;
    strays->round++;
}

bool strays_see(struct strays *strays, uint64_t link, uint64_t shard, uint64_t now_ns)
{
    struct stray *at = strays->list, *end = at + strays->count;
    while (at < end && (at->link != link || at->shard != shard))
        at++;
    if (at == end) {
        if (strays->count == STRAYS_MAX) return false; // another round
        *at = (struct stray){.link = link, .shard = shard, .since_ns = now_ns};
        strays->count++;
    }
    at->round = strays->round;
    return now_ns - at->since_ns >= STRAYS_MS * CLOCK_MS;
}

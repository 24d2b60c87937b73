#include "scheduler/door/own.h"

#include "scheduler/settings.h"

#include "base/clock.h"
#include "base/metric.h"

#include <stddef.h>

void own_begin(struct own *own)
{
    *own = (struct own){.at_ns = clock_now_ns()};
}

void own_pass(struct own *own, enum own_part part)
{
    if (own->over) return;
    uint64_t now_ns = clock_now_ns();
    own->parts_ns[part] = now_ns - own->at_ns;
    own->at_ns = now_ns;
}

void own_forget(struct own *own)
{
    own->over = true;
}

void own_deliver(struct own *own, struct metrics *metrics, uint64_t heard_ns)
{
    static const char *const names[] = {"read", "limits", "send", "deliver"};
    if (own->over) return;
    own->at_ns = heard_ns;
    own_pass(own, OWN_DELIVER);
    own->over = true;
    if (heard_ns == 0) return;
    uint64_t sum_ns = 0;
    for (size_t part = 0; part < OWN_PARTS; part++) {
        sum_ns += own->parts_ns[part];
        metric_observe(metrics, M_own_part_seconds, names[part], NULL,
                       (double)own->parts_ns[part] / (double)CLOCK_SECOND);
    }
    metric_observe(metrics, M_own_seconds, NULL, NULL, (double)sum_ns / (double)CLOCK_SECOND);
}

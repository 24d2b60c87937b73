#include "scheduler/core/hedge.h"

void hedge_heard(struct hedge_pulse *pulse, uint64_t now_ns, bool first)
{
    uint64_t gap_ns = now_ns - pulse->heard_ns;
    pulse->heard_ns = now_ns;
    if (first) return; // what came before the first id says nothing of the next
    if (pulse->gap_ns == 0)
        pulse->gap_ns = gap_ns;
    else
        pulse->gap_ns = (7 * pulse->gap_ns + gap_ns) / 8;
}

bool hedge_is_quiet(const struct hedge_pulse *pulse, uint64_t now_ns)
{
    uint64_t usual_ns = pulse->gap_ns ? HEDGE_SLOWNESS * pulse->gap_ns : 2 * pulse->predicted_ns;
    if (usual_ns < HEDGE_QUIET_NS) usual_ns = HEDGE_QUIET_NS;
    return now_ns - pulse->heard_ns > usual_ns;
}

bool hedge_may_spend(const struct hedge_budget *budget, uint64_t tokens)
{
    return (budget->spent + tokens) * 100 <= budget->useful * HEDGE_PERCENT;
}
